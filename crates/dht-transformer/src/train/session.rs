//! State of a training run in progress. Checkpoints store most of this state.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use candle_core::DType;
use serde_json::Value;

use super::checkpoint::Checkpoint;
use super::history::{EpochRecord, History, StepRecord};
use super::objective::{Objective, Progress, StepLoss};
use super::observer::{Event, Observer};
use super::optim::AdamW;
use super::save_schedule::SaveSchedule;
use super::session_state::{State, TrainingData};
use super::settings::{CheckpointSettings, TrainSettings};
use crate::backend::select;
use crate::data::{EncodedDataset, PackedBatch};
use crate::error::{CheckpointProblem, Error, Result};
use crate::storage::StoredTensor;
use crate::tensors::{Gradients, Parameters};

/// State of a training run in progress: position in the data, optimiser, accumulated gradients and results.
pub(crate) struct Session<'a> {
    settings: &'a TrainSettings,
    checkpoint: Option<&'a CheckpointSettings>,
    optimizer: AdamW,
    training: TrainingData,
    pub(crate) total: u64,
    pub(crate) epoch: usize,
    /// Number of the current epoch's batches that the objective has received.
    pub(crate) batch: usize,
    /// Number of samples that the objective has received so far, over all epochs.
    pub(crate) samples: u64,
    /// Sum of the losses in the current epoch, and the number of samples in this sum.
    epoch_loss: (f64, u64),
    saves: SaveSchedule,
    /// Gradients that are accumulated for the next optimiser step.
    pending: Pending,
    /// `true` while parameters are being updated. If an update fails, the batch cannot be processed again.
    stepping: bool,
    /// Maximum number of samples that the objective receives at once. It is reduced when a batch exceeds the device's
    /// memory.
    most_at_once: usize,
    pub(crate) history: History,
    pub(crate) best: Option<Best>,
}

/// Gradients and losses that are accumulated for one optimiser step.
#[derive(Debug, Default)]
struct Pending {
    losses: usize,
    /// `true` if each gradient is multiplied by the number of terms (samples or tokens) of its loss.
    weighed: bool,
    samples: u64,
    terms: usize,
    /// Sum of the losses, each multiplied by the number of terms (samples or tokens) over which it is a mean.
    loss: f64,
    /// Sum of the gradients. If `weighed` is `true`, each is multiplied by the number of terms of its loss.
    gradients: Option<Gradients>,
}

/// Parameters with the best validation score so far, and the state that the objective had with them.
#[derive(Debug, Clone)]
pub(crate) struct Best {
    epoch: usize,
    step: u64,
    score: f64,
    tensors: BTreeMap<String, StoredTensor>,
    state: Value,
}

