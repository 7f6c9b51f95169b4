//! The function that trains in rungs.

use std::time::{Duration, Instant};

use dht_transformer::flops::Load;
use dht_transformer::{AdamWSettings, EncodedDataset, Pooling, Sample, TextClassifier};
use rand::{Rng, RngExt};

use super::next_step::NextStep;
use super::report::{LadderEvent, LadderReport, Measurement, Rung, Stop, least_loss};
use super::round::Validation;
use super::settings::{LadderSettings, LadderTexts};
use crate::accelerate::{AccelerateSettings, Accelerated, Built, Given, Head, Parts, Report, Texts, build, side_flops};
use crate::error::{Error, Result};
use crate::exit::{FrontExit, NgramClassifier, NgramFit, NgramSettings, Stacker, WORD_EMBEDDINGS};
use crate::full_model::FullModel;
use crate::log_probabilities::LogProbabilities;
use crate::model::{DynamicModel, ExitModel, SeenTexts};

/// Passes that the budget is a share of.
const BUDGET_PASSES: f64 = 3.0;
/// Validation rows without which rung 2 is not climbed: fewer cannot tell whether it helps.
const LEAST_JUDGES: usize = 20;
/// A forward and a backward pass, in the time of a forward pass.
const STEP_BY_FORWARD: f64 = 3.3;

/// A model trained in rungs.
#[derive(Debug)]
#[non_exhaustive]
pub struct Climbed {
    /// The model, at the cheapest speed that is as accurate on the validation rows as all of its layers.
    pub model: DynamicModel,
    /// Report on its exits.
    pub exits: Report,
    /// Report on the rungs.
    pub ladder: LadderReport,
    /// Answers that were given without having learned from their texts, where the exits have learned from the
    /// validation rows, too.
    pub out_of_fold: Option<OutOfFold>,
}

/// Answers of a model's stages to texts that its exits were fitted on, each by other exits, fitted without that text.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct OutOfFold {
    /// Training and validation texts.
    pub texts: EncodedDataset,
    /// Answers of each stage, as in [`stage_log_probabilities`](DynamicModel::stage_log_probabilities).
    pub stages: Vec<LogProbabilities>,
    /// Answers of the last exit, not stacked.
    pub alone: LogProbabilities,
}

