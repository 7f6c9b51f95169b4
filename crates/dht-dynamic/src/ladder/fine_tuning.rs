//! Rung 2: fine-tuning in rounds.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use dht_transformer::tasks::FineTuning;
use dht_transformer::train::optim::{Schedule, WarmUp};
use dht_transformer::{
    AdamWSettings, CheckpointSettings, EncodedDataset, Error as TransformerError, TextClassifier, TrainSettings,
    Trainer,
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::ladder::{Ladder, cost};
use super::report::{LadderEvent, Rung, Stop, least_loss};
use super::round::{CHECKPOINT_STEPS, Round, Tuned, Validation, steps_between};
use crate::error::Result;

/// A round has at least this number of steps.
const LEAST_STEPS: usize = 100;
/// The share of a round that the last one has.
const LAST: f64 = 0.5;
/// The relative fall of the loss in a first pass, below which no round with a falling rate follows.
const LEAST_GAIN: f64 = 0.02;
/// Rows of a trial of a learning rate.
const TRIAL_ROWS: usize = 2_000;
/// The smallest part of a pass that is worth a round.
const LEAST_PASS: f64 = 0.1;
/// The share of the remaining time that is planned for rounds; the rest is for the exits.
const PLANNED: f64 = 0.7;

/// A pass of fine-tuning over the training rows.
struct Pass<'a> {
    settings: &'a TrainSettings,
    validation: &'a Validation<'a>,
    /// Steps between two validations.
    every: usize,
    /// FLOPs of its steps and of the validations in it.
    flops: u64,
    /// Passes of a round at the peak learning rate.
    whole: f64,
    /// True if rung 2 is one round of all its passes, whatever the rule says.
    forced: bool,
}

/// Length and schedule of a round.
struct RoundPlan {
    number: u64,
    /// Passes over the training rows.
    passes: f64,
    schedule: Schedule,
    is_last: bool,
}

impl Pass<'_> {
    /// Plans a round where there is `room` for this number of passes. The rule may have ended the training, so that only
    /// the fall of the rate is left.
    fn round(&self, number: u64, room: f64, ended: bool) -> RoundPlan {
        let is_last = self.forced || ended || room < (1.0 + LAST) * self.whole;
        let (passes, schedule) = match (is_last, number) {
            (false, _) => (self.whole, Schedule::Constant { warm_up: WarmUp::Fraction(0.1) }),
            (true, 0) => (room, self.settings.schedule),
            (true, _) => (room.min(LAST * self.whole), Schedule::Linear { warm_up: WarmUp::NONE }),
        };
        RoundPlan { number, passes, schedule, is_last }
    }
}

