//! Implementation of the training loop's objective for an architecture search.

use std::collections::BTreeSet;

use candle_core::{D, Tensor};
use dht_transformer::EncodedDataset;
use dht_transformer::error::SettingMismatch;
use dht_transformer::model::Gate;
use dht_transformer::tensors::{Gradients, Parameter, ParameterId, Parameters};
use dht_transformer::{ForwardContext, PackedBatch};
use dht_transformer::{Objective, Progress, StepLoss, train::Predict};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use crate::cost::hard;
use crate::error::{Error, Result};
use crate::extract::assigned;
use crate::search::{ArchitectureSearch, PendingStep, StepParameters};
use crate::settings::{Count, GateLoss, Update};

/// Identifiers of random number streams: for the gates of each step, and for dividing the rows into halves.
const GATES: u64 = 0x6e61_7301_0000_0000;
const HALVES: u64 = 0x6e61_7302_0000_0000;

/// Creates a scalar tensor with this value. In each pair of `along`, the second tensor is the gradient with respect to
/// the first.
fn with_gradients<'a>(value: f64, along: impl Iterator<Item = (&'a Tensor, &'a Tensor)>) -> Result<Tensor> {
    let parts = along.map(|(along, gradients)| (along * gradients.detach())?.sum_all());
    let sum = parts.reduce(|sum, part| sum? + part?);
    let sum = sum.ok_or_else(|| Error::argument("space", "at least one group", "none"))??;
    Ok(((&sum - sum.detach())? + value)?)
}

impl ArchitectureSearch {
    fn thaw(&mut self) {
        for id in std::mem::take(&mut self.frozen) {
            self.model.encoder().parameters().set_frozen(id, false);
        }
    }

    fn freeze_weights(&mut self) {
        let gates: BTreeSet<ParameterId> = self.alphas.iter().map(Parameter::id).collect();
        let parameters = self.model.encoder().parameters();
        let weights = parameters.iter().map(|(id, ..)| id);
        self.frozen = weights.filter(|id| !gates.contains(id) && !parameters.is_frozen(*id)).collect();
        self.frozen.iter().for_each(|id| parameters.set_frozen(*id, true));
    }

    fn bring_back(&self) -> Result<()> {
        for (relaxation, alpha) in self.relaxations.iter().zip(&self.alphas) {
            if let Some(bound) = relaxation.bound() {
                alpha.var().set(&alpha.var().as_detached_tensor().clamp(-bound, bound)?)?;
            }
        }
        Ok(())
    }

    /// Computes the cost term of the loss, differentiable in the architecture variables α, and the expected cost of the
    /// architecture.
    fn cost_term(&self, target: f64) -> Result<(Tensor, f64)> {
        let (alphas, groups) = (self.alphas()?, self.cost.groups());
        let open = self.relaxations.iter().zip(&self.alphas).zip(groups);
        let open: Vec<Tensor> = open
            .map(|((relaxation, alpha), group)| relaxation.open(alpha.var().as_tensor(), group))
            .collect::<Result<_>>()?;
        let thresholded = hard(&self.thresholded(&alphas));
        let degrees = || -> Result<Vec<Vec<f64>>> {
            let numbers = |open: &Tensor| Ok(open.to_vec1::<f32>()?.into_iter().map(f64::from).collect());
            open.iter().map(numbers).collect()
        };
        let (expected, gradients) = match self.settings.count {
            Count::Expected => self.cost.share(&degrees()?),
            Count::Thresholded => self.cost.share(&thresholded),
        };
        let chosen = self.cost.share(&thresholded).0;
        let (value, gradient) = self.settings.control.term(expected, chosen, target, self.multiplier);
        let gradients = open.iter().zip(gradients).map(|(open, gradients)| {
            let gradients: Vec<f32> = gradients.into_iter().map(|each| (each * gradient) as f32).collect();
            Tensor::from_vec(gradients, open.dims(), open.device())
        });
        let gradients = gradients.collect::<candle_core::Result<Vec<_>>>()?;
        Ok((with_gradients(value, open.iter().zip(&gradients))?, expected))
    }