impl<'a> Session<'a> {
    pub(crate) fn new(
        settings: &'a TrainSettings,
        (checkpoint, save_every): (Option<&'a CheckpointSettings>, Duration),
        optimizer: AdamW,
        training: &EncodedDataset,
    ) -> Self {
        let every_steps = checkpoint.map_or(u64::MAX, |checkpoint| checkpoint.every_steps);
        Self {
            settings,
            checkpoint,
            optimizer,
            training: TrainingData::new(training),
            total: (settings.epochs * training.len()) as u64,
            epoch: 0,
            batch: 0,
            samples: 0,
            epoch_loss: (0.0, 0),
            saves: SaveSchedule::new(every_steps, save_every),
            pending: Pending::default(),
            stepping: false,
            most_at_once: usize::MAX,
            history: History::default(),
            best: None,
        }
    }

    pub(crate) fn progress(&self) -> Progress {
        Progress {
            seed: self.settings.seed,
            step: self.history.steps,
            epoch: self.epoch,
            share: self.samples as f64 / self.total as f64,
        }
    }

    /// Returns whether early stopping ends the run. The result depends only on the recorded scores, so a resumed run
    /// stops at the same epoch.
    pub(crate) fn is_out_of_patience(&self) -> bool {
        let scores: Vec<f64> = self.history.epochs.iter().filter_map(|epoch| epoch.validation_score).collect();
        let better = |best: usize, epoch: usize| if scores[epoch] > scores[best] { epoch } else { best };
        let best = (1..scores.len()).fold(0, better);
        self.settings.patience.is_some_and(|patience| scores.len() > best + patience)
    }

    /// Passes a batch to the objective, and takes the optimiser steps that its losses allow. A batch that exceeds the
    /// device's memory is passed again in halves, and all later batches are passed in parts, too. The steps are the
    /// same up to rounding.
    pub(crate) fn take_batch<O: Objective>(
        &mut self,
        objective: &mut O,
        training: &EncodedDataset,
        rows: &[usize],
        observer: &mut dyn Observer,
    ) -> Result<(), O::Error> {
        let before = self.progress();
        self.samples += rows.len() as u64;
        self.batch += 1;
        loop {
            let at_once = self.most_at_once.clamp(1, rows.len().max(1));
            let taken = if at_once == rows.len() {
                objective
                    .offer(training.batch(rows)?, before)
                    .and_then(|loss| self.step_while_ready(objective, loss, false, observer))
            } else {
                let parts = rows.chunks(at_once).map(|part| training.batch(part)).collect::<Result<Vec<_>>>()?;
                self.take_parts(objective, parts, before, observer)
            };
            match taken {
                // Sums of several batches cannot be undone.
                Err(error)
                    if O::may_split(&error) && at_once > 1 && self.settings.accumulate == 1 && !self.stepping =>
                {
                    self.pending = Pending::default();
                    self.most_at_once = at_once.div_ceil(2);
                    // If the device refuses this too, the next attempt reports it.
                    let device = objective.parameters().device();
                    let _ = select(device).release_memory(device);
                    observer.observe(Event::InParts { refused: at_once, at_once: self.most_at_once });
                }
                taken => return taken,
            }
        }
    }

    /// Passes a batch to the objective in parts, and combines their gradients into one optimiser step.
    fn take_parts<O: Objective>(
        &mut self,
        objective: &mut O,
        parts: Vec<PackedBatch>,
        before: Progress,
        observer: &mut dyn Observer,
    ) -> Result<(), O::Error> {
        for part in parts {
            let mut ready = objective.offer(part, before)?;
            while let Some(loss) = take_or_next(&mut ready, || objective.next_loss(self.progress(), false))? {
                self.add(&loss, objective.parameters(), true)?;
            }
        }
        if self.pending.losses > 0 {
            self.step(objective.parameters(), observer)?;
        }
        Ok(())
    }

    /// Takes optimiser steps for the loss `ready` and for every further loss that the objective returns.
    pub(crate) fn step_while_ready<O: Objective>(
        &mut self,
        objective: &mut O,
        mut ready: Option<StepLoss>,
        drain: bool,
        observer: &mut dyn Observer,
    ) -> Result<(), O::Error> {
        while let Some(loss) = take_or_next(&mut ready, || objective.next_loss(self.progress(), drain))? {
            self.add(&loss, objective.parameters(), self.settings.accumulate > 1)?;
            if self.pending.losses == self.settings.accumulate {
                self.step(objective.parameters(), observer)?;
            }
        }
        if drain && self.pending.losses > 0 {
            self.step(objective.parameters(), observer)?;
        }
        Ok(())
    }

    /// Runs the backward pass of one loss and accumulates its gradients. With `weighed`, the gradients are multiplied
    /// by the number of terms (samples or tokens) of the loss.
    fn add(&mut self, step: &StepLoss, parameters: &Parameters, weighed: bool) -> Result<()> {
        let loss = f64::from(step.loss.to_dtype(DType::F32)?.to_scalar::<f32>()?);
        if !loss.is_finite() {
            return Err(Error::Diverged { step: self.history.steps, loss });
        }
        let weighed = if weighed { Some((&step.loss * step.terms as f64)?) } else { None };
        let gradients = step.ctx.backward(weighed.as_ref().unwrap_or(&step.loss), parameters)?;
        let pending = &mut self.pending;
        match &mut pending.gradients {
            Some(sum) => sum.add_all(gradients)?,
            none => *none = Some(gradients),
        }
        pending.weighed |= weighed.is_some();
        pending.losses += 1;
        pending.samples += step.samples as u64;
        pending.terms += step.terms;
        pending.loss += loss * step.terms as f64;
        Ok(())
    }

    fn step(&mut self, parameters: &Parameters, observer: &mut dyn Observer) -> Result<()> {
        let progress = self.progress();
        let Pending { samples, terms, loss, gradients, weighed, .. } = std::mem::take(&mut self.pending);
        let loss = loss / terms.max(1) as f64;
        let mut gradients = gradients.unwrap_or_default();
        let start = Instant::now();
        let middle = self.history.samples + samples / 2;
        let settings = self.settings;
        if weighed {
            gradients.scale(1.0 / terms.max(1) as f64)?;
        }
        let rate = settings.optimizer.learning_rate * settings.schedule.rate(middle, self.total);
        self.stepping = true;
        let gradient_norm = self.optimizer.step(parameters, &gradients, rate)?;
        let skipped = !gradient_norm.is_finite();
        self.stepping = false;
        self.history.optimizer_seconds += start.elapsed().as_secs_f64();
        self.history.steps += 1;
        self.history.skipped_steps += u64::from(skipped);
        if skipped {
            tracing::warn!(step = self.history.steps, "step skipped: the gradient was not finite");
        }
        self.history.samples += samples;
        self.history.losses.push((self.history.samples as f64 / self.total as f64, loss));
        self.epoch_loss.0 += loss * samples as f64;
        self.epoch_loss.1 += samples;
        let samples = samples as usize;
        observer.observe(Event::Step { progress, loss, samples, learning_rate: rate, gradient_norm });
        Ok(())
    }

    /// Computes the objective's score on the validation samples. A batch that exceeds the device's memory is divided.
    pub(crate) fn score<O: Objective>(&self, objective: &O, validation: &EncodedDataset) -> Result<f64, O::Error> {
        let mut at_once = self.settings.batch_size.min(self.most_at_once).saturating_mul(2);
        loop {
            match objective.score(validation, at_once) {
                Err(error) if O::may_split(&error) && at_once > 1 => {
                    let device = objective.parameters().device();
                    let _ = select(device).release_memory(device);
                    at_once = at_once.min(validation.len()).div_ceil(2);
                }
                scored => return scored,
            }
        }
    }

    /// Evaluates the objective if the number of steps has reached the next multiple of the evaluation interval. The
    /// condition depends only on recorded steps, so that a resumed run evaluates after the same steps.
    pub(crate) fn evaluate_if_due<O: Objective>(
        &mut self,
        objective: &O,
        validation: &EncodedDataset,
        observer: &mut dyn Observer,
    ) -> Result<(), O::Error> {
        let Some(every) = self.settings.evaluate_every.map(|every| every as u64) else { return Ok(()) };
        let last = self.history.evaluations.last().map_or(0, |last| last.step);
        if self.history.steps / every == last / every {
            return Ok(());
        }
        let record = StepRecord { step: self.history.steps, validation_score: self.score(objective, validation)? };
        self.history.evaluations.push(record);
        self.keep_if_best(objective, record.validation_score)?;
        observer.observe(Event::Evaluation(&record));
        Ok(())
    }

    /// Validation score after the current step, if an evaluation between epochs has computed it.
    pub(crate) fn evaluated(&self) -> Option<f64> {
        let last = self.history.evaluations.last()?;
        (last.step == self.history.steps).then_some(last.validation_score)
    }

    fn keep_if_best<O: Objective>(&mut self, objective: &O, score: f64) -> Result<(), O::Error> {
        let is_candidate = self.settings.keep_best && objective.may_be_best();
        if is_candidate && self.best.as_ref().is_none_or(|best| score > best.score) {
            let (epoch, step, tensors) = (self.epoch, self.history.steps, objective.parameters().values()?);
            self.best = Some(Best { epoch, step, score, tensors, state: objective.state()? });
        }
        Ok(())
    }

    pub(crate) fn end_epoch<O: Objective>(
        &mut self,
        objective: &O,
        score: Option<f64>,
        observer: &mut dyn Observer,
    ) -> Result<(), O::Error> {
        let loss = self.epoch_loss.0 / self.epoch_loss.1.max(1) as f64;
        let record = EpochRecord { epoch: self.epoch, loss, validation_score: score };
        self.history.epochs.push(record);
        if let Some(score) = score {
            self.keep_if_best(objective, score)?;
        }
        (self.epoch, self.batch, self.epoch_loss) = (self.epoch + 1, 0, (0.0, 0));
        observer.observe(Event::Epoch(&record));
        self.save(objective)
    }

    pub(crate) fn save_if_due<O: Objective>(&mut self, objective: &O) -> Result<(), O::Error> {
        if self.saves.is_due(self.history.steps) && self.is_between_steps() { self.save(objective) } else { Ok(()) }
    }

    /// Returns whether no gradients are accumulated. Only then can a checkpoint be written, since it does not store
    /// gradients.
    fn is_between_steps(&self) -> bool {
        self.pending.losses == 0
    }

    /// Writes a checkpoint and ends the run with [`Error::Stopped`]. Does nothing while gradients are accumulated for
    /// the next step.
    pub(crate) fn stop<O: Objective>(&mut self, objective: &O) -> Result<(), O::Error> {
        if !self.is_between_steps() {
            return Ok(());
        }
        self.save(objective)?;
        Err(Error::Stopped { steps: self.history.steps }.into())
    }

    fn save<O: Objective>(&mut self, objective: &O) -> Result<(), O::Error> {
        let Some(settings) = self.checkpoint else { return Ok(()) };
        let (moments, counters) = self.optimizer.parts()?;
        let state = State {
            settings: self.settings.clone(),
            training: self.training.clone(),
            epoch: self.epoch,
            batch: self.batch,
            samples: self.samples,
            epoch_loss: self.epoch_loss,
            history: self.history.clone(),
            optimizer: counters,
            objective: objective.state()?,
            best: self.best.as_ref().map(|best| (best.epoch, best.score, best.state.clone())),
            best_step: self.best.as_ref().map_or(0, |best| best.step),
        };
        let what = || settings.path.display().to_string();
        let state = serde_json::to_value(state).map_err(|source| Error::Json { what: what(), source })?;
        let mut checkpoint = Checkpoint { state, ..Checkpoint::default() };
        let parameters = objective.parameters().values()?;
        if let Some(best) = &self.best {
            // Frozen parameters have not changed, and none has where the best step is the last one.
            let changed = |(name, tensor): &(&String, &StoredTensor)| {
                !parameters.get(*name).is_some_and(|own| own.has_same_bits(tensor))
            };
            let changed = best.tensors.iter().filter(changed);
            checkpoint.put("best/", changed.map(|(name, tensor)| (name.clone(), tensor.clone())).collect())?;
        }
        checkpoint.put("parameter/", parameters)?;
        checkpoint.put("moment/", moments)?;
        // Such a file could not be resumed; the previous one still can.
        let broken = |tensor: &StoredTensor| !tensor.values.iter().all(|value| value.is_finite());
        if let Some((name, _)) = checkpoint.tensors.iter().find(|(_, tensor)| broken(tensor)) {
            let problem = "holds NaN or infinity and is not saved; the checkpoint before it is kept";
            return Err(Error::Parameter { name: name.clone(), problem }.into());
        }
        checkpoint.save(&settings.path)?;
        self.saves.saved(self.history.steps);
        Ok(())
    }

    /// Resumes the run from its checkpoint if the file exists and resuming is enabled. Returns whether the run was
    /// resumed.
    pub(crate) fn resume<O: Objective>(
        &mut self,
        objective: &mut O,
        training: &EncodedDataset,
    ) -> Result<bool, O::Error> {
        let Some(settings) = self.checkpoint.filter(|settings| settings.resume) else {
            return Ok(false);
        };
        if !settings.path.exists() {
            return Ok(false);
        }
        let mut checkpoint = Checkpoint::load(&settings.path)?;
        let what = || settings.path.display().to_string();
        let state: State =
            serde_json::from_value(checkpoint.state.take()).map_err(|source| Error::Json { what: what(), source })?;
        let mut differences = state.differences(self.settings, &self.training)?;
        differences.extend(objective.differences(&state.objective)?);
        if !differences.is_empty() {
            let problem = CheckpointProblem::OtherTraining { differences };
            return Err(Error::Checkpoint { path: settings.path.clone(), problem }.into());
        }
        let moments = checkpoint.take("moment/");
        let parameters = checkpoint.take("parameter/");
        let mut best_tensors = checkpoint.take("best/");
        if state.best.is_some() {
            for (name, tensor) in &parameters {
                best_tensors.entry(name.clone()).or_insert_with(|| tensor.clone());
            }
            // Checked now, not at the end of the training.
            objective.parameters().check_values(&best_tensors)?;
        }
        self.optimizer.set_parts(moments, state.optimizer)?;
        // Checks precede changes of the model.
        objective.parameters().check_values(&parameters)?;
        objective.restore(state.objective, training)?;
        objective.parameters().set_values(parameters)?;
        let step = state.best_step;
        self.best = state.best.map(|(epoch, score, state)| Best { epoch, step, score, tensors: best_tensors, state });
        (self.epoch, self.batch, self.samples) = (state.epoch, state.batch, state.samples);
        (self.epoch_loss, self.history) = (state.epoch_loss, state.history);
        self.saves.saved(self.history.steps);
        Ok(true)
    }
}

impl Best {
    /// Sets the objective to the best parameters and their state, and records their epoch, step and score in the
    /// history.
    pub(crate) fn put_back<O: Objective>(self, objective: &mut O, history: &mut History) -> Result<(), O::Error> {
        (history.best_epoch, history.best_step) = (Some(self.epoch), Some(self.step));
        history.best_score = Some(self.score);
        objective.parameters().set_values(self.tensors)?;
        objective.restore_best(self.state)
    }
}

fn take_or_next<E>(
    ready: &mut Option<StepLoss>,
    next: impl FnOnce() -> Result<Option<StepLoss>, E>,
) -> Result<Option<StepLoss>, E> {
    match ready.take() {
        Some(loss) => Ok(Some(loss)),
        None => next(),
    }
}