impl Ladder<'_> {
    /// Sets the learning rate to the best of the given ones, if there are any.
    pub(super) fn find_rate(
        &mut self,
        convex: &TextClassifier,
        settings: &TrainSettings,
        validation: &Validation<'_>,
    ) -> Result<()> {
        let rows = self.texts.training.sample(TRIAL_ROWS, &mut ChaCha8Rng::seed_from_u64(self.seed));
        let mut least = f64::INFINITY;
        for &rate in &self.settings.rates {
            let optimizer = AdamWSettings { learning_rate: rate, ..settings.optimizer.clone() };
            let trial = TrainSettings { epochs: 1, patience: None, optimizer, ..settings.clone() };
            let mut tuning = FineTuning::new(convex.deep_clone()?);
            let loss = match Trainer::new(trial).fit(&mut tuning, &rows, None, &mut ()) {
                Ok(_) => {
                    let (answers, flops) = validation.stacked(tuning.model(), 2 * settings.batch_size)?;
                    self.flops += flops;
                    answers.mean_loss(&validation.labels)
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

    /// Rounds of a pass at the peak learning rate, and a last one in which it falls to 0, unless a first pass brought next
    /// to nothing. Where there is room for one round alone, it has the schedule of the settings.
    pub(super) fn fine_tune(
        &mut self,
        mut tuned: TextClassifier,
        settings: &TrainSettings,
        validation: &Validation<'_>,
        time_of_pass: Duration,
    ) -> Result<(TextClassifier, Stop)> {
        let pass = self.pass(settings, validation);
        let start = least_loss(&self.measured);
        let mut ends = None;
        for number in 0.. {
            let (room, limit) = self.room(&pass, time_of_pass);
            let plan = pass.round(number, room, ends.is_some());
            if plan.passes < LEAST_PASS {
                return Ok((tuned, ends.unwrap_or(limit)));
            }
            let before = self.least_of_rounds();
            let previous = (number > 0).then(|| tuned.deep_clone()).transpose()?;
            let (classifier, ended) = self.run_round(&plan, &pass, tuned)?;
            let loss = self.judge_round(&classifier, &pass)?;
            // A round that raises the loss is undone.
            tuned = previous.filter(|_| loss > before).unwrap_or(classifier);
            match ended {
                Some(Stop::Rule) if number > 0 => ends = ended,
                Some(stop) => return Ok((tuned, stop)),
                None if plan.is_last => return Ok((tuned, ends.unwrap_or(limit))),
                None if self.next.goes_on(&self.measured, Rung::FineTuned) => {}
                // The fall of the rate adds nothing to a pass that brought next to nothing.
                None if number == 0 && pass.whole <= 1.0 && loss > (1.0 - LEAST_GAIN) * start => {
                    return Ok((tuned, Stop::Rule));
                }
                None => ends = Some(Stop::Rule),
            }
        }
        Ok((tuned, Stop::Top))
    }

    /// Sizes of a pass of fine-tuning over the training rows.
    fn pass<'p>(&self, settings: &'p TrainSettings, validation: &'p Validation<'p>) -> Pass<'p> {
        let steps = self.texts.training.len().div_ceil(settings.batch_size * settings.accumulate);
        let every = steps_between(steps);
        Pass {
            settings,
            validation,
            every,
            flops: self.pass_flops + steps.div_ceil(every) as u64 * validation.flops,
            whole: LEAST_STEPS.div_ceil(steps) as f64,
            forced: self.settings.least == Rung::FineTuned,
        }
    }

    /// Fine-tunes a classifier for one round. Returns the classifier with its best parameters, and why the round ended
    /// before its last step.
    fn run_round(
        &mut self,
        plan: &RoundPlan,
        pass: &Pass<'_>,
        tuned: TextClassifier,
    ) -> Result<(TextClassifier, Option<Stop>)> {
        let training = self.texts.training;
        let (part, epochs) = match plan.passes {
            part if part < 1.0 => (Some(self.part(part, plan.number)), 1),
            whole => (None, whole as usize),
        };
        let rows = part.as_ref().unwrap_or(training);
        let share = rows.len() as f64 / training.len() as f64 * epochs as f64;
        let classifier = self.classifier;
        let flops = epochs as u64 * cost(classifier, rows, |load| classifier.backward_flops(load).0);
        let checkpoint = self.settings.checkpoints.as_ref().map(|folder| CheckpointSettings {
            path: round_file(folder.clone(), plan.number),
            every_steps: CHECKPOINT_STEPS,
            resume: true,
        });
        let seed = self.seed.wrapping_add(plan.number);
        let round = Round {
            settings: TrainSettings { epochs, schedule: plan.schedule, seed, ..pass.settings.clone() },
            training: rows,
            validation: pass.validation,
            checkpoint,
            stop: self.settings.stop.clone(),
            deadline: self.time_left().map(|left| Instant::now() + left.mul_f64(PLANNED)),
            pass_flops: self.pass_flops,
            flops_before: self.flops,
            flops,
            every: pass.every,
            passes: (self.passes, share),
            asks: !pass.forced && (plan.number == 0 || !plan.is_last),
            start: self.start,
        };
        (self.watch)(LadderEvent::RoundStarted { passes: share });
        let run = round.run(tuned, &mut self.measured, &mut *self.next, &mut *self.watch);
        (self.watch)(LadderEvent::RoundEnded);
        let Tuned { classifier, flops, share: ran, stop } = run?;
        self.flops += flops;
        self.passes += ran * share;
        Ok((classifier, stop))
    }

    /// Measures the stacked answers of a round's classifier on the validation rows. Returns their loss.
    fn judge_round(&mut self, classifier: &TextClassifier, pass: &Pass<'_>) -> Result<f64> {
        let (answers, flops) = pass.validation.stacked(classifier, 2 * pass.settings.batch_size)?;
        self.flops += flops;
        Ok(self.measure(Rung::FineTuned, &answers, &pass.validation.labels))
    }

    /// Passes that settings, budget and time leave for fine-tuning, and which of them is the limit.
    fn room(&self, pass: &Pass<'_>, time_of_pass: Duration) -> (f64, Stop) {
        let mut room = (pass.settings.epochs as f64 - self.passes, Stop::Top);
        if let Some(allowed) = self.allowed() {
            // A round ends with a validation.
            let left = allowed.saturating_sub(self.flops + self.flops_of_exits + pass.validation.flops);
            let within = left as f64 / pass.flops.max(1) as f64;
            room = if within < room.0 { (within, Stop::Budget) } else { room };
        }
        if let Some(left) = self.time_left() {
            let within = PLANNED * left.as_secs_f64() / time_of_pass.as_secs_f64().max(1e-9);
            room = if within < room.0 { (within, Stop::Time) } else { room };
        }
        room
    }

    /// Some of the training rows, for a round of less than a pass.
    fn part(&self, share: f64, number: u64) -> EncodedDataset {
        let rows = ((share * self.texts.training.len() as f64) as usize).max(1);
        self.texts.training.sample(rows, &mut ChaCha8Rng::seed_from_u64(self.seed.wrapping_add(number)))
    }
}

/// The file of a round's state.
fn round_file(folder: PathBuf, number: u64) -> PathBuf {
    folder.join(format!("round-{}.checkpoint", number + 1))
}
