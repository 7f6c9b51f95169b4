//! Builds the models of the three rungs (training steps of increasing cost).

use std::iter::repeat_n;

use dht_transformer::TextClassifier;
use rand::Rng;

use super::ladder::Ladder;
use super::report::{LadderEvent, Rung};
use super::rung_model::{FrozenFit, OutOfFold, RungModel};
use super::rung_texts::RungTexts;
use super::tuning_run::Validation;
use crate::error::Result;
use crate::evaluation::SpeedPoint;
use crate::exit::{FrontExit, NgramFit, Stacker};
use crate::fit::{
    AccelerateSettings, Built, ExitStates, FitStep, FitTexts, FittedExits, JudgedFront, Lap, LastExit, LinearExits,
    Report, ScoredOn, Texts, exit_model, fit_last_exit, fit_ngrams,
};
use crate::log_probabilities::LogProbabilities;
use crate::model::{DynamicModel, SeenTexts};

impl Ladder<'_> {
    /// Builds the model of rung 0, the first training step. Its n-gram classifier answers every text, without the
    /// encoder.
    pub(super) fn ngrams_alone<R: Rng + ?Sized>(
        &mut self,
        front: NgramFit,
        texts: RungTexts<'_>,
        validation: &Validation<'_>,
        rng: &mut R,
    ) -> Result<RungModel> {
        let exits = AccelerateSettings { side: None, ..self.settings.exits.clone() };
        let model = exit_model(self.classifier, &exits, rng)?;
        let (hidden, classes) = (self.classifier.encoder().block_shape().hidden, model.classes());
        let (weights, bias) = (vec![0.0; hidden * classes], vec![0.0; classes]);
        let count = model.exits().len();
        model.set_linear_parts(repeat_n((&*weights, &*bias), count))?;
        let seen = SeenTexts::new([self.texts.training, self.texts.validation]);
        let (flops, full) =
            (front.classifier.flops_of_all(self.texts.validation), self.texts.validation.lengths().into_iter());
        let full: Vec<u64> = full.map(|tokens| model.full_flops(tokens)).collect();
        let accuracy = validation.front.score(&validation.labels);
        let point = SpeedPoint::of_texts(1.0, accuracy, &flops, &full);
        let (rows, weights) = (validation.front.len(), validation.class_weights);
        let judged_on = if texts.joined().is_some() { ScoredOn::CrossFit(rows) } else { ScoredOn::HeldOut(rows) };
        let report = Report::of_front(&front, &validation.front, judged_on, &validation.labels, weights, point);
        let out_of_fold = match texts.into_joined() {
            Some(texts) => {
                let outputs = model.outputs();
                let uniform = vec![-(outputs.alternatives() as f64).ln(); texts.len() * outputs.width()];
                let stages = vec![front.out_of_fold; 1 + count];
                Some(OutOfFold { texts, stages, alone: LogProbabilities::of(outputs, uniform)? })
            }
            None => None,
        };
        let stackers = vec![Stacker { ngram: 1.0, exit: 0.0 }; count];
        let front = FrontExit::new(front.classifier, stackers);
        let model = DynamicModel::new(model, exits.rule)?.with_seen_texts(seen).with_front(front)?;
        let loss = validation.loss(&validation.front);
        let model = model.with_speed(report.speed)?;
        Ok(RungModel { rung: Rung::Ngrams, model, exits: report, loss, out_of_fold })
    }

    /// Builds the model of rung 1, the second training step: logistic regressions on the frozen encoder's hidden
    /// states. Also returns the inputs of the fit, which [`head_of_rung_1`](Self::head_of_rung_1) may need.
    pub(super) fn frozen<R: Rng + ?Sized>(
        &mut self,
        front: &NgramFit,
        rung_texts: &RungTexts<'_>,
        rng: &mut R,
    ) -> Result<(RungModel, FrozenFit)> {
        let mut clock = Lap::start();
        let mut settings = AccelerateSettings { side: None, ..self.settings.exits.clone() };
        let texts = match rung_texts.joined() {
            Some(all) => {
                settings.least_held_out = usize::MAX;
                Texts::new(all)
            }
            None => Texts::new(self.texts.training).with_held_out(self.texts.validation),
        };
        let texts = FitTexts::new(texts, &settings, rng)?;
        let mut report = Report::new(&texts);
        let model = exit_model(self.classifier, &settings, rng)?;
        let mut watch = |step| (self.watch)(LadderEvent::Fitting(step));
        let states = ExitStates::read(&model, &texts, LastExit::Regression, &settings, &mut watch)?;
        report.flops += states.flops;
        report.seconds_of_states = clock.seconds();
        let LinearExits { c, answers, flops } = LinearExits::fit(&model, &texts, &states, &settings, &mut watch)?;
        report.add_fits(flops);
        report.seconds_of_exits = clock.seconds();
        let front = JudgedFront::new(front.clone(), &texts)?;
        let stacked = FittedExits { model, c, answers }.stack(Some(front), &texts, settings.rule, &mut report)?;
        let mut built = stacked.at_default_speed(&texts, settings.levels.as_ref(), report)?;
        built.report.seconds = built.report.seconds_of_states + built.report.seconds_of_exits + clock.seconds();

        self.flops += built.report.flops;
        self.flops_of_fits += built.report.flops_of_fits;
        let judged = rung_texts.judged(built.all_layers());
        let loss = self.measure(Rung::Frozen, &judged, rung_texts.judged_labels());
        let Built { model, report: exits, stages, alone } = built;
        let out_of_fold = rung_texts.joined().map(|texts| OutOfFold { texts: texts.clone(), stages, alone });
        let rung = RungModel { rung: Rung::Frozen, model, exits, loss, out_of_fold };
        Ok((rung, FrozenFit { settings, texts, states }))
    }

    /// Creates a classifier from the frozen-encoder model (rung 1): its last layer is the regression of the model's
    /// last exit. If rung 1 was cross-fitted, that regression has learned from the validation rows. A regression fitted
    /// without these rows is then used instead.
    pub(super) fn head_of_rung_1<R: Rng + ?Sized>(
        &mut self,
        rung_1: &RungModel,
        fit: FrozenFit,
        rng: &mut R,
    ) -> Result<TextClassifier> {
        let layers = self.classifier.encoder().layers();
        if rung_1.out_of_fold.is_none() {
            return rung_1.model.classifier_at(layers);
        }
        let FrozenFit { settings, texts, states } = fit;
        let model = exit_model(self.classifier, &settings, rng)?;
        self.add_fits(fit_last_exit(&model, &texts, &states, self.texts.training.len(), &settings)?);
        model.classifier_at(layers)
    }

    /// Builds the model of rung 2: exits on the fine-tuned encoder. `front` is the n-gram classifier of rung 0. It must
    /// be `None` if that classifier has learned from the validation rows; another classifier is then fitted.
    pub(super) fn fine_tuned<R: Rng + ?Sized>(
        &mut self,
        tuned: &TextClassifier,
        front: Option<NgramFit>,
        rng: &mut R,
    ) -> Result<RungModel> {
        let (settings, mut clock) = (&self.settings.exits, Lap::start());
        let texts = Texts::new(self.texts.training).with_held_out(self.texts.validation);
        let mut texts = FitTexts::new(texts, settings, rng)?;
        let mut report = Report::new(&texts);
        let mut watch = |step| (self.watch)(LadderEvent::Fitting(step));
        let exits = FittedExits::before_classifier(tuned, &mut texts, settings, &mut report, &mut watch, rng)?;
        let fit = match front {
            Some(front) => Some(front),
            None => {
                watch(FitStep::Ngrams { texts: texts.training.len() });
                let fit = fit_ngrams(tuned, &texts.training, settings, rng)?;
                report.add_fits(fit.as_ref().map_or(0, |fit| fit.flops));
                fit
            }
        };
        let front = fit.map(|fit| JudgedFront::new(fit, &texts)).transpose()?;
        let stacked = exits.stack(front, &texts, settings.rule, &mut report)?;
        let mut built = stacked.at_default_speed(&texts, settings.levels.as_ref(), report)?;
        built.report.seconds = clock.seconds();

        self.flops += built.report.flops;
        self.flops_of_fits += built.report.flops_of_fits;
        let labels = texts.judged_labels();
        let loss = self.measure(Rung::FineTuned, built.all_layers(), &labels);
        let Built { model, report: exits, .. } = built;
        Ok(RungModel { rung: Rung::FineTuned, model, exits, loss, out_of_fold: None })
    }
}
