//! Training run of `dht train`: in rungs (stages of increasing cost), or of all layers at once.

use std::time::Duration;

use dht_dynamic::accelerate::{AccelerateSettings, Targets};
use dht_dynamic::ladder::{
    LadderEvent, LadderReport, LadderSettings, LadderTexts, LearningCurve, LengthChoice, OutOfFold, Rung, UnlessStill,
    climb, fit_head, learning_curve, mean_loss,
};
use dht_dynamic::serving::{NumberLevels, Origin, TextModel};
use dht_dynamic::transformer::Error as TransformerError;
use dht_dynamic::transformer::train::metrics::LabelThresholds;
use dht_dynamic::transformer::train::{Event, History, Observer};
use dht_dynamic::transformer::{
    CheckpointSettings, EncodedDataset, Objective, Task, TextClassifier, TextTokenizer, TrainSettings, Trainer,
};
use dht_dynamic::{Error as DynamicError, evaluate};

use super::arguments::{ModelKind, ThresholdChoice, TrainArguments};
use super::untrained::UntrainedClassifier;
use crate::acceleration::{
    AcceleratedModel, BATCH, at_speed, exit_generator, exit_settings, label_thresholds, make_dynamic,
};
use crate::error::{Error, Result};
use crate::progress::{LadderProgress, TrainingProgress, ladder_end, learning_lines, report};
use crate::texts::{EncodedSplits, TextSplits};
use crate::training::{Interruption, LearningRate, LearningRateTrials, Start, TargetScale, TrainingDir};

/// Number of optimiser steps between two checkpoints, unless they take more than a minute.
const CHECKPOINT_STEPS: u64 = 200;

/// Minimum relative decrease of the validation loss at which the fine-tuned model replaces the model on the frozen
/// encoder.
const LEAST_FALL: f64 = 0.01;

/// Inputs of a training run.
pub(super) struct Run<'a> {
    pub(super) start: &'a Start,
    pub(super) texts: &'a TextSplits,
    pub(super) encoded: &'a EncodedSplits,
    pub(super) max_length: usize,
    /// Levels of the target numbers, for a regression model with exits.
    pub(super) levels: Option<&'a NumberLevels>,
    /// Result of the trials that selected the maximum length; `None` without trials.
    pub(super) length: Option<&'a LengthChoice>,
    pub(super) time_of_trials: Duration,
    pub(super) untrained: &'a UntrainedClassifier<'a>,
    pub(super) dir: &'a TrainingDir,
    pub(super) interruption: &'a Interruption,
}

/// Trained model, with facts for its model card.
pub(super) struct TrainedModel {
    pub(super) model: TextModel,
    /// Requested limits, such as a budget of FLOPs, that the model does not keep: one sentence each.
    pub(super) misses: Vec<String>,
    /// Sentence about how the model was trained.
    pub(super) how: String,
    /// Report of a training run in rungs (training stages).
    pub(super) ladder: Option<LadderReport>,
    /// Out-of-fold answers to the training rows: each is from exits that were fitted without its row.
    pub(super) out_of_fold: Option<OutOfFold>,
}

/// Observer that stops the training run right after its saved state is loaded, for `--finish`.
#[derive(Default)]
struct FinishObserver {
    history: Option<History>,
}

impl Observer for FinishObserver {
    fn observe(&mut self, event: Event<'_>) {
        if let Event::Failed(history) = event {
            self.history = Some(history.clone());
        }
    }

    fn stops(&self) -> bool {
        true
    }
}

/// Converts an error of a saved state to an error whose message describes how to continue. Other errors are unchanged.
fn of_state(error: TransformerError) -> Error {
    match error {
        TransformerError::Checkpoint { .. } => Error::BadState { problem: Box::new(error) },
        other => other.into(),
    }
}

