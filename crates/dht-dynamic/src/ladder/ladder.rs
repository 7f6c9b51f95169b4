//! Trains a model with early exits in up to three steps of increasing cost, which are called rungs.

use std::time::{Duration, Instant};

use dht_transformer::flops::Load;
use dht_transformer::{AdamWSettings, EncodedDataset, Pooling, TextClassifier};
use rand::{Rng, RngExt};

use super::length_choice::LengthChoice;
use super::next_step::NextStep;
use super::report::{LadderEvent, LadderReport, Measurement, Rung, Stop};
use super::rung_model::{FrozenFit, OutOfFold, RungModel};
use super::rung_texts::{LEAST_JUDGES, RungTexts};
use super::settings::{LadderSettings, LadderTexts};
use super::tuning_run::Validation;
use crate::error::{Error, Result};
use crate::exit::{NgramFit, WORD_EMBEDDINGS};
use crate::fit::{FitStep, Report, fit_ngrams, side_flops};
use crate::log_probabilities::LogProbabilities;
use crate::model::DynamicModel;
use crate::outputs::{normalised_weights, truth_of};

/// Minimum relative decrease of the validation loss by fine-tuning (rung 2). With a smaller decrease, the model on the
/// frozen encoder (rung 1) is the result.
const LEAST_FALL: f64 = 0.01;
/// Number of fine-tuning passes over the training rows that a FLOPs budget of 1.0 pays for.
pub(super) const BUDGET_PASSES: f64 = 3.0;
/// Time of a training step (forward and backward pass), divided by the time of a forward pass alone.
const STEP_BY_FORWARD: f64 = 3.3;

/// Result of [`climb`], which trains in steps of increasing cost: the model with early exits, and reports on its
/// training.
#[derive(Debug)]
#[non_exhaustive]
pub struct Climbed {
    /// Model of the best rung (training step). Its exit threshold is the default [speed](Report::speed).
    pub model: DynamicModel,
    /// Accuracy of each exit of the model, and accuracy and cost at each speed (exit threshold).
    pub exits: Report,
    /// Score and cost of each rung that was trained, and the reason why training ended.
    pub ladder: LadderReport,
    /// Out-of-fold predictions for the training and validation texts if the exits were fitted on both; `None`
    /// otherwise.
    pub out_of_fold: Option<OutOfFold>,
}

