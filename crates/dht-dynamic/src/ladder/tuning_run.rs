//! Runs fine-tuning (rung 2, the last training step), with validations during training and early stopping.

use std::cell::Cell;
use std::time::Instant;

use dht_transformer::error::SettingMismatch;
use dht_transformer::tensors::Parameters;
use dht_transformer::train::{Event, Observer, StepRecord};
use dht_transformer::{
    CheckpointSettings, EncodedDataset, Error as TransformerError, Objective, PackedBatch, Progress, StepLoss,
    TextClassifier, TrainSettings, Trainer, tasks::FineTuning,
};
use serde_json::{Value, json};

use super::next_step::NextStep;
use super::report::{LadderEvent, Measurement, Rung, Stop};
use crate::error::{Error, Result};
use crate::exit::Stacker;
use crate::log_probabilities::LogProbabilities;

/// Number of optimiser steps between two checkpoints.
pub(super) const CHECKPOINT_STEPS: u64 = 200;
/// Number of validations in each pass over the training rows.
const VALIDATIONS: usize = 4;
/// Maximum number of optimiser steps between two validations.
const MOST_STEPS: usize = 300;

/// Number of optimiser steps between two validations. `steps_of_pass` is the number of steps in one pass over the rows.
pub(super) fn steps_between(steps_of_pass: usize) -> usize {
    steps_of_pass.div_ceil(VALIDATIONS).min(MOST_STEPS)
}

/// Validation rows of fine-tuning, with the n-gram classifier's predictions for them.
pub(super) struct Validation<'a> {
    pub(super) texts: &'a EncodedDataset,
    pub(super) labels: Vec<u32>,
    /// Weight of each class; `None` for equal weights.
    pub(super) class_weights: Option<&'a [f32]>,
    /// Predictions of an n-gram classifier that was not fitted on the validation rows.
    pub(super) front: LogProbabilities,
    /// FLOPs of a forward pass of all layers over the validation rows.
    pub(super) flops: u64,
}

impl Validation<'_> {
    /// Combines a classifier's predictions for the validation rows with the n-gram classifier's. The stacking weights
    /// are fitted on the same rows. Also returns the FLOPs of this fit.
    pub(super) fn stacked(&self, classifier: &TextClassifier, batch_size: usize) -> Result<(LogProbabilities, u64)> {
        let own = LogProbabilities::of_classifier(classifier, self.texts, batch_size)?;
        let (stacker, flops) = Stacker::fit_weighted(&self.front, &own, &self.labels, self.class_weights)?;
        Ok((stacker.stack(&self.front, &own)?, flops))
    }

    /// Mean loss of predictions for the validation rows, weighted by class.
    pub(super) fn loss(&self, answers: &LogProbabilities) -> f64 {
        answers.weighted_loss(&self.labels, self.class_weights)
    }
}

/// Fine-tuning objective whose validation score includes the n-gram classifier: the two models' predictions are
/// combined. The score is exp(−loss), the geometric mean of the true classes' probabilities, weighted by class.
struct Stacked<'a> {
    tuning: FineTuning,
    validation: &'a Validation<'a>,
    /// FLOPs of the encoder in all validations so far.
    flops: Cell<u64>,
    /// FLOPs of fitting the stacking weights in all validations so far.
    flops_of_fits: Cell<u64>,
}

impl Objective for Stacked<'_> {
    type Error = Error;

    fn may_split(error: &Error) -> bool {
        matches!(error, Error::Transformer(TransformerError::DeviceMemory(_)))
    }

    fn parameters(&self) -> &Parameters {
        self.tuning.parameters()
    }

    fn check_data(&self, data: &EncodedDataset) -> Result<()> {
        Ok(self.tuning.check_data(data)?)
    }

    fn prepare(&mut self, training: &EncodedDataset, progress: Progress) -> Result<()> {
        Ok(self.tuning.prepare(training, progress)?)
    }

    fn offer(&mut self, batch: PackedBatch, progress: Progress) -> Result<Option<StepLoss>> {
        Ok(self.tuning.offer(batch, progress)?)
    }

    fn score(&self, _: &EncodedDataset, batch_size: usize) -> Result<f64> {
        let (stacked, fits) = self.validation.stacked(self.tuning.model(), batch_size)?;
        self.flops.set(self.flops.get() + self.validation.flops);
        self.flops_of_fits.set(self.flops_of_fits.get() + fits);
        Ok((-self.validation.loss(&stacked)).exp())
    }

    fn metric(&self) -> &'static str {
        "likelihood"
    }

    fn state(&self) -> Result<Value> {
        let (flops, fits) = (self.flops.get(), self.flops_of_fits.get());
        Ok(json!({ "tuning": self.tuning.state()?, "flops": flops, "flops_of_fits": fits }))
    }

    fn differences(&self, state: &Value) -> Result<Vec<SettingMismatch>> {
        Ok(self.tuning.differences(&state["tuning"])?)
    }

    fn restore(&mut self, mut state: Value, training: &EncodedDataset) -> Result<()> {
        let number = |name: &'static str| {
            state[name].as_u64().ok_or_else(|| Error::state(name, "a number of FLOPs", &state[name]))
        };
        let (flops, fits) = (number("flops")?, number("flops_of_fits")?);
        self.tuning.restore(state["tuning"].take(), training)?;
        self.flops.set(flops);
        self.flops_of_fits.set(fits);
        Ok(())
    }
}

