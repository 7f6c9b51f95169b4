//! The function that trains in rungs.

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
use crate::outputs::truth_of;

/// The relative fall of the validation loss from which on rung 2 is kept.
const LEAST_FALL: f64 = 0.01;
/// Passes that the budget is a share of.
pub(super) const BUDGET_PASSES: f64 = 3.0;
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

/// Trains a dynamic model in [rungs](super). The classifier has a pre-trained encoder; its last layer is not read, and
/// the classifier does not change.
///
/// # Errors
/// * [`Error::Argument`] for settings out of range, for no training or validation rows, for a classifier with a pooler,
///   for states that are not finite.
/// * As [`accelerate`](fn@crate::accelerate::accelerate) and
///   [`NgramClassifier::fit`](crate::exit::NgramClassifier::fit); errors of the trainer, such as
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
    Ladder::new(classifier, texts, settings, (next, watch), rng)?.climb(rng)
}

type Watch<'a> = &'a mut dyn FnMut(LadderEvent<'_>);

/// A training in rungs while it runs.
pub(super) struct Ladder<'a> {
    pub(super) classifier: &'a TextClassifier,
    pub(super) texts: LadderTexts<'a>,
    pub(super) settings: &'a LadderSettings,
    pub(super) next: &'a mut dyn NextStep,
    pub(super) watch: Watch<'a>,
    pub(super) start: Instant,
    /// Seed of fine-tuning.
    pub(super) seed: u64,
    pub(super) flops: u64,
    pub(super) flops_of_fits: u64,
    pub(super) pass_flops: u64,
    pub(super) passes: f64,
    pub(super) planned_passes: f64,
    /// FLOPs that exits on the fine-tuned encoder will cost.
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
        // Fits on fine-tuned states take up to three times the steps. Validation rows run again through side layers, and
        // exit 0 of few texts is fitted again.
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
        // Exit 0 of few texts has learned from the validation rows, so that it cannot judge them.
        let front = texts.joined().is_none().then_some(front);
        let rung_2 = self.fine_tuned(&tuned, front, rng)?;
        // Exits of few texts learn from fewer rows than those of rung 1, and may lose what the encoder has gained.
        let is_better = self.pays(rung_2.loss, &rung_1) && self.outweighs_rows(&rung_2, &rung_1);
        let best = if is_better { rung_2 } else { rung_1 };
        Ok(self.end(best, stop))
    }

    /// Adds the FLOPs of a convex fit.
    pub(super) fn add_fits(&mut self, flops: u64) {
        self.flops += flops;
        self.flops_of_fits += flops;
    }

    /// Rung 0: the n-gram classifier, on the texts that rungs 0 and 1 are fitted on.
    fn fit_front<R: Rng + ?Sized>(&mut self, texts: &RungTexts<'_>, rng: &mut R) -> Result<NgramFit> {
        (self.watch)(LadderEvent::Fitting(FitStep::Ngrams { texts: texts.fitted_on().len() }));
        let fit = fit_ngrams(self.classifier, texts.fitted_on(), &self.settings.exits, rng)?;
        let fit = fit.ok_or_else(|| Error::argument("ngram", "settings of exit 0", "none"))?;
        self.add_fits(fit.flops);
        Ok(fit)
    }

    /// The validation rows, with answers of exit 0 that have not learned from them.
    fn validation(&self, front: &NgramFit, texts: &RungTexts<'_>) -> Result<Validation<'a>> {
        let data = self.texts.validation;
        let front = match texts.joined() {
            Some(_) => front.out_of_fold.select(&texts.validation_rows()),
            None => front.classifier.log_probabilities_of_all(data)?,
        };
        Ok(Validation { texts: data, flops: cost(self.classifier, data, |_| 0), front, labels: truth_of(data) })
    }

    /// Estimates the time of a fine-tuning pass by the time that rung 1 took.
    fn time_of_pass(&self, rung_1: &RungModel, texts: &RungTexts<'_>, before: Duration) -> Duration {
        let states = Duration::from_secs_f64(rung_1.exits.seconds_of_states);
        let forward = (self.start.elapsed() - before).max(states);
        let rows = self.texts.training.len() as f64 / texts.fitted_on().len().max(1) as f64;
        forward.mul_f64(STEP_BY_FORWARD * rows)
    }

    /// The classifier that fine-tuning starts from: the pre-trained encoder with the last regression of rung 1.
    fn start_of_fine_tuning<R: Rng + ?Sized>(
        &mut self,
        rung_1: &RungModel,
        fit: FrozenFit,
        rng: &mut R,
    ) -> Result<TextClassifier> {
        let start = self.head_of_rung_1(rung_1, fit, rng)?;
        let parameters = start.encoder().parameters();
        parameters.compute_in(self.classifier.encoder().parameters().precision())?;
        // Exit 0 reads the word embeddings: it would have to be fitted again.
        parameters.set_frozen(parameters.id(WORD_EMBEDDINGS)?, true);
        Ok(start)
    }

    /// Returns whether a loss of rung 2 is a reason to prefer it to rung 1.
    fn pays(&self, loss: f64, rung_1: &RungModel) -> bool {
        loss <= (1.0 - LEAST_FALL) * rung_1.loss || self.settings.least == Rung::FineTuned
    }

    /// Returns whether rung 2 is better by more than chance, where rung 1 has learned from the validation texts as well: its
    /// mean loss is lower by at least one standard error of the paired differences. Otherwise, the validation texts that
    /// rung 2 lacks are worth more than what it gained on them.
    fn outweighs_rows(&self, rung_2: &RungModel, rung_1: &RungModel) -> bool {
        if rung_1.out_of_fold.is_none() || self.settings.least == Rung::FineTuned {
            return true;
        }
        lower_by_one_error(&rung_1.losses, &rung_2.losses)
    }

    /// Records score and cost of a rung.
    pub(super) fn measure(&mut self, rung: Rung, answers: &LogProbabilities, labels: &[u32]) -> f64 {
        let measured = Measurement {
            rung,
            passes: if rung == Rung::FineTuned { self.passes } else { 0.0 },
            planned_passes: if rung == Rung::FineTuned { self.planned_passes } else { 0.0 },
            accuracy: Some(answers.score(labels)),
            loss: answers.mean_loss(labels),
            flops: self.flops,
            cost: self.flops as f64 / self.pass_flops.max(1) as f64,
            seconds: self.start.elapsed().as_secs_f64(),
        };
        self.measured.push(measured);
        (self.watch)(LadderEvent::Measured(&measured));
        measured.loss
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

/// Returns whether the mean of `after` is lower than that of `before` by at least one standard error of the differences.
fn lower_by_one_error(before: &[f64], after: &[f64]) -> bool {
    let falls: Vec<f64> = before.iter().zip(after).map(|(before, after)| before - after).collect();
    let rows = falls.len() as f64;
    let mean = falls.iter().sum::<f64>() / rows;
    let variance = falls.iter().map(|fall| (fall - mean).powi(2)).sum::<f64>() / (rows - 1.0).max(1.0);
    mean >= (variance / rows).sqrt()
}

/// FLOPs of the forward pass over a data set, and of what `more` adds.
pub(super) fn cost(classifier: &TextClassifier, data: &EncodedDataset, more: impl Fn(Load) -> u64) -> u64 {
    let loads = data.lengths().into_iter().map(Load::of_text);
    loads.map(|load| classifier.forward_flops(load).0 + more(load)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fall_of_one_standard_error_counts() {
        // Differences 1, 3: mean 2, standard error 1.
        assert!(lower_by_one_error(&[2.0, 4.0], &[1.0, 1.0]));
        // Differences -1, 1.5: mean .25, standard error 1.25.
        assert!(!lower_by_one_error(&[1.0, 2.5], &[2.0, 1.0]));
        assert!(lower_by_one_error(&[1.0], &[1.0]) && !lower_by_one_error(&[1.0], &[2.0]));
    }
}
