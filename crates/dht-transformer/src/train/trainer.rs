//! Training loop: epochs, steps, validation and checkpoints.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::history::History;
use super::objective::Objective;
use super::observer::{Event, Observer};
use super::optim::{AdamW, ParameterGroups};
use super::session::Session;
use super::settings::{CheckpointSettings, TrainSettings};
use crate::data::{EncodedDataset, PackedBatch};
use crate::error::{Error, Result};

/// Default of [`Trainer::save_every`], the maximum age of the last checkpoint.
const SAVE_EVERY: Duration = Duration::from_secs(60);

/// Training loop for any [`Objective`]: epochs, validation, early stopping and checkpoints.
///
/// # Examples
/// The [crate documentation](crate) has a complete program.
#[derive(Debug, Clone)]
pub struct Trainer {
    /// Settings of the training run.
    pub settings: TrainSettings,
    /// Path and frequency of checkpoints; `None` writes none.
    pub checkpoint: Option<CheckpointSettings>,
    /// Weight decay and learning-rate factor of each parameter. `None` selects [`ParameterGroups::standard`].
    pub groups: Option<ParameterGroups>,
    /// Maximum age of the last checkpoint. When it is exceeded, a checkpoint is written after the current step, in
    /// addition to those of [`CheckpointSettings`]. It does not affect results. Default: one minute.
    pub save_every: Duration,
    /// Flag that another thread can set to stop the run. The run then writes a checkpoint after the current step, or
    /// after the validation at the end of an epoch, and ends with [`Error::Stopped`]. `None` never stops.
    pub stop: Option<Arc<AtomicBool>>,
}

impl Default for Trainer {
    fn default() -> Self {
        Self::new(TrainSettings::default())
    }
}

impl Trainer {
    /// Creates a trainer with these settings and without checkpoints.
    pub fn new(settings: TrainSettings) -> Self {
        Self { settings, checkpoint: None, groups: None, save_every: SAVE_EVERY, stop: None }
    }

    /// Trains `objective` on the training samples. If there are validation samples, the objective is scored on them
    /// after each epoch and every [`evaluate_every`](TrainSettings::evaluate_every) steps. With
    /// [`keep_best`](TrainSettings::keep_best), the objective ends with the parameters of the best score.
    ///
    /// A run that was stopped and resumed takes the same steps as an uninterrupted run, and its parameters are
    /// bit-identical.
    ///
    /// # Errors
    /// Before anything is trained:
    ///
    /// - [`Error::Argument`] if settings are out of range, the training set is empty, or `patience` or `evaluate_every`
    ///   is set without validation samples;
    /// - errors of [`Objective::check_data`].
    ///
    /// During the run:
    ///
    /// - [`Error::Diverged`] if a loss is not finite;
    /// - [`Error::Stopped`] if the run ends before its last epoch, because [`stop`](Self::stop) was set or the observer
    ///   [stops](Observer::stops) it;
    /// - errors of checkpoints and of the objective.
    ///
    /// After an error in the second epoch or later, `objective` has the best parameters so far if
    /// [`keep_best`](TrainSettings::keep_best) is set, otherwise the parameters of the last step. The last checkpoint
    /// still exists, and the observer receives [`Event::Failed`] with the history.
    pub fn fit<'a, O: Objective>(
        &self,
        objective: &mut O,
        training: &EncodedDataset,
        validation: impl Into<Option<&'a EncodedDataset>>,
        observer: &mut dyn Observer,
    ) -> Result<History, O::Error> {
        let none = training.without_rows();
        let validation = validation.into().unwrap_or(&none);
        self.settings.check()?;
        if training.is_empty() {
            return Err(Error::argument("training", "at least one sample", "none").into());
        }
        let of_validation = [("patience", self.settings.patience), ("evaluate_every", self.settings.evaluate_every)];
        if let Some((field, _)) = of_validation.into_iter().find(|(_, set)| set.is_some() && validation.is_empty()) {
            return Err(Error::argument(field, "none without validation samples", "set").into());
        }
        objective.check_data(training)?;
        objective.check_data(validation)?;
        let standard = || ParameterGroups::standard(objective.parameters());
        let groups = self.groups.clone().unwrap_or_else(standard);
        let optimizer = AdamW::new(self.settings.optimizer.clone(), &groups, objective.parameters())?;
        let mut session =
            Session::new(&self.settings, (self.checkpoint.as_ref(), self.save_every), optimizer, training);
        if !session.resume(objective, training)? {
            let start = Instant::now();
            objective.prepare(training, session.progress())?;
            session.history.train_seconds += start.elapsed().as_secs_f64();
        }
        let (samples, total, metric) = (session.samples, session.total, objective.metric());
        observer.observe(Event::Started { samples, total, metric, evaluations: &session.history.evaluations });
        let trained = self.train(&mut session, objective, (training, validation), observer);
        // Also after an error: an hour of training is worth its best epoch.
        if let (true, Some(best)) = (self.settings.keep_best, session.best.take()) {
            best.put_back(objective, &mut session.history)?;
        }
        if let Err(error) = trained {
            observer.observe(Event::Failed(&session.history));
            return Err(error);
        }
        Ok(session.history)
    }

    fn train<O: Objective>(
        &self,
        session: &mut Session<'_>,
        objective: &mut O,
        (training, validation): (&EncodedDataset, &EncodedDataset),
        observer: &mut dyn Observer,
    ) -> Result<(), O::Error> {
        let lengths = training.lengths();
        if observer.stops() {
            return Err(Error::Stopped { steps: session.history.steps }.into());
        }
        while session.epoch < self.settings.epochs && !session.is_out_of_patience() {
            for rows in self.order(&lengths, session.epoch)?.iter().skip(session.batch) {
                let start = Instant::now();
                session.take_batch(objective, training, rows, observer)?;
                session.history.train_seconds += start.elapsed().as_secs_f64();
                session.evaluate_if_due(objective, validation, observer)?;
                match self.is_to_stop(observer) {
                    true => session.stop(objective)?,
                    false => session.save_if_due(objective)?,
                }
            }
            let start = Instant::now();
            session.step_while_ready(objective, None, true, observer)?;
            session.history.train_seconds += start.elapsed().as_secs_f64();
            let score = match (validation.is_empty(), session.evaluated()) {
                (true, _) => None,
                (false, Some(score)) => Some(score),
                (false, None) => Some(session.score(objective, validation)?),
            };
            session.end_epoch(objective, score, observer)?;
            if self.is_to_stop(observer) && session.epoch < self.settings.epochs {
                session.stop(objective)?;
            }
        }
        Ok(())
    }

    fn is_to_stop(&self, observer: &dyn Observer) -> bool {
        observer.stops() || self.stop.as_ref().is_some_and(|stop| stop.load(Ordering::Relaxed))
    }

    /// Divides the training samples into the batches of an epoch. The division depends only on the seed and the epoch,
    /// so that a resumed run has the same batches.
    fn order(&self, lengths: &[usize], epoch: usize) -> Result<Vec<Vec<usize>>> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.settings.seed);
        rng.set_stream(epoch as u64 + 1);
        PackedBatch::epoch_order(lengths, self.settings.batch_size, self.settings.length_window, &mut rng)
    }
}