/// Plan and limits of a fine-tuning run.
pub(super) struct TuningRun<'a> {
    pub(super) settings: TrainSettings,
    pub(super) training: &'a EncodedDataset,
    pub(super) validation: &'a Validation<'a>,
    pub(super) checkpoint: Option<CheckpointSettings>,
    pub(super) stop: Option<std::sync::Arc<std::sync::atomic::AtomicBool>>,
    /// Time at which fine-tuning ends; `None` without a time limit.
    pub(super) deadline: Option<Instant>,
    /// FLOPs of one pass over all training rows.
    pub(super) pass_flops: u64,
    /// FLOPs that the training run used before fine-tuning.
    pub(super) flops_before: u64,
    /// FLOPs of all planned optimiser steps.
    pub(super) flops: u64,
    /// Number of optimiser steps between two validations.
    pub(super) every: usize,
    /// Planned number of passes over all training rows.
    pub(super) passes: f64,
    /// True if the stopping rule decides after each validation; false if all planned steps run.
    pub(super) asks: bool,
    /// True to end fine-tuning at the saved checkpoint, without further steps.
    pub(super) finish: bool,
    pub(super) start: Instant,
}

/// Fine-tuned classifier, with the cost of fine-tuning.
pub(super) struct Tuned {
    pub(super) classifier: TextClassifier,
    /// FLOPs of the optimiser steps and of the validations.
    pub(super) flops: u64,
    /// FLOPs of fitting the stacking weights, which `flops` does not include.
    pub(super) flops_of_fits: u64,
    /// Completed share of the planned optimiser steps.
    pub(super) share: f64,
    /// Reason why fine-tuning ended early; `None` if all planned steps ran.
    pub(super) stop: Option<Stop>,
}

impl TuningRun<'_> {
    /// Fine-tunes a classifier. Returns it with the parameters that had the lowest validation loss.
    pub(super) fn run(
        self,
        classifier: TextClassifier,
        so_far: &mut Vec<Measurement>,
        next: &mut dyn NextStep,
        watch: &mut dyn FnMut(LadderEvent<'_>),
    ) -> Result<Tuned> {
        let steps_of_pass = self.training.len().div_ceil(self.settings.batch_size * self.settings.accumulate);
        let settings = TrainSettings { evaluate_every: Some(self.every), keep_best: true, ..self.settings.clone() };
        let trainer =
            Trainer { checkpoint: self.checkpoint.clone(), stop: self.stop.clone(), ..Trainer::new(settings) };
        let tuning = FineTuning::new(classifier);
        let mut objective =
            Stacked { tuning, validation: self.validation, flops: Cell::new(0), flops_of_fits: Cell::new(0) };
        let steps = (steps_of_pass * self.settings.epochs) as u64;
        let (training, texts) = (self.training, self.validation.texts);
        let mut rule = Watch { run: self, steps, done: 0, so_far, next, watch, stop: None };
        let trained = trainer.fit(&mut objective, training, texts, &mut rule);
        let (stop, done) = (rule.stop, rule.done);
        match (trained, stop) {
            (Ok(_), _) | (Err(Error::Transformer(TransformerError::Stopped { .. })), Some(_)) => {}
            (Err(error), _) => return Err(error),
        }
        let (flops, flops_of_fits) = (objective.tuning.flops() + objective.flops.get(), objective.flops_of_fits.get());
        let share = if stop.is_some() { done as f64 / steps.max(1) as f64 } else { 1.0 };
        Ok(Tuned { classifier: objective.tuning.into_model(), flops, flops_of_fits, share, stop })
    }
}

/// Training observer that reports progress, and ends fine-tuning when the stopping rule or the time limit requires it.
struct Watch<'a, 'b> {
    run: TuningRun<'b>,
    steps: u64,
    done: u64,
    so_far: &'a mut Vec<Measurement>,
    next: &'a mut dyn NextStep,
    watch: &'a mut dyn FnMut(LadderEvent<'_>),
    stop: Option<Stop>,
}

impl Watch<'_, '_> {
    fn validated(&mut self, record: &StepRecord) {
        // The caller measures the last step, with the best parameters.
        if record.step >= self.steps || self.stop.is_some() {
            return;
        }
        self.done = record.step;
        let (share, checks) = (
            record.step as f64 / self.steps as f64,
            1 + self.so_far.iter().rev().take_while(|past| past.accuracy.is_none()).count() as u64,
        );
        let flops = self.run.flops_before + (share * self.run.flops as f64) as u64 + checks * self.run.validation.flops;
        let measured = Measurement {
            rung: Rung::FineTuned,
            passes: share * self.run.passes,
            planned_passes: self.run.passes,
            accuracy: None,
            loss: -record.validation_score.ln(),
            flops,
            cost: flops as f64 / self.run.pass_flops.max(1) as f64,
            seconds: self.run.start.elapsed().as_secs_f64(),
        };
        self.so_far.push(measured);
        (self.watch)(LadderEvent::Measured(&measured));
        if self.run.asks && !self.next.goes_on(self.so_far, Rung::FineTuned) {
            self.stop = Some(Stop::Rule);
        }
    }
}

impl Observer for Watch<'_, '_> {
    fn observe(&mut self, event: Event<'_>) {
        (self.watch)(LadderEvent::Training(event));
        match event {
            Event::Started { samples, total, evaluations, .. } => {
                evaluations.iter().for_each(|record| self.validated(record));
                self.done = (self.steps as f64 * samples as f64 / total.max(1) as f64) as u64;
                if self.run.finish {
                    self.stop = self.stop.or(Some(Stop::Finished));
                }
            }
            Event::Evaluation(record) => self.validated(record),
            Event::Step { .. } => {
                self.done += 1;
                let late = self.run.deadline.is_some_and(|deadline| Instant::now() >= deadline);
                if late && self.stop.is_none() {
                    self.stop = Some(Stop::Time);
                }
            }
            _ => {}
        }
    }

    fn stops(&self) -> bool {
        self.stop.is_some()
    }
}
