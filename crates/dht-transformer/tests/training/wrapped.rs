//! Wrapped objectives for tests, which count, stop, or return wrong results.

use std::collections::BTreeMap;

use dht_transformer::{
    EncodedDataset, Error, ForwardContext, Objective, PackedBatch, Progress, Result, StepLoss, TextClassifier,
    tensors::Parameters, train::Predict,
};
use serde_json::{Value, json};

/// Place at which a [`Stopping`] objective fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Before a batch is taken: right after a checkpoint that was due.
    Offer,
    /// Before a loss is handed over: right after a step, before its checkpoint.
    Loss,
    /// At the end of an epoch, before it is scored.
    Drain,
    /// While the epoch is scored.
    Predict,
}

/// Error of a [`Stopping`] objective.
#[derive(Debug)]
pub enum Stop {
    Asked,
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// Objective that stops like a power failure: at a certain place, after a number of steps.
pub struct Stopping {
    pub model: TextClassifier,
    pub at: Option<(Place, u64)>,
    steps: u64,
}

impl Stopping {
    pub fn new(model: TextClassifier, at: Option<(Place, u64)>) -> Self {
        Self { model, at, steps: 0 }
    }

    fn pass(&self, place: Place) -> Result<(), Stop> {
        match self.at {
            Some((at, steps)) if at == place && self.steps >= steps => Err(Stop::Asked),
            _ => Ok(()),
        }
    }
}

impl Objective for Stopping {
    type Error = Stop;

    fn parameters(&self) -> &Parameters {
        self.model.parameters()
    }

    fn offer(&mut self, batch: PackedBatch, progress: Progress) -> Result<Option<StepLoss>, Stop> {
        self.steps = progress.step;
        self.pass(Place::Offer)?;
        Ok(self.model.offer(batch, progress)?)
    }

    fn next_loss(&mut self, progress: Progress, drain: bool) -> Result<Option<StepLoss>, Stop> {
        self.steps = progress.step;
        self.pass(if drain { Place::Drain } else { Place::Loss })?;
        Ok(self.model.next_loss(progress, drain)?)
    }

    fn score(&self, data: &EncodedDataset, batch_size: usize) -> Result<f64, Stop> {
        self.macro_f1(data, batch_size)
    }

    fn state(&self) -> Result<Value, Stop> {
        Ok(self.model.state()?)
    }

    fn restore(&mut self, state: Value, training: &EncodedDataset) -> Result<(), Stop> {
        Ok(self.model.restore(state, training)?)
    }
}

impl Predict for Stopping {
    fn predict(&self, batch: &PackedBatch, ctx: &ForwardContext) -> Result<Vec<u32>, Stop> {
        self.pass(Place::Predict)?;
        Ok(self.model.predict(batch, ctx)?)
    }
}

/// Model on a device that, from some step on, runs out of memory above a number of samples.
pub struct Cramped {
    pub model: TextClassifier,
    pub most: usize,
    pub from_step: u64,
    pub refused: Vec<usize>,
}

impl Cramped {
    pub fn new(model: TextClassifier, most: usize, from_step: u64) -> Self {
        Self { model, most, from_step, refused: Vec::new() }
    }
}

impl Objective for Cramped {
    type Error = Error;

    fn may_split(error: &Error) -> bool {
        TextClassifier::may_split(error)
    }

    fn parameters(&self) -> &Parameters {
        self.model.parameters()
    }

    fn offer(&mut self, batch: PackedBatch, progress: Progress) -> Result<Option<StepLoss>> {
        let offered = batch.len();
        let loss = self.model.offer(batch, progress)?;
        if offered > self.most && progress.step >= self.from_step {
            self.refused.push(offered);
            // The error message is CUDA's.
            let text = "DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")";
            return Err(candle_core::Error::Msg(text.into()).into());
        }
        Ok(loss)
    }

    fn score(&self, data: &EncodedDataset, batch_size: usize) -> Result<f64> {
        self.model.score(data, batch_size)
    }

    fn state(&self) -> Result<Value> {
        self.model.state()
    }

    fn restore(&mut self, state: Value, training: &EncodedDataset) -> Result<()> {
        self.model.restore(state, training)
    }
}

/// Objective that delays every batch until the next batch or the end of the epoch, and counts the samples that it
/// trains on.
pub struct HoldingBack {
    model: TextClassifier,
    held: Option<PackedBatch>,
    ready: Option<PackedBatch>,
    /// Number of times each sample was trained on in each epoch.
    pub counts: BTreeMap<(usize, u64), u32>,
}

impl HoldingBack {
    pub fn new(model: TextClassifier) -> Self {
        Self { model, held: None, ready: None, counts: BTreeMap::new() }
    }
}

impl Objective for HoldingBack {
    type Error = Error;

    fn parameters(&self) -> &Parameters {
        self.model.parameters()
    }

    fn offer(&mut self, batch: PackedBatch, _: Progress) -> Result<Option<StepLoss>> {
        self.ready = self.held.replace(batch);
        Ok(None)
    }