impl TrainArguments {
    /// Fine-tunes a classifier, from its checkpoint if there is one.
    fn fit(
        &self,
        run: &Run<'_>,
        settings: &TrainSettings,
        classifier: &mut TextClassifier,
        train: &EncodedDataset,
        validation: &EncodedDataset,
    ) -> Result<History> {
        let (dir, interruption) = (run.dir, run.interruption);
        let checkpoint = CheckpointSettings { path: dir.checkpoint(), every_steps: CHECKPOINT_STEPS, resume: true };
        let stop = Some(interruption.stop());
        let trainer = Trainer { checkpoint: Some(checkpoint), stop, ..Trainer::new(settings.clone()) };
        let mut progress = TrainingProgress::new("training", self.quiet);
        if self.finish {
            let mut finishing = FinishObserver::default();
            return match trainer.fit(classifier, train, validation, &mut finishing) {
                Err(TransformerError::Stopped { .. }) if finishing.history.is_some() => {
                    let history = finishing.history.unwrap_or_default();
                    let passes = history.samples as f64 / train.len().max(1) as f64;
                    self.say(&format!(
                        "the model is the best of {passes:.1} passes, after which the training run was stopped"
                    ));
                    Ok(history)
                }
                trained => trained.map_err(of_state),
            };
        }
        let trained = interruption.during(|| trainer.fit(classifier, train, validation, &mut progress));
        drop(progress);
        match &trained {
            Ok(_) | Err(TransformerError::Stopped { .. }) => interruption.exit_if_asked(),
            // No message says how to resume: the run would diverge again, or could not begin.
            Err(TransformerError::Diverged { .. } | TransformerError::Checkpoint { .. }) => {}
            Err(_) => report(&TrainingDir::message_if_stopped(dir.folder())),
        }
        trained.map_err(of_state)
    }

    /// Fine-tunes all layers at once, and then fits exits.
    pub(super) fn at_once(
        &self,
        run: &Run<'_>,
        tokenizer: TextTokenizer,
        mut settings: TrainSettings,
    ) -> Result<TrainedModel> {
        let EncodedSplits { train, validation, .. } = run.encoded;
        let scale = (self.texts.task() == Task::Number).then(|| TargetScale::new(train));
        let scaled = scale.map(|scale| (scale.standardised(train), scale.standardised(validation)));
        let (learned, held_out) =
            scaled.as_ref().map_or((train, validation), |(train, validation)| (train, validation));
        if self.lr == Some(LearningRate::Find) {
            let trials = LearningRateTrials { settings: &settings, train: learned, validation: held_out };
            let create = || run.untrained.create();
            let find = || trials.best_of(run.start.learning_rates(), create, |line| self.say(line));
            settings.optimizer.learning_rate = run.dir.learning_rate(find)?;
        }
        let mut classifier = run.untrained.create()?;
        let how = match self.fits_head(run.start) {
            true => self.fit_head_and_tune(run, &settings, &mut classifier, learned, held_out)?,
            false => {
                let history = self.fit(run, &settings, &mut classifier, learned, held_out)?;
                self.how(run.start, &settings, &history) + &self.weights_sentences(run.texts.train.labels.len())
            }
        };
        scale.map_or(Ok(()), |scale| scale.fold_into(&classifier))?;
        let labels = &run.texts.train.labels;
        if self.kind(run.start) == ModelKind::Full {
            let thresholds =
                self.thresholds(train, || Ok((validation, classifier.probabilities_of_all(validation, BATCH)?)))?;
            let model = TextModel::new(classifier, tokenizer.with_rest(0), labels, run.max_length)?;
            let model = TextModel { origin: Some(self.origin(run)), thresholds, ..model };
            return Ok(TrainedModel { model, misses: Vec::new(), how, ladder: None, out_of_fold: None });
        }
        let shared = self.weighted_exit_settings(&tokenizer, run.untrained.class_weights())?;
        let exits = AccelerateSettings { levels: run.levels.cloned(), ..shared };
        let halves = label_thresholds(self.texts.task(), train);
        let made =
            make_dynamic(&classifier, run.encoded, &exits, (&self.speed, halves.as_ref()), self.seed, self.quiet)?;
        self.trained(run, tokenizer, made, None, how)
    }

    /// Fits the last layer on the frozen encoder, and then fine-tunes all layers. The fine-tuned model is used if its
    /// validation loss is at least 1 % lower. Also returns a sentence about how the model was built.
    fn fit_head_and_tune(
        &self,
        run: &Run<'_>,
        settings: &TrainSettings,
        classifier: &mut TextClassifier,
        train: &EncodedDataset,
        validation: &EncodedDataset,
    ) -> Result<String> {
        let exits = AccelerateSettings::default();
        self.say("rung 1: fitting the last layer on the encoder as it is");
        let fitted = fit_head(classifier, train, validation, &exits)?;
        let measured = |classifier: &TextClassifier| -> Result<(f64, f64)> {
            let score = Objective::score(classifier, validation, exits.batch_size)?;
            Ok((mean_loss(classifier, validation, exits.batch_size)?, score))
        };
        let (metric, (frozen_loss, score)) = (Objective::metric(classifier), measured(classifier)?);
        self.say(&format!(
            "rung 1: {metric} {score:.3} and loss {frozen_loss:.4} on {} validation rows, with C {}",
            validation.len(),
            fitted.c
        ));
        let frozen = format!(
            "Its layers are {} as it is; only its last layer was fitted, with C {}",
            run.start.name(),
            fitted.c
        );
        let (least, most) = self.rungs.range();
        if most < Rung::FineTuned {
            return Ok(format!("{frozen}."));
        }
        let before = classifier.deep_clone()?;
        let history = self.fit(run, settings, classifier, train, validation)?;
        let (loss, score) = measured(classifier)?;
        self.say(&format!("rung 2: {metric} {score:.3} and loss {loss:.4}"));
        if loss < (1.0 - LEAST_FALL) * frozen_loss || least == Rung::FineTuned {
            return Ok(self.how(run.start, settings, &history));
        }
        self.say("the model of rung 1 is kept: fine-tuning did not lower the validation loss by 1 %");
        *classifier = before;
        Ok(format!("{frozen}: fine-tuning did not lower the validation loss."))
    }