/// Trains a dynamic model in [rungs](super). The classifier has a pre-trained encoder; its last layer is not read, and
/// the classifier does not change.
///
/// # Errors
/// * [`Error::Argument`] for settings out of range, for no training or validation rows, for a classifier with a pooler,
///   for states that are not finite.
/// * As [`accelerate`](fn@crate::accelerate::accelerate) and [`NgramClassifier::fit`]; errors of the trainer, such as
///   [`Stopped`](dht_transformer::Error::Stopped).
pub fn climb<R: Rng + ?Sized>(
    classifier: &TextClassifier,
    texts: LadderTexts<'_>,
    settings: &LadderSettings,
    next: &mut dyn NextStep,
    watch: &mut dyn FnMut(LadderEvent<'_>),
    rng: &mut R,
) -> Result<Climbed> {
    settings.check()?;
    let pooling = classifier.classifier().pooling();
    if pooling == Pooling::Pooler {
        return Err(Error::argument("pooling", "mean or cls: a pooler is not frozen", "pooler"));
    }
    for (field, data) in [("training texts", texts.training), ("validation texts", texts.validation)] {
        if data.is_empty() {
            return Err(Error::argument(field, "at least one", "none"));
        }
    }
    let ngram = settings.exits.ngram.clone().unwrap_or_default();
    let mut ladder = Ladder::new(classifier, texts, settings, (next, watch), rng)?;
    ladder.climb(&ngram, rng)
}

type Watch<'a> = &'a mut dyn FnMut(LadderEvent<'_>);

/// A training in rungs while it runs.
pub(super) struct Ladder<'a> {
    pub(super) classifier: &'a TextClassifier,
    pub(super) texts: LadderTexts<'a>,
    pub(super) settings: &'a LadderSettings,
    pub(super) next: &'a mut dyn NextStep,
    pub(super) watch: Watch<'a>,
    /// Training and validation texts together, where they are few.
    pub(super) joined: Option<EncodedDataset>,
    pub(super) start: Instant,
    /// Seed of the rounds.
    pub(super) seed: u64,
    pub(super) flops: u64,
    pub(super) pass_flops: u64,
    pub(super) passes: f64,
    /// FLOPs that exits on the fine-tuned encoder will cost.
    pub(super) flops_of_exits: u64,
    pub(super) measured: Vec<Measurement>,
    pub(super) learning_rate: f64,
}

/// A model of a rung, and its loss.
struct OfRung {
    rung: Rung,
    model: DynamicModel,
    exits: Report,
    loss: f64,
    out_of_fold: Option<OutOfFold>,
}

impl<'a> Ladder<'a> {
    fn new<R: Rng + ?Sized>(
        classifier: &'a TextClassifier,
        texts: LadderTexts<'a>,
        settings: &'a LadderSettings,
        (next, watch): (&'a mut dyn NextStep, Watch<'a>),
        rng: &mut R,
    ) -> Result<Self> {
        let joins = texts.joins && texts.validation.len() < settings.exits.least_held_out;
        if !joins {
            Texts::new(texts.training).with_held_out(texts.validation).check_held_out()?;
        }
        let pass_flops = cost(classifier, texts.training, |load| classifier.backward_flops(load).0);
        Ok(Self {
            joined: joins.then(|| join(texts.training, texts.validation)),
            learning_rate: settings.fine_tuning.optimizer.learning_rate,
            start: Instant::now(),
            seed: rng.random(),
            flops: 0,
            pass_flops,
            passes: 0.0,
            flops_of_exits: 0,
            measured: Vec::new(),
            classifier,
            texts,
            settings,
            next,
            watch,
        })
    }

    fn climb<R: Rng + ?Sized>(&mut self, ngram: &NgramSettings, rng: &mut R) -> Result<Climbed> {
        let (texts, settings) = (self.texts, self.settings);
        let joined = self.joined.take();
        let fitted_on = joined.as_ref().unwrap_or(texts.training);
        let front = NgramClassifier::fit_within(
            fitted_on,
            ngram,
            FullModel::new(self.classifier),
            settings.exits.embeddings.then(|| self.classifier.encoder()),
            settings.exits.state_bytes,
            rng,
        )?;
        let rows: Vec<usize> = (texts.training.len()..fitted_on.len()).collect();
        let of_front = match &joined {
            Some(_) => front.out_of_fold.select(&rows),
            None => front.classifier.log_probabilities_of_all(texts.validation)?,
        };
        self.flops += front.flops;
        let validation = Validation {
            texts: texts.validation,
            flops: cost(self.classifier, texts.validation, |_| 0),
            front: of_front,
            labels: labels_of(texts.validation),
        };
        // Where validation rows are few, all rows judge rungs 0 and 1.
        let (judges, labels) = match &joined {
            Some(all) if texts.validation.len() < LEAST_JUDGES => ((0..all.len()).collect(), labels_of(all)),
            _ => (rows, validation.labels.clone()),
        };
        match &joined {
            Some(_) => self.measure(Rung::Ngrams, &front.out_of_fold.select(&judges), &labels),
            None => self.measure(Rung::Ngrams, &validation.front, &labels),
        };
        let frozen = self.flops + cost(self.classifier, fitted_on, |_| 0);
        if let Some(stop) = self.stops_before(Rung::Frozen, frozen) {
            let of_rung = self.ngrams_alone(front, joined, &validation, rng)?;
            return Ok(self.end(of_rung, stop));
        }

        let before = self.start.elapsed();
        let flops_before = self.flops;
        let frozen = self.frozen(&front, joined.as_ref(), (&judges, &labels), rng)?;
        let forward = (self.start.elapsed() - before).max(Duration::from_secs_f64(frozen.exits.seconds_of_states));
        let pass = forward.mul_f64(STEP_BY_FORWARD * texts.training.len() as f64 / fitted_on.len().max(1) as f64);
        if let Some(stop) = self.stops_before(Rung::FineTuned, self.flops) {
            return Ok(self.end(frozen, stop));
        }
        // Fits on fine-tuned states take up to three times the steps. Validation rows run again through side layers, and
        // exit 0 of few texts is fitted again.
        let side = side_flops(self.classifier, texts.training, &settings.exits)?;
        let again = joined.as_ref().map_or(0, |_| front.flops);
        let once = self.flops - flops_before;
        self.flops_of_exits = once + 2 * frozen.exits.flops_of_fits + side + validation.flops + again;
        let layers = self.classifier.encoder().layers();
        let convex = match joined {
            Some(_) => self.head_of_training(rng)?,
            None => frozen.model.model().classifier_at(layers)?,
        };
        convex.encoder().parameters().compute_in(self.classifier.encoder().parameters().precision())?;
        // Exit 0 reads the word embeddings: it would have to be fitted again.
        let parameters = convex.encoder().parameters();
        parameters.set_frozen(parameters.id(WORD_EMBEDDINGS)?, true);
        let mut round = settings.fine_tuning.clone();
        self.find_rate(&convex, &round, &validation)?;
        round.optimizer = AdamWSettings { learning_rate: self.learning_rate, ..round.optimizer };
        let (tuned, stop) = self.fine_tune(convex, &round, &validation, pass)?;
        let falls = |loss: f64| loss < frozen.loss || settings.least == Rung::FineTuned;
        if !falls(self.least_of_rounds()) {
            return Ok(self.end(frozen, stop));
        }
        // Exit 0 of few texts has learned from the validation rows.
        let tuned = self.fine_tuned(&tuned, joined.is_none().then_some(&front), rng)?;
        // Exits of few texts learn from fewer rows than those of rung 1, and may lose what the encoder has gained.
        let kept = if falls(tuned.loss) { tuned } else { frozen };
        Ok(self.end(kept, stop))
    }

    /// Records score and cost of a rung.
    pub(super) fn measure(&mut self, rung: Rung, answers: &LogProbabilities, labels: &[u32]) -> f64 {
        let measured = Measurement {
            rung,
            passes: if rung == Rung::FineTuned { self.passes } else { 0.0 },
            accuracy: Some(answers.accuracy(labels)),
            loss: answers.mean_loss(labels),
            flops: self.flops,
            cost: self.flops as f64 / self.pass_flops.max(1) as f64,
            seconds: self.start.elapsed().as_secs_f64(),
        };
        self.measured.push(measured);
        (self.watch)(LadderEvent::Measured(&measured));
        measured.loss
    }

    /// The smallest loss at the end of a round; infinite before the first.
    pub(super) fn least_of_rounds(&self) -> f64 {
        least_loss(self.measured.iter().filter(|found| found.rung == Rung::FineTuned && found.accuracy.is_some()))
    }

    /// FLOPs that the budget allows.
    pub(super) fn allowed(&self) -> Option<u64> {
        self.settings.budget.map(|budget| (BUDGET_PASSES * budget * self.pass_flops as f64) as u64)
    }

    pub(super) fn time_left(&self) -> Option<Duration> {
        self.settings.time.map(|time| time.saturating_sub(self.start.elapsed()))
    }

    /// The reason not to climb to a rung, which then has cost at least these FLOPs in total.
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
        let goes_on = rung <= self.settings.least || self.next.goes_on(&self.measured, rung);
        (!goes_on).then_some(Stop::Rule)
    }

    /// Rung 0: a model whose answers are those of exit 0 at every depth.
    fn ngrams_alone<R: Rng + ?Sized>(
        &mut self,
        front: NgramFit,
        joined: Option<EncodedDataset>,
        validation: &Validation<'_>,
        rng: &mut R,
    ) -> Result<OfRung> {
        let exits = &self.settings.exits;
        let kind = (crate::exit::ExitKind::Linear, exits.pooling);
        let model = ExitModel::of_classifier(self.classifier, exits.exits.as_deref(), kind, rng)?;
        let (hidden, classes) = (self.classifier.encoder().block_shape().hidden, model.classes());
        let (weights, bias) = (vec![0.0; hidden * classes], vec![0.0; classes]);
        let count = model.exits().len();
        model.set_linear_parts(std::iter::repeat_n((&*weights, &*bias), count))?;
        let all = [Some(self.texts.training), Some(self.texts.validation)];
        let seen = SeenTexts::new(all.into_iter().flatten());
        let ratio = front.classifier.flops_of_all(self.texts.validation).iter().sum::<u64>() as f64
            / validation.flops.max(1) as f64;
        let report = Report::of_front(&front, &validation.front, &validation.labels, ratio);
        let out_of_fold = match joined {
            Some(texts) => {
                let uniform = vec![-(classes as f64).ln(); texts.len() * classes];
                let stages = vec![front.out_of_fold; 1 + count];
                Some(OutOfFold { texts, stages, alone: LogProbabilities::new(classes, uniform)? })
            }
            None => None,
        };
        let stackers = vec![Stacker { ngram: 1.0, exit: 0.0 }; count];
        let front = FrontExit::new(front.classifier, stackers);
        let model = DynamicModel::new(model, exits.rule)?.with_seen_texts(seen).with_front(front)?;
        let loss = validation.front.mean_loss(&validation.labels);
        Ok(OfRung { rung: Rung::Ngrams, model: model.with_speed(report.speed)?, exits: report, loss, out_of_fold })
    }

    /// Rung 1: regressions on the states of the encoder as it is.
    fn frozen<R: Rng + ?Sized>(
        &mut self,
        front: &NgramFit,
        joined: Option<&EncodedDataset>,
        (judges, labels): (&[usize], &[u32]),
        rng: &mut R,
    ) -> Result<OfRung> {
        let exits = AccelerateSettings { side: None, ..self.settings.exits.clone() };
        let (texts, exits) = match joined {
            Some(all) => (Texts::new(all), AccelerateSettings { least_held_out: usize::MAX, ..exits }),
            None => (Texts::new(self.texts.training).with_held_out(self.texts.validation), exits),
        };
        let given = Given { head: Head::Fitted, front: Some(front), against_stacked: true };
        let built = build(self.classifier, Parts::new(texts, &exits, rng)?, &exits, given, rng)?;
        self.flops += built.accelerated.report.flops;
        let loss = match joined {
            Some(_) => self.measure(Rung::Frozen, &built.judged().select(judges), labels),
            None => self.measure(Rung::Frozen, built.judged(), labels),
        };
        let Built { accelerated: Accelerated { model, report: exits }, stages, alone } = built;
        let out_of_fold = joined.map(|texts| OutOfFold { texts: texts.clone(), stages, alone });
        Ok(OfRung { rung: Rung::Frozen, model, exits, loss, out_of_fold })
    }

    /// The classifier with the last regression of rung 1, fitted on the training rows alone: that of few rows has learned
    /// the validation rows, too.
    fn head_of_training<R: Rng + ?Sized>(&mut self, rng: &mut R) -> Result<TextClassifier> {
        let layers = self.classifier.encoder().layers();
        let exits = AccelerateSettings { side: None, ngram: None, ..self.settings.exits.clone() };
        let texts = Texts::new(self.texts.training).with_held_out(self.texts.validation);
        let given = Given { head: Head::Fitted, front: None, against_stacked: true };
        let built = build(self.classifier, Parts::new(texts, &exits, rng)?, &exits, given, rng)?;
        self.flops += built.accelerated.report.flops;
        built.accelerated.model.model().classifier_at(layers)
    }

    /// Rung 2: exits on the fine-tuned encoder.
    fn fine_tuned<R: Rng + ?Sized>(
        &mut self,
        tuned: &TextClassifier,
        front: Option<&NgramFit>,
        rng: &mut R,
    ) -> Result<OfRung> {
        let exits = &self.settings.exits;
        let parts = Parts::new(Texts::new(self.texts.training).with_held_out(self.texts.validation), exits, rng)?;
        let labels = parts.judged_labels();
        let built = build(tuned, parts, exits, Given { head: Head::Kept, front, against_stacked: true }, rng)?;
        self.flops += built.accelerated.report.flops;
        let loss = self.measure(Rung::FineTuned, built.judged(), &labels);
        let Accelerated { model, report: exits } = built.accelerated;
        Ok(OfRung { rung: Rung::FineTuned, model, exits, loss, out_of_fold: None })
    }

    fn end(&mut self, found: OfRung, stop: Stop) -> Climbed {
        let ladder = LadderReport {
            measurements: std::mem::take(&mut self.measured),
            rung: found.rung,
            stop,
            flops: self.flops,
            pass_flops: self.pass_flops,
            passes: self.passes,
            learning_rate: self.learning_rate,
            seconds: self.start.elapsed().as_secs_f64(),
        };
        Climbed { model: found.model, exits: found.exits, ladder, out_of_fold: found.out_of_fold }
    }
}

/// FLOPs of the forward pass over a data set, and of what `more` adds.
pub(super) fn cost(classifier: &TextClassifier, data: &EncodedDataset, more: impl Fn(Load) -> u64) -> u64 {
    let loads = data.lengths().into_iter().map(Load::of_text);
    loads.map(|load| classifier.forward_flops(load).0 + more(load)).sum()
}

fn labels_of(data: &EncodedDataset) -> Vec<u32> {
    data.samples.iter().map(|sample| sample.label).collect()
}

/// Both data sets, with distinct ids.
fn join(training: &EncodedDataset, validation: &EncodedDataset) -> EncodedDataset {
    let mut all = training.clone();
    let free = 1 + training.samples.iter().map(|sample| sample.id).max().unwrap_or_default();
    all.samples.extend(validation.samples.iter().cloned().zip(free..).map(|(sample, id)| Sample { id, ..sample }));
    all.truncated_rows += validation.truncated_rows;
    all
}