    fn next_loss(&mut self, progress: Progress, drain: bool) -> Result<Option<StepLoss>> {
        let batch = self.ready.take().or_else(|| if drain { self.held.take() } else { None });
        let Some(batch) = batch else { return Ok(None) };
        for sample in &batch.sample_ids {
            *self.counts.entry((progress.epoch, *sample)).or_default() += 1;
        }
        self.model.offer(batch, progress)
    }

    fn score(&self, data: &EncodedDataset, batch_size: usize) -> Result<f64> {
        self.macro_f1(data, batch_size)
    }

    /// State of the objective: the delayed rows.
    fn state(&self) -> Result<Value> {
        Ok(json!(self.held.as_ref().map(|batch| &batch.sample_ids)))
    }

    fn restore(&mut self, state: Value, training: &EncodedDataset) -> Result<()> {
        let held: Option<Vec<usize>> =
            serde_json::from_value(state).map_err(|source| Error::Json { what: "state".into(), source })?;
        self.held = held.map(|rows| training.batch(&rows)).transpose()?;
        Ok(())
    }
}

impl Predict for HoldingBack {
    fn predict(&self, batch: &PackedBatch, ctx: &ForwardContext) -> Result<Vec<u32>> {
        self.model.predict(batch, ctx)
    }
}

/// Objective whose predictions are all right after one epoch, and all wrong after the others. Its state is the epoch.
pub struct BestAfter {
    pub model: TextClassifier,
    pub best: usize,
    pub epoch: usize,
}

impl Objective for BestAfter {
    type Error = Error;

    fn parameters(&self) -> &Parameters {
        self.model.parameters()
    }

    fn offer(&mut self, batch: PackedBatch, progress: Progress) -> Result<Option<StepLoss>> {
        self.epoch = progress.epoch;
        self.model.offer(batch, progress)
    }

    fn score(&self, data: &EncodedDataset, batch_size: usize) -> Result<f64> {
        self.macro_f1(data, batch_size)
    }

    fn state(&self) -> Result<Value> {
        Ok(json!(self.epoch))
    }

    fn restore(&mut self, state: Value, _: &EncodedDataset) -> Result<()> {
        self.restore_best(state)
    }

    fn restore_best(&mut self, state: Value) -> Result<()> {
        self.epoch = serde_json::from_value(state).map_err(|source| Error::Json { what: "state".into(), source })?;
        Ok(())
    }
}

impl Predict for BestAfter {
    fn predict(&self, batch: &PackedBatch, _: &ForwardContext) -> Result<Vec<u32>> {
        let shift = u32::from(self.epoch != self.best);
        Ok(batch.labels.iter().map(|label| (label + shift) % super::toy::CLASSES as u32).collect())
    }
}

/// Damage that a [`Poisoned`] objective does to its model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Poison {
    /// A weight becomes infinite before a loss.
    Weight,
    /// A weight becomes infinite after a step, before its checkpoint.
    Step,
    /// The loss does not change, but its gradient is NaN.
    Gradient,
}

/// Objective that damages its model in every step, from a certain step on.
pub struct Poisoned {
    pub model: TextClassifier,
    pub poison: Poison,
    pub from: u64,
}

impl Poisoned {
    pub fn new(model: TextClassifier, poison: Poison, from: u64) -> Self {
        Self { model, poison, from }
    }

    /// Makes a weight infinite.
    fn spoil(&self) -> Result<()> {
        let parameters = self.model.parameters();
        let bias = parameters.var(parameters.id("classifier.bias")?);
        Ok(bias.set(&bias.affine(0.0, f64::INFINITY)?)?)
    }
}

impl Objective for Poisoned {
    type Error = Error;

    fn parameters(&self) -> &Parameters {
        self.model.parameters()
    }

    fn offer(&mut self, batch: PackedBatch, progress: Progress) -> Result<Option<StepLoss>> {
        let poisoned = progress.step >= self.from;
        if poisoned && self.poison == Poison::Weight {
            self.spoil()?;
        }
        let mut step = self.model.offer(batch, progress)?;
        if let (true, Poison::Gradient, Some(step)) = (poisoned, self.poison, &mut step) {
            // The slope of √ at zero is infinite.
            step.loss = (&step.loss + (&step.loss - step.loss.detach())?.sqrt()?)?;
        }
        Ok(step)
    }

    fn next_loss(&mut self, progress: Progress, _: bool) -> Result<Option<StepLoss>> {
        if progress.step >= self.from && self.poison == Poison::Step {
            self.spoil()?;
        }
        Ok(None)
    }

    fn score(&self, data: &EncodedDataset, batch_size: usize) -> Result<f64> {
        self.macro_f1(data, batch_size)
    }

    fn state(&self) -> Result<Value> {
        self.model.state()
    }

    fn restore(&mut self, state: Value, training: &EncodedDataset) -> Result<()> {
        self.model.restore(state, training)
    }
}

impl Predict for Poisoned {
    fn predict(&self, batch: &PackedBatch, ctx: &ForwardContext) -> Result<Vec<u32>> {
        self.model.predict(batch, ctx)
    }
}