    /// Settings for fitting early exits.
    fn weighted_exit_settings(
        &self,
        tokenizer: &TextTokenizer,
        class_weights: Option<&[f32]>,
    ) -> Result<AccelerateSettings> {
        let class_weights = class_weights.map(<[f32]>::to_vec);
        Ok(AccelerateSettings { class_weights, ..exit_settings(tokenizer, &self.speed)? })
    }

    /// Settings of a training run in rungs (training stages).
    pub(super) fn ladder_settings(
        &self,
        tokenizer: &TextTokenizer,
        class_weights: Option<&[f32]>,
    ) -> Result<LadderSettings> {
        let (least, most) = self.rungs.range();
        Ok(LadderSettings {
            least,
            most,
            exits: self.weighted_exit_settings(tokenizer, class_weights)?,
            budget: self.rungs.training_budget,
            time: self.rungs.time(),
            ..LadderSettings::default()
        })
    }

    /// Measures and reports the learning curve of rung 1, the training stage on the frozen encoder.
    pub(super) fn learning_curve(
        &self,
        untrained: &UntrainedClassifier<'_>,
        encoded: &EncodedSplits,
        tokenizer: &TextTokenizer,
    ) -> Result<LearningCurve> {
        let exits = self.weighted_exit_settings(tokenizer, untrained.class_weights())?;
        let classifier = untrained.create()?;
        let curve = learning_curve(&classifier, &encoded.train, &encoded.validation, &exits, self.seed)?;
        learning_lines(&curve).iter().for_each(|line| self.say(line));
        Ok(curve)
    }

