//! The one training loop: epochs, steps, validation, checkpoints.

use std::path::PathBuf;
use std::time::Instant;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::metrics::Confusion;
use super::objective::{Objective, Predict, Progress};
use super::session::Session;
use crate::backend::ForwardContext;
use crate::data::{EncodedDataset, epoch_order, longest_first};
use crate::error::{Error, Result};
use crate::train::optim::{AdamW, AdamWSettings, ParameterGroups, Schedule};

/// How a training runs. Learned state is elsewhere.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TrainSettings {
    /// How often the training samples are gone through.
    pub epochs: usize,
    /// Samples a batch.
    pub batch_size: usize,
    /// Losses (of a batch each, in a plain training) whose gradients are added up for one optimiser step: as one batch
    /// so many times as large, for the memory of a small one. The last step of an epoch may have fewer.
    pub accumulate: usize,
    /// Batches that are sorted by length together; 1 is a plain shuffle.
    pub length_window: usize,
    /// Keys order and dropout.
    pub seed: u64,
    /// The optimiser; its `learning_rate` is the peak of the schedule.
    pub optimizer: AdamWSettings,
    /// The course of the learning rate over the samples.
    pub schedule: Schedule,
    /// Whether the parameters that did best on the validation samples come back at the end.
    pub keep_best: bool,
}

impl Default for TrainSettings {
    fn default() -> Self {
        Self {
            epochs: 3,
            batch_size: 32,
            accumulate: 1,
            length_window: 8,
            seed: 0,
            optimizer: AdamWSettings::default(),
            schedule: Schedule::default(),
            keep_best: true,
        }
    }
}

/// Where a training is kept, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointSettings {
    /// The file; written whole or not at all.
    pub path: PathBuf,
    /// Optimiser steps between two checkpoints; each epoch ends with one in any case.
    pub every_steps: u64,
    /// Whether to go on from the file if it is there.
    pub resume: bool,
}

/// What an observer hears. Observers are told, never asked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Event<'a> {
    /// The training begins, or goes on after `samples` of `total` samples.
    Started {
        /// Samples behind.
        samples: u64,
        /// Samples of all epochs.
        total: u64,
    },
    /// A step was made.
    Step {
        /// Where the training stood.
        progress: Progress,
        /// The mean loss of the step, in nats.
        loss: f64,
        /// How many samples.
        samples: usize,
    },
    /// An epoch is over.
    Epoch(&'a EpochRecord),
}

/// Listens to a training.
pub trait Observer {
    /// Something happened.
    fn observe(&mut self, event: Event<'_>);
}

/// Listens to nothing.
impl Observer for () {
    fn observe(&mut self, _: Event<'_>) {}
}

impl<F: FnMut(Event<'_>)> Observer for F {
    fn observe(&mut self, event: Event<'_>) {
        self(event);
    }
}

/// What an epoch came to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// The epoch, from 0.
    pub epoch: usize,
    /// The mean training loss of its samples, in nats.
    pub loss: f64,
    /// The [score](Objective::score) on the validation samples after it; `None` without any.
    pub validation_score: Option<f64>,
}

/// What a training came to.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// The share of the training behind and the mean loss, for each step.
    pub losses: Vec<(f64, f64)>,
    /// Each epoch.
    pub epochs: Vec<EpochRecord>,
    /// The epoch whose parameters were kept.
    pub best_epoch: Option<usize>,
    /// Optimiser steps.
    pub steps: u64,
    /// Steps that were skipped because a gradient was not finite.
    pub skipped_steps: u64,
    /// Samples trained on.
    pub samples: u64,
    /// Wall clock of all steps: batches, forward, backward, optimiser.
    pub train_seconds: f64,
    /// Of those, the optimiser.
    pub optimizer_seconds: f64,
}

/// Predictions on a data set and what they took.
#[derive(Debug, Clone, PartialEq)]
pub struct Predictions {
    /// The predicted class of each row.
    pub labels: Vec<u32>,
    /// Wall clock without tokenising.
    pub seconds: f64,
}

/// Predicts every row, longest texts first.
///
/// # Errors
/// The objective's.
pub fn predict_all<O: Predict>(
    objective: &O,
    data: &EncodedDataset,
    batch_size: usize,
) -> Result<Predictions, O::Error> {
    let (start, ctx) = (Instant::now(), ForwardContext::inference());
    let mut labels = vec![0; data.len()];
    for rows in longest_first(&data.lengths(), batch_size)? {
        for (row, label) in rows.iter().zip(objective.predict(&data.batch(&rows)?, &ctx)?) {
            labels[*row] = label;
        }
    }
    Ok(Predictions { labels, seconds: start.elapsed().as_secs_f64() })
}