    /// Computes the loss of a batch, with gates (factors on units) that are sampled for this training step. Steps that
    /// train only gates use the setting [`GateLoss`](crate::GateLoss), and all other steps the task loss.
    pub(crate) fn task_loss(
        &self,
        batch: &PackedBatch,
        trained: StepParameters,
        progress: Progress,
        ctx: &ForwardContext,
    ) -> Result<Tensor> {
        let mut rng = ChaCha8Rng::seed_from_u64(progress.seed);
        rng.set_stream(GATES + progress.step);
        let groups = self.cost.groups();
        let gates = self.relaxations.iter().zip(&self.alphas).zip(groups).map(|((relaxation, alpha), group)| {
            let alpha = match trained {
                StepParameters::Weights => alpha.var().as_detached_tensor(),
                _ => alpha.var().as_tensor().clone(),
            };
            relaxation.sample(&alpha, group, progress.share, &mut rng)
        });
        let gates: Vec<Gate> = gates.collect::<Result<_>>()?;
        let gates = assigned(groups, self.cost.layers(), gates);
        let loss = if trained == StepParameters::Gates { self.gate_loss() } else { &*self.loss };
        loss.loss(&self.run(batch, &gates, ctx)?, batch, ctx)
    }

    /// Computes the loss that trains the gates on a batch, and its gradients with respect to the architecture variables
    /// α. The weights are frozen during the computation, which saves the time for their gradients.
    fn gate_gradients(&mut self, batch: &PackedBatch, progress: Progress) -> Result<(Vec<Tensor>, f64)> {
        self.freeze_weights();
        let compute = || -> Result<(Vec<Tensor>, f64)> {
            let ctx = ForwardContext::training(self.parameters(), progress.seed, progress.step as u32);
            let loss = self.task_loss(batch, StepParameters::Gates, progress, &ctx)?;
            let gradients = self.of_gates(&ctx.backward(&loss, self.parameters())?)?;
            Ok((gradients, f64::from(loss.to_scalar::<f32>()?)))
        };
        let outcome = compute();
        self.thaw();
        outcome
    }

    /// Gradients with respect to the architecture variables α, one tensor for each group of units.
    pub(crate) fn of_gates(&self, gradients: &Gradients) -> Result<Vec<Tensor>> {
        let of = |alpha: &Parameter| match gradients.get(alpha.id()) {
            Some(gradient) => Ok(gradient.to_tensor(alpha.var())?),
            None => Ok(alpha.var().zeros_like()?),
        };
        self.alphas.iter().map(of).collect()
    }

    fn step(
        &mut self,
        PendingStep { batch, trained, weights_batch }: &PendingStep,
        progress: Progress,
    ) -> Result<StepLoss> {
        self.bring_back()?;
        let unrolled = match (self.settings.update, weights_batch) {
            (Update::Unrolled { rate }, Some(weights_batch)) => {
                Some(self.unrolled((weights_batch, batch), rate, progress)?)
            }
            _ => None,
        };
        // A separate loss of the gates is computed first, since a context has one backward pass.
        let own = match (*trained, self.settings.gate_loss) {
            (StepParameters::Both, GateLoss::Labels) => Some(self.gate_gradients(batch, progress)?),
            _ => None,
        };
        if *trained == StepParameters::Gates {
            self.freeze_weights();
        }
        let ctx = ForwardContext::training(self.parameters(), progress.seed, progress.step as u32);
        let along_gates = |(gradients, value): (Vec<Tensor>, f64)| {
            with_gradients(value, self.alphas.iter().map(|alpha| alpha.var().as_tensor()).zip(&gradients))
        };
        let mut loss = match (unrolled, own) {
            (Some(unrolled), _) => along_gates(unrolled)?,
            (None, Some(own)) => (self.task_loss(batch, StepParameters::Weights, progress, &ctx)? + along_gates(own)?)?,
            (None, None) => self.task_loss(batch, *trained, progress, &ctx)?,
        };
        let target = self.settings.control.target(self.settings.target, progress.share);
        self.settled = target <= self.settings.target;
        if *trained != StepParameters::Weights {
            let (term, expected) = self.cost_term(target)?;
            loss = (loss + term)?;
            self.multiplier = self.settings.control.adapted(expected, target, self.multiplier);
        }
        Ok(StepLoss { loss, ctx, samples: batch.len(), terms: batch.len() })
    }