/// Trains a model with early exits in up to three [rungs](super) of increasing cost, and returns the model of the best
/// rung.
///
/// After each measurement, the stopping rule `next` decides whether training continues. `watch` receives progress
/// events. The encoder of `classifier` must be pre-trained. The classifier is not modified, and the weights of its last
/// layer are not used.
///
/// # Errors
/// * [`Error::Argument`] if a setting is out of range, or if the number of class weights differs from the number of
///   classes.
/// * [`Error::Argument`] if there are no training or no validation rows, if the classifier pools by a trained pooler
///   layer, or if a hidden state is not finite.
/// * Errors of [`accelerate`](fn@crate::accelerate::accelerate),
///   [`NgramClassifier::fit`](crate::exit::NgramClassifier::fit) and the trainer, such as
///   [`Stopped`](dht_transformer::Error::Stopped).
///
/// # Examples
/// ```
/// use dht_dynamic::ladder::{LadderSettings, LadderTexts, Rung, Stop, UnlessStill, climb};
/// # use candle_core::Device;
/// # use dht_dynamic::transformer::{
/// #     BertConfig, Dataset, Encoder, Example, Pooling, TextClassifier, TextTokenizer,
/// # };
/// # use rand::SeedableRng;
/// # let things = [
/// #     "day", "meal", "film", "book", "song", "town", "hotel", "coat", "game", "park",
/// #     "chair", "train", "cake", "shop", "lamp", "road", "wine", "boat", "play", "view",
/// # ];
/// # let words = [("fine", 1), ("lovely", 1), ("great", 1), ("bad", 0), ("awful", 0), ("poor", 0)];
/// # let review = |thing, (word, label)| Example::new(format!("The {thing} was {word}"), label);
/// # let examples = things.iter().flat_map(|thing| words.map(|word| review(thing, word)));
/// # let labels = vec!["bad".into(), "good".into()];
/// # let data = Dataset::from_examples("reviews", labels, examples.collect())?;
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
/// # let (training, held_out) = data.split_validation(0.25, &mut rng)?;
/// # let texts = training.examples.iter().map(|example| &*example.text);
/// # let tokenizer = TextTokenizer::train(texts, 100)?;
/// # let encode = |data: &Dataset| tokenizer.encode_all(data, 16);
/// # let (training, held_out) = (encode(&training)?, encode(&held_out)?);
/// # let config = BertConfig::small(4, 6, 24, tokenizer.vocabulary_size())?;
/// # let encoder = Encoder::random(&config, &Device::Cpu, &mut rng)?;
/// # let classifier = TextClassifier::new(encoder, 2, Pooling::Mean, &mut rng)?;
///
/// // A classifier with a pre-trained encoder, which is not fine-tuned here.
/// let texts = LadderTexts { training: &training, validation: &held_out, joins: false };
/// let settings = LadderSettings { most: Rung::Frozen, ..LadderSettings::default() };
/// let rule = &mut UnlessStill::default();
/// let climbed = climb(&classifier, texts, &settings, rule, &mut |_| {}, &mut rng)?;
/// assert_eq!((climbed.ladder.rung, climbed.ladder.stop), (Rung::Frozen, Stop::Top));
/// assert!(climbed.ladder.accuracy(Rung::Frozen).is_some());
/// assert_eq!(climbed.ladder.accuracy(Rung::FineTuned), None);
/// # Ok::<(), dht_dynamic::Error>(())
/// ```
pub fn climb<R: Rng + ?Sized>(
    classifier: &TextClassifier,
    texts: LadderTexts<'_>,
    settings: &LadderSettings,
    next: &mut dyn NextStep,
    watch: &mut dyn FnMut(LadderEvent<'_>),
    rng: &mut R,
) -> Result<Climbed> {
    settings.check()?;
    settings.exits.check_class_weights(classifier)?;
    let pooling = classifier.classifier().pooling();
    if pooling == Pooling::Pooler {
        return Err(Error::argument("pooling", "mean or cls: a pooler is not frozen", "pooler"));
    }
    for (field, data) in [("training texts", texts.training), ("validation texts", texts.validation)] {
        if data.is_empty() {
            return Err(Error::argument(field, "at least one", "none"));
        }
    }
    Ladder::new(classifier, texts, settings, (next, watch), rng)?.climb(rng)
}

type Watch<'a> = &'a mut dyn FnMut(LadderEvent<'_>);

/// State of a [`climb`] run, which trains a model in steps of increasing cost.
pub(super) struct Ladder<'a> {
    pub(super) classifier: &'a TextClassifier,
    pub(super) texts: LadderTexts<'a>,
    pub(super) settings: &'a LadderSettings,
    pub(super) next: &'a mut dyn NextStep,
    pub(super) watch: Watch<'a>,
    pub(super) start: Instant,
    pub(super) seed: u64,
    pub(super) flops: u64,
    pub(super) flops_of_fits: u64,
    pub(super) pass_flops: u64,
    pub(super) passes: f64,
    pub(super) planned_passes: f64,
    /// Estimated FLOPs of fitting early exits after fine-tuning.
    pub(super) flops_of_exits: u64,
    pub(super) measured: Vec<Measurement>,
    pub(super) learning_rate: f64,
}

impl<'a> Ladder<'a> {
    fn new<R: Rng + ?Sized>(
        classifier: &'a TextClassifier,
        texts: LadderTexts<'a>,
        settings: &'a LadderSettings,
        (next, watch): (&'a mut dyn NextStep, Watch<'a>),
        rng: &mut R,
    ) -> Result<Self> {
        let pass_flops = cost(classifier, texts.training, |load| classifier.backward_flops(load).0);
        Ok(Self {
            learning_rate: settings.fine_tuning.optimizer.learning_rate,
            start: Instant::now(),
            seed: rng.random(),
            flops: settings.length.as_ref().map_or(0, LengthChoice::flops),
            flops_of_fits: 0,
            pass_flops,
            passes: 0.0,
            planned_passes: 0.0,
            flops_of_exits: 0,
            measured: Vec::new(),
            classifier,
            texts,
            settings,
            next,
            watch,
        })
    }

    fn climb<R: Rng + ?Sized>(&mut self, rng: &mut R) -> Result<Climbed> {
        let texts = RungTexts::new(self.texts, &self.settings.exits)?;
        // Rung 0.
        let front = self.fit_front(&texts, rng)?;
        let validation = self.validation(&front, &texts)?;
        self.measure(Rung::Ngrams, &texts.judged_by_front(&front, &validation), texts.judged_labels());
        let forward = cost(self.classifier, texts.fitted_on(), |_| 0);
        if let Some(stop) = self.stops_before(Rung::Frozen, self.flops + forward) {
            let rung_0 = self.ngrams_alone(front, texts, &validation, rng)?;
            return Ok(self.end(rung_0, stop));
        }
        // Rung 1.
        let (before, flops_before) = (self.start.elapsed(), self.flops);
        let (rung_1, fit) = self.frozen(&front, &texts, rng)?;
        let time_of_pass = self.time_of_pass(&rung_1, &texts, before);
        if let Some(stop) = self.stops_before(Rung::FineTuned, self.flops) {
            return Ok(self.end(rung_1, stop));
        }
        if self.settings.finish && !self.settings.has_state() {
            return Ok(self.end(rung_1, Stop::Finished));
        }
        // Fits on fine-tuned states take up to three times the steps of those on frozen states. The validation rows run
        // again through side layers. If the texts are cross-fitted, exit 0 is fitted again.
        let side = side_flops(self.classifier, self.texts.training, &self.settings.exits)?;
        let again = if texts.joined().is_some() { front.flops } else { 0 };
        let once = self.flops - flops_before;
        self.flops_of_exits = once + 2 * rung_1.exits.flops_of_fits + side + validation.flops + again;
        // Rung 2.
        let start = self.start_of_fine_tuning(&rung_1, fit, rng)?;
        let mut tuning = self.settings.fine_tuning.clone();
        self.find_rate(&start, &tuning, &validation)?;
        tuning.optimizer = AdamWSettings { learning_rate: self.learning_rate, ..tuning.optimizer };
        let (tuned, stop) = self.fine_tune(start, &tuning, &validation, time_of_pass)?;
        let loss =
            self.measured.last().filter(|last| last.rung == Rung::FineTuned).map_or(f64::INFINITY, |last| last.loss);
        if !self.pays(loss, &rung_1) {
            return Ok(self.end(rung_1, stop));
        }
        // If the texts are cross-fitted, exit 0 has learned from the validation rows, and cannot be used with them.
        let front = texts.joined().is_none().then_some(front);
        let rung_2 = self.fine_tuned(&tuned, front, rng)?;
        // If the texts are cross-fitted in rung 1, the exits of rung 2 learn from fewer rows than those of rung 1. They
        // may lose more than the fine-tuned encoder gains.
        let best = if self.pays(rung_2.loss, &rung_1) { rung_2 } else { rung_1 };
        Ok(self.end(best, stop))
    }

    pub(super) fn add_fits(&mut self, flops: u64) {
        self.flops += flops;
        self.flops_of_fits += flops;
    }

    /// Fits the n-gram classifier, which is the first training step (rung 0), on [`RungTexts::fitted_on`].
    fn fit_front<R: Rng + ?Sized>(&mut self, texts: &RungTexts<'_>, rng: &mut R) -> Result<NgramFit> {
        (self.watch)(LadderEvent::Fitting(FitStep::Ngrams { texts: texts.fitted_on().len() }));
        let fit = fit_ngrams(self.classifier, texts.fitted_on(), &self.settings.exits, rng)?;
        let fit = fit.ok_or_else(|| Error::argument("ngram", "settings of exit 0", "none"))?;
        self.add_fits(fit.flops);
        Ok(fit)
    }

    /// Pairs the validation rows with the n-gram classifier's predictions for them. The predictions are out-of-fold if
    /// the classifier was also fitted on the validation rows.
    fn validation(&self, front: &NgramFit, texts: &RungTexts<'_>) -> Result<Validation<'a>> {
        let data = self.texts.validation;
        let front = match texts.joined() {
            Some(_) => front.out_of_fold.select(&texts.validation_rows()),
            None => front.classifier.log_probabilities_of_all(data)?,
        };
        let settings = self.settings;
        Ok(Validation {
            texts: data,
            labels: truth_of(data),
            class_weights: settings.exits.class_weights.as_deref(),
            front,
            flops: cost(self.classifier, data, |_| 0),
        })
    }

    /// Estimates the time of one fine-tuning pass from the time of rung 1, the training step on the frozen encoder.
    /// `before` is the elapsed time at the start of rung 1.
    fn time_of_pass(&self, rung_1: &RungModel, texts: &RungTexts<'_>, before: Duration) -> Duration {
        let states = Duration::from_secs_f64(rung_1.exits.seconds_of_states);
        let forward = (self.start.elapsed() - before).max(states);
        let rows = self.texts.training.len() as f64 / texts.fitted_on().len().max(1) as f64;
        forward.mul_f64(STEP_BY_FORWARD * rows)
    }

    /// Creates the classifier from which fine-tuning starts: the pre-trained encoder, with the regression that rung 1
    /// fitted on its last layer. Class weights apply to its training loss, too.
    fn start_of_fine_tuning<R: Rng + ?Sized>(
        &mut self,
        rung_1: &RungModel,
        fit: FrozenFit,
        rng: &mut R,
    ) -> Result<TextClassifier> {
        let start = self.head_of_rung_1(rung_1, fit, rng)?;
        let start = match &self.settings.exits.class_weights {
            Some(weights) => start.with_class_weights(&normalised_weights(&truth_of(self.texts.training), weights))?,
            None => start,
        };
        let parameters = start.encoder().parameters();
        parameters.compute_in(self.classifier.encoder().parameters().precision())?;
        // Exit 0 reads the word embeddings: if they changed, it would have to be fitted again.
        parameters.set_frozen(parameters.id(WORD_EMBEDDINGS)?, true);
        Ok(start)
    }

    /// Returns whether the fine-tuned model (rung 2), with validation loss `loss`, replaces the model on the frozen
    /// encoder (rung 1). Its loss must be at least 1 % lower, unless the settings require fine-tuning.
    ///
    /// If rung 1 was cross-fitted, its loss was measured on exits that were fitted without one fold. The final exits
    /// are fitted on all texts, so their loss is expected to be lower by the factor √(1 − 1 / folds). This assumes that
    /// the loss falls with the inverse square root of the number of texts.
    fn pays(&self, loss: f64, rung_1: &RungModel) -> bool {
        let folds = self.settings.exits.folds as f64;
        let by_more_texts = if rung_1.out_of_fold.is_some() { (1.0 - 1.0 / folds).sqrt() } else { 1.0 };
        loss <= (1.0 - LEAST_FALL) * by_more_texts * rung_1.loss || self.settings.least == Rung::FineTuned
    }

    /// Records score and cost of a rung (training step), reports them to `watch`, and returns the mean loss.
    pub(super) fn measure(&mut self, rung: Rung, answers: &LogProbabilities, labels: &[u32]) -> f64 {
        let measured = Measurement {
            rung,
            passes: if rung == Rung::FineTuned { self.passes } else { 0.0 },
            planned_passes: if rung == Rung::FineTuned { self.planned_passes } else { 0.0 },
            accuracy: Some(answers.score(labels)),
            loss: answers.weighted_loss(labels, self.settings.exits.class_weights.as_deref()),
            flops: self.flops,
            cost: self.flops as f64 / self.pass_flops.max(1) as f64,
            seconds: self.start.elapsed().as_secs_f64(),
        };
        self.measured.push(measured);
        (self.watch)(LadderEvent::Measured(&measured));
        measured.loss
    }

    /// Maximum number of FLOPs that the budget allows; `None` without a budget.
    pub(super) fn allowed(&self) -> Option<u64> {
        self.settings.budget.map(|budget| (BUDGET_PASSES * budget * self.pass_flops as f64) as u64)
    }

    pub(super) fn time_left(&self) -> Option<Duration> {
        self.settings.time.map(|time| time.saturating_sub(self.start.elapsed()))
    }

    /// Returns the reason to end training before `rung`, or `None` if `rung` is to be trained. `flops` is the least
    /// total FLOPs of the run when `rung` is complete.
    fn stops_before(&mut self, rung: Rung, flops: u64) -> Option<Stop> {
        if self.settings.most < rung {
            return Some(Stop::Top);
        }
        if self.allowed().is_some_and(|allowed| flops > allowed) {
            return Some(Stop::Budget);
        }
        if self.time_left().is_some_and(|left| left.is_zero()) {
            return Some(Stop::Time);
        }
        if rung == Rung::FineTuned && rung > self.settings.least && self.texts.validation.len() < LEAST_JUDGES {
            return Some(Stop::FewRows);
        }
        let continues = rung <= self.settings.least || self.next.goes_on(&self.measured, rung);
        (!continues).then_some(Stop::Rule)
    }

    fn end(&mut self, best: RungModel, stop: Stop) -> Climbed {
        let ladder = LadderReport {
            measurements: std::mem::take(&mut self.measured),
            rung: best.rung,
            stop,
            flops: self.flops,
            flops_of_fits: self.flops_of_fits,
            pass_flops: self.pass_flops,
            passes: self.passes,
            learning_rate: self.learning_rate,
            seconds: self.start.elapsed().as_secs_f64(),
            length: self.settings.length.clone(),
        };
        Climbed { model: best.model, exits: best.exits, ladder, out_of_fold: best.out_of_fold }
    }
}

/// FLOPs of the forward pass over a data set. For each text, the FLOPs that `more` returns are added.
pub(super) fn cost(classifier: &TextClassifier, data: &EncodedDataset, more: impl Fn(Load) -> u64) -> u64 {
    let loads = data.lengths().into_iter().map(Load::of_text);
    loads.map(|load| classifier.forward_flops(load).0 + more(load)).sum()
}