/// How predictions compare with the labels of a data set.
///
/// # Errors
/// [`Error::Shape`] when there are not as many as rows; [`Error::Setting`] for a class that the data set has not.
pub fn score(data: &EncodedDataset, predicted: &[u32]) -> Result<Confusion> {
    let truth: Vec<usize> = data.samples.iter().map(|sample| sample.label as usize).collect();
    let predicted: Vec<usize> = predicted.iter().map(|label| *label as usize).collect();
    Confusion::from_labels(data.labels.len(), &truth, &predicted)
}

/// The macro F1 of an objective's predictions.
///
/// # Errors
/// As [`predict_all`] and [`score`].
pub fn macro_f1<O: Predict>(objective: &O, data: &EncodedDataset, batch_size: usize) -> Result<f64, O::Error> {
    let predicted = predict_all(objective, data, batch_size)?;
    Ok(score(data, &predicted.labels)?.macro_f1())
}

/// Trains an objective.
///
/// # Examples
/// See `examples/` of this crate.
#[derive(Debug, Clone, Default)]
pub struct Trainer {
    /// How the training runs.
    pub settings: TrainSettings,
    /// Where it is kept; `None` keeps nothing.
    pub checkpoint: Option<CheckpointSettings>,
    /// Decay and rate of each parameter; `None` is [`ParameterGroups::standard`].
    pub groups: Option<ParameterGroups>,
}

impl Trainer {
    /// A training with these settings that is kept nowhere.
    pub fn new(settings: TrainSettings) -> Self {
        Self { settings, checkpoint: None, groups: None }
    }

    /// Trains `objective` on the training samples, scores it on the validation samples after each epoch (none: no
    /// scoring), and leaves it with the best parameters.
    ///
    /// Stopped and resumed, a training takes the same steps and ends with the same bits as one that was not.
    ///
    /// # Errors
    /// [`Error::Setting`] for settings out of range or an empty training set; [`Error::Diverged`] when a loss is not
    /// finite, in which case the last checkpoint is still there; what checkpoints and the objective report.
    pub fn fit<O: Objective>(
        &self,
        objective: &mut O,
        training: &EncodedDataset,
        validation: &EncodedDataset,
        observer: &mut dyn Observer,
    ) -> Result<History, O::Error> {
        self.settings.check()?;
        if training.is_empty() {
            let (expected, got) = ("at least one sample".into(), "none".into());
            return Err(Error::Setting { field: "training", expected, got }.into());
        }
        let standard = || ParameterGroups::standard(objective.parameters());
        let groups = self.groups.clone().unwrap_or_else(standard);
        let optimizer = AdamW::new(self.settings.optimizer.clone(), &groups, objective.parameters())?;
        let mut session = Session::new(self, optimizer, training);
        if !session.resume(objective, training)? {
            objective.prepare(training, session.progress())?;
        }
        observer.observe(Event::Started { samples: session.samples, total: session.total });

        let lengths = training.lengths();
        while session.epoch < self.settings.epochs {
            for rows in self.order(&lengths, session.epoch)?.iter().skip(session.batch) {
                let start = Instant::now();
                objective.offer(training.batch(rows)?, session.progress())?;
                session.samples += rows.len() as u64;
                session.batch += 1;
                session.step_while_ready(objective, false, observer)?;
                session.history.train_seconds += start.elapsed().as_secs_f64();
                session.save_if_due(objective)?;
            }
            let start = Instant::now();
            session.step_while_ready(objective, true, observer)?;
            session.history.train_seconds += start.elapsed().as_secs_f64();
            let score = match validation.is_empty() {
                true => None,
                false => Some(objective.score(validation, 2 * self.settings.batch_size)?),
            };
            session.end_epoch(objective, score, observer)?;
        }
        if let (true, Some(best)) = (self.settings.keep_best, session.best.take()) {
            session.history.best_epoch = Some(best.epoch);
            best.put_back(objective)?;
        }
        Ok(session.history)
    }

    /// The batches of an epoch: a function of seed and epoch alone, so that a resumed training finds them again.
    fn order(&self, lengths: &[usize], epoch: usize) -> Result<Vec<Vec<usize>>> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.settings.seed);
        rng.set_stream(epoch as u64 + 1);
        epoch_order(lengths, self.settings.batch_size, self.settings.length_window, &mut rng)
    }
}

impl TrainSettings {
    /// Whether the settings are possible.
    ///
    /// # Errors
    /// [`Error::Setting`] names the first that is not.
    pub fn check(&self) -> Result<()> {
        let counts = [
            ("epochs", self.epochs),
            ("batch_size", self.batch_size),
            ("accumulate", self.accumulate),
            ("length_window", self.length_window),
        ];
        if let Some((field, _)) = counts.into_iter().find(|(_, count)| *count == 0) {
            return Err(Error::Setting { field, expected: "at least 1".into(), got: "0".into() });
        }
        self.schedule.check()
    }
}