    /// Draws the rows that train the gates, one half of all rows.
    fn halve(&mut self, training: &EncodedDataset, seed: u64) -> Result<()> {
        if self.settings.update == Update::Joint {
            return Ok(());
        }
        if training.len() < 2 {
            return Err(Error::TooFewRows { rows: training.len(), least: 2 });
        }
        training.check_ids()?;
        let mut ids: Vec<u64> = training.samples.iter().map(|sample| sample.id).collect();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(HALVES);
        ids.shuffle(&mut rng);
        self.second_half = ids[..training.len() / 2].iter().copied().collect();
        Ok(())
    }
}

impl Objective for ArchitectureSearch {
    type Error = Error;

    fn parameters(&self) -> &Parameters {
        self.model.encoder().parameters()
    }

    fn check_data(&self, data: &EncodedDataset) -> Result<()> {
        Ok(self.model.check_data(data)?)
    }

    fn prepare(&mut self, training: &EncodedDataset, progress: Progress) -> Result<()> {
        training.check_classes(self.model.classifier().classes())?;
        self.halve(training, progress.seed)
    }

    fn offer(&mut self, batch: PackedBatch, _: Progress) -> Result<Option<StepLoss>> {
        if self.settings.update == Update::Joint {
            self.pending.push_back(PendingStep { batch, trained: StepParameters::Both, weights_batch: None });
            return Ok(None);
        }
        let half = |second: bool| {
            let belongs = |sample: &usize| self.second_half.contains(&batch.sample_ids[*sample]) == second;
            let samples: Vec<usize> = (0..batch.len()).filter(belongs).collect();
            (!samples.is_empty()).then(|| batch.select(&samples))
        };
        let (weights, gates) = (half(false), half(true));
        // If a batch contains only gate rows, the unrolled step reuses them.
        let ahead = || weights.clone().or_else(|| gates.clone());
        let weights_batch = matches!(self.settings.update, Update::Unrolled { .. }).then(ahead).flatten();
        let steps = [(weights, StepParameters::Weights, None), (gates, StepParameters::Gates, weights_batch)];
        self.pending.extend(
            steps.into_iter().filter_map(|(batch, trained, weights_batch)| {
                Some(PendingStep { batch: batch?, trained, weights_batch })
            }),
        );
        Ok(None)
    }

    fn next_loss(&mut self, progress: Progress, _drain: bool) -> Result<Option<StepLoss>> {
        self.thaw();
        let Some(pending) = self.pending.pop_front() else { return Ok(None) };
        if pending.trained != StepParameters::Both && self.last_step.replace(progress.step) == Some(progress.step) {
            return Err(Error::argument("accumulate", "1 where weights and gates are trained in turns", "more"));
        }
        self.step(&pending, progress).map(Some)
    }

    fn score(&self, data: &EncodedDataset, batch_size: usize) -> Result<f64> {
        self.macro_f1(data, batch_size)
    }

    fn may_be_best(&self) -> bool {
        self.settled
    }

    fn state(&self) -> Result<Value> {
        let settings = serde_json::to_value(&self.settings)
            .map_err(|source| Error::Json { what: "settings of the search".into(), source })?;
        Ok(json!({
            "search": settings, "model": self.model.state()?, "multiplier": self.multiplier, "settled": self.settled,
            "second_half": self.second_half,
        }))
    }

    fn differences(&self, state: &Value) -> Result<Vec<SettingMismatch>> {
        let settings = |state: &Value| json!({ "search": state["search"], "model": state["model"] });
        Ok(SettingMismatch::between(&settings(state), &settings(&self.state()?)))
    }

    fn restore(&mut self, state: Value, training: &EncodedDataset) -> Result<()> {
        training.check_classes(self.model.classifier().classes())?;
        let failed = |source| Error::Json { what: "state of the search".into(), source };
        let multiplier: f64 = serde_json::from_value(state["multiplier"].clone()).map_err(failed)?;
        let settled: bool = serde_json::from_value(state["settled"].clone()).map_err(failed)?;
        let second_half = serde_json::from_value(state["second_half"].clone()).map_err(failed)?;
        (self.multiplier, self.settled, self.second_half) = (multiplier, settled, second_half);
        self.pending.clear();
        self.last_step = None;
        self.thaw();
        Ok(())
    }
}

impl Predict for ArchitectureSearch {
    fn predict(&self, batch: &PackedBatch, ctx: &ForwardContext) -> Result<Vec<u32>> {
        Ok(self.masked_logits(batch, ctx)?.argmax(D::Minus1)?.to_vec1()?)
    }
}
