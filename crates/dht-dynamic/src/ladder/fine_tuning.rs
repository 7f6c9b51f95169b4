//! Plans and runs fine-tuning (rung 2, the last training step): learning rate, number of passes, budget and time limit.

use std::time::{Duration, Instant};

use dht_transformer::tasks::FineTuning;
use dht_transformer::{
    AdamWSettings, CheckpointSettings, Error as TransformerError, TextClassifier, TrainSettings, Trainer,
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::ladder::{Ladder, cost};
use super::next_step::UnlessStill;
use super::report::{LadderEvent, Rung, Stop};
use super::settings::Plan;
use super::tuning_run::{CHECKPOINT_STEPS, Tuned, TuningRun, Validation, steps_between};
use crate::error::Result;

/// Planned number of fine-tuning passes (epochs) over the training rows.
const PASSES: usize = 3;
/// Minimum number of planned optimiser steps. Small data sets get more than [`PASSES`] passes to reach it.
const STEPS: usize = 300;
/// Maximum number of training rows in the trial of a learning rate.
const TRIAL_ROWS: usize = 2_000;
/// Minimum length of fine-tuning, as a share of one pass over the training rows. Fine-tuning is skipped if budget or
/// time allow less.
const LEAST_PASS: f64 = 0.1;
/// Share of the remaining time that fine-tuning may use. The rest is reserved for fitting the exits.
const PLANNED: f64 = 0.7;

impl Ladder<'_> {
    /// Selects the learning rate. Each of the settings' `rates` is tried for one pass, and the rate with the lowest
    /// validation loss is used. A resumed run uses the saved rate. If `rates` is empty, the learning rate stays as it
    /// is in the settings.
    pub(super) fn find_rate(
        &mut self,
        convex: &TextClassifier,
        settings: &TrainSettings,
        validation: &Validation<'_>,
    ) -> Result<()> {
        let mut least = f64::INFINITY;
        if let Some(Plan { learning_rate, .. }) = self.settings.plan() {
            self.learning_rate = learning_rate;
            return Ok(());
        }
        let rows = self.texts.training.sample(TRIAL_ROWS, &mut ChaCha8Rng::seed_from_u64(self.seed));
        for &rate in &self.settings.rates {
            let optimizer = AdamWSettings { learning_rate: rate, ..settings.optimizer.clone() };
            let trial = TrainSettings { epochs: 1, patience: None, optimizer, ..settings.clone() };
            let mut tuning = FineTuning::new(convex.deep_clone()?);
            let loss = match Trainer::new(trial).fit(&mut tuning, &rows, None, &mut ()) {
                Ok(_) => {
                    let (answers, fits) = validation.stacked(tuning.model(), 2 * settings.batch_size)?;
                    self.flops += validation.flops;
                    self.add_fits(fits);
                    validation.loss(&answers)
                }
                Err(TransformerError::Diverged { .. }) => f64::INFINITY,
                Err(error) => return Err(error.into()),
            };
            self.flops += tuning.flops();
            (self.watch)(LadderEvent::Rate { rate, loss });
            if loss < least {
                (self.learning_rate, least) = (rate, loss);
            }
        }
        Ok(())
    }

    /// Fine-tunes the classifier `start` until the stopping rule, the budget or the time limit ends the training.
    /// Returns the parameters with the lowest validation loss, and the reason for the end.
    pub(super) fn fine_tune(
        &mut self,
        start: TextClassifier,
        settings: &TrainSettings,
        validation: &Validation<'_>,
        time_of_pass: Duration,
    ) -> Result<(TextClassifier, Stop)> {
        let steps = self.texts.training.len().div_ceil(settings.batch_size * settings.accumulate);
        let every = steps_between(steps);
        let flops_of_pass = self.pass_flops + steps.div_ceil(every) as u64 * validation.flops;
        let planned = match self.settings.least {
            Rung::FineTuned => settings.epochs,
            _ => PASSES.max(STEPS.div_ceil(steps)).min(settings.epochs),
        };
        let (passes, limit) = self.room(planned as f64, flops_of_pass, validation, time_of_pass);
        let plan = match self.settings.plan() {
            Some(plan) => plan,
            None if passes < LEAST_PASS => return Ok((start, limit)),
            None => self.plan(passes),
        };
        self.settings.save_plan(plan)?;
        let (classifier, ended) = self.run(start, settings, validation, (plan, every, time_of_pass))?;
        let (answers, fits) = validation.stacked(&classifier, 2 * settings.batch_size)?;
        self.flops += validation.flops;
        self.add_fits(fits);
        self.measure(Rung::FineTuned, &answers, &validation.labels);
        Ok((classifier, ended.unwrap_or(limit)))
    }

    /// Converts a number of passes over all training rows into rows and epochs. Less than one pass becomes one epoch
    /// over a sample of the rows.
    fn plan(&self, passes: f64) -> Plan {
        let all = self.texts.training.len();
        let (rows, epochs) =
            if passes < 1.0 { (((passes * all as f64) as usize).max(1), 1) } else { (all, passes as usize) };
        Plan { learning_rate: self.learning_rate, rows, epochs }
    }

    /// Fine-tunes the classifier `start` as planned. `every` is the number of optimiser steps between two validations.
    fn run(
        &mut self,
        start: TextClassifier,
        settings: &TrainSettings,
        validation: &Validation<'_>,
        (Plan { rows, epochs, .. }, every, time_of_pass): (Plan, usize, Duration),
    ) -> Result<(TextClassifier, Option<Stop>)> {
        let training = self.texts.training;
        let sample = || training.sample(rows, &mut ChaCha8Rng::seed_from_u64(self.seed));
        let part = (rows < training.len()).then(sample);
        let rows = part.as_ref().unwrap_or(training);
        let passes = rows.len() as f64 / training.len() as f64 * epochs as f64;
        let classifier = self.classifier;
        let checkpoint =
            self.settings.state().map(|path| CheckpointSettings { path, every_steps: CHECKPOINT_STEPS, resume: true });
        let run = TuningRun {
            settings: TrainSettings { epochs, seed: self.seed, ..settings.clone() },
            training: rows,
            validation,
            checkpoint,
            stop: self.settings.stop.clone(),
            deadline: self.time_left().map(|left| Instant::now() + left.mul_f64(PLANNED)),
            pass_flops: self.pass_flops,
            flops_before: self.flops,
            flops: epochs as u64 * cost(classifier, rows, |load| classifier.backward_flops(load).0),
            every,
            passes,
            asks: self.settings.least < Rung::FineTuned,
            finish: self.settings.finish,
            start: self.start,
        };
        let exits = time_of_pass.mul_f64(self.flops_of_exits as f64 / self.pass_flops.max(1) as f64);
        let least = if self.settings.least < Rung::FineTuned { UnlessStill::first_asked(passes) } else { passes };
        let time = (time_of_pass.mul_f64(least.min(passes)) + exits, time_of_pass.mul_f64(passes) + exits);
        if !self.settings.finish {
            (self.watch)(LadderEvent::FineTuningStarted { passes, time });
        }
        let tuned = run.run(start, &mut self.measured, &mut *self.next, &mut *self.watch);
        (self.watch)(LadderEvent::FineTuningEnded);
        let Tuned { classifier, flops, flops_of_fits, share, stop } = tuned?;
        self.flops += flops;
        self.add_fits(flops_of_fits);
        (self.passes, self.planned_passes) = (share * passes, passes);
        Ok((classifier, stop))
    }

    /// Reduces the planned number of passes to the number that the budget and the remaining time allow. Also returns
    /// the limit that applies, or [`Stop::Top`] if the number is not reduced.
    fn room(
        &self,
        planned: f64,
        flops_of_pass: u64,
        validation: &Validation<'_>,
        time_of_pass: Duration,
    ) -> (f64, Stop) {
        let mut room = (planned, Stop::Top);
        if let Some(allowed) = self.allowed() {
            // The finished model is validated once more.
            let left = allowed.saturating_sub(self.flops + self.flops_of_exits + validation.flops);
            let within = left as f64 / flops_of_pass.max(1) as f64;
            room = if within < room.0 { (within, Stop::Budget) } else { room };
        }
        if let Some(left) = self.time_left() {
            let within = PLANNED * left.as_secs_f64() / time_of_pass.as_secs_f64().max(1e-9);
            room = if within < room.0 { (within, Stop::Time) } else { room };
        }
        room
    }
}