    /// Trains a model in rungs, which are training stages: n-grams, the frozen encoder, the fine-tuned encoder.
    pub(super) fn in_rungs(
        &self,
        run: &Run<'_>,
        tokenizer: TextTokenizer,
        fine_tuning: TrainSettings,
    ) -> Result<TrainedModel> {
        let classifier = run.untrained.create()?;
        let shared = self.ladder_settings(&tokenizer, run.untrained.class_weights())?;
        let settings = LadderSettings {
            exits: AccelerateSettings { levels: run.levels.cloned(), ..shared.exits.clone() },
            fine_tuning,
            time: self.rungs.time().map(|time| time.saturating_sub(run.time_of_trials)),
            length: run.length.cloned(),
            checkpoints: Some(run.dir.folder().to_path_buf()),
            stop: Some(run.interruption.stop()),
            finish: self.finish,
            rates: match self.lr {
                Some(LearningRate::Find) => run.start.learning_rates().to_vec(),
                _ => Vec::new(),
            },
            ..shared
        };
        let EncodedSplits { train: training, validation, .. } = run.encoded;
        let texts = LadderTexts { training, validation, joins: run.texts.is_validation_split_off };
        let mut progress = LadderProgress::new(self.quiet, self.texts.task());
        let mut watch = |event: LadderEvent<'_>| {
            match event {
                LadderEvent::FineTuningStarted { .. } => run.interruption.obeyed(true),
                LadderEvent::FineTuningEnded => run.interruption.obeyed(false),
                _ => {}
            }
            progress.observe(event);
        };
        let mut rng = exit_generator(self.seed);
        let climbed = climb(&classifier, texts, &settings, &mut UnlessStill::default(), &mut watch, &mut rng);
        if let Err(DynamicError::Transformer(TransformerError::Stopped { .. })) = &climbed {
            run.interruption.exit_if_asked();
        }
        let climbed = climbed.map_err(|error| match error {
            DynamicError::Transformer(error) => of_state(error),
            other => other.into(),
        })?;
        progress.report_seconds();
        self.say(&ladder_end(&climbed.ladder));
        let how = self.how_in_rungs(run.start, &climbed.ladder) + &self.weights_sentences(run.texts.train.labels.len());
        let halves = label_thresholds(self.texts.task(), training);
        let made =
            at_speed(climbed.model, climbed.exits, run.encoded, Targets::Labels, (&self.speed, halves.as_ref()))?;
        let out_of_fold = climbed.out_of_fold;
        let mut trained = self.trained(run, tokenizer, made, out_of_fold.as_ref(), how)?;
        if let (Some(origin), Some(answers)) = (&mut trained.model.origin, &out_of_fold) {
            // If there are few rows, the exits have learned from the validation rows, too.
            origin.rows = answers.texts.len();
        }
        Ok(TrainedModel { ladder: Some(climbed.ladder), out_of_fold, ..trained })
    }

    fn trained(
        &self,
        run: &Run<'_>,
        tokenizer: TextTokenizer,
        made: AcceleratedModel,
        out_of_fold: Option<&OutOfFold>,
        how: String,
    ) -> Result<TrainedModel> {
        let model = TextModel::new(made.model, tokenizer, &run.texts.train.labels, run.max_length)?;
        let (curve, promise, origin) = (made.report.curve, made.promise, Some(self.origin(run)));
        let (train, validation) = (&run.encoded.train, &run.encoded.validation);
        let judged = || match out_of_fold {
            // The exits have learned from the validation rows, too.
            Some(OutOfFold { texts, stages, alone, .. }) => Ok((texts, stages.last().unwrap_or(alone).probabilities())),
            None => Ok((validation, evaluate(&model.model, validation, BATCH)?.probabilities)),
        };
        let thresholds = self.thresholds(train, judged)?;
        let model = TextModel { curve, promise, origin, thresholds, ..model };
        Ok(TrainedModel { model, misses: made.misses, how, ladder: None, out_of_fold: None })
    }

    /// Label thresholds of a multi-label model; `None` for other tasks. `judged` returns held-out rows and the
    /// probabilities of their labels.
    fn thresholds<'a>(
        &self,
        train: &EncodedDataset,
        judged: impl FnOnce() -> Result<(&'a EncodedDataset, Vec<Vec<f32>>)>,
    ) -> Result<Option<LabelThresholds>> {
        let halves = label_thresholds(self.texts.task(), train);
        let (Some(halves), ThresholdChoice::F1) = (&halves, self.label_thresholds) else { return Ok(halves) };
        let (rows, probabilities) = judged()?;
        let truth: Vec<Vec<f32>> = rows.samples.iter().map(|sample| sample.targets.clone()).collect();
        let LabelThresholds { least, .. } = LabelThresholds::fit(&truth, &probabilities)?;
        Ok(Some(LabelThresholds { least, ..halves.clone() }))
    }

    fn origin(&self, run: &Run<'_>) -> Origin {
        self.texts.origin(&run.texts.train, run.encoded.train.len())
    }

    fn how_in_rungs(&self, start: &Start, ladder: &LadderReport) -> String {
        let name = start.name();
        let seed = self.seed;
        match ladder.rung {
            Rung::Ngrams => format!("It was fitted on n-grams alone, without the layers of {name}, with seed {seed}."),
            Rung::Frozen => {
                let is_tried = ladder.measurements.iter().any(|measurement| measurement.rung == Rung::FineTuned);
                let tried = if is_tried { ": fine-tuning did not lower the validation loss" } else { "" };
                format!("Its layers are {name} as it is; only its exits were fitted, with seed {seed}{tried}.")
            }
            Rung::FineTuned => format!(
                "It was fine-tuned from {name} in {:.1} passes, from exits fitted on the encoder as it is, at a peak \
                 learning rate of {}, batches of {} and seed {seed}.",
                ladder.passes, ladder.learning_rate, self.batch
            ),
        }
    }

    fn how(&self, start: &Start, settings: &TrainSettings, history: &History) -> String {
        let from = match start {
            Start::Pretrained(_) | Start::Saved(..) => format!("fine-tuned from {}", start.name()),
            Start::Scratch(size) => format!("trained from scratch, {size}"),
        };
        let best =
            history.best_epoch.map_or_else(String::new, |epoch| format!(", of which number {} was best", epoch + 1));
        let lr = settings.optimizer.learning_rate;
        format!(
            "It was {from} in {} passes{best}, at a peak learning rate of {lr}, batches of {} and seed {}.",
            history.epochs.len(),
            self.batch,
            self.seed
        )
    }
}
