//! Steps 1 to 3 for a classifier that does not change: linear exits, then side layers.

use dht_transformer::TextClassifier;
use rand::Rng;

use super::linear::LinearExits;
use super::report::{Lap, Report};
use super::settings::AccelerateSettings;
use super::side::{SideLayers, exit_model};
use super::states::{ExitStates, LastExit};
use super::step::WatchFit;
use super::texts::FitTexts;
use crate::error::Result;
use crate::exit_model::ExitModel;
use crate::log_probabilities::LogProbabilities;

/// Fitted exits, with their answers to the judged texts.
pub(crate) struct FittedExits {
    pub(crate) model: ExitModel,
    /// The C of each fitted exit; the classifier's own exit has none.
    pub(crate) c: Vec<f64>,
    /// Answers of each exit, the last included.
    pub(crate) answers: Vec<LogProbabilities>,
}

impl FittedExits {
    /// Fits exits before the last, which is the classifier. The texts get the labels that the settings'
    /// [targets](AccelerateSettings::targets) define, and the report the costs of each step.
    pub(crate) fn before_classifier<R: Rng + ?Sized>(
        classifier: &TextClassifier,
        texts: &mut FitTexts,
        settings: &AccelerateSettings,
        report: &mut Report,
        watch: WatchFit<'_>,
        rng: &mut R,
    ) -> Result<Self> {
        let mut clock = Lap::start();
        // Stacking and speeds are selected on the exits' answers. Side layers know the texts that they were trained on,
        // so that cross-fitted texts cannot be used for both.
        let side = settings.side.clone().filter(|_| texts.held_out.is_some());
        let settings = &AccelerateSettings { side, ..settings.clone() };
        let model = exit_model(classifier, settings, rng)?;
        let mut cache = SideLayers::cache(settings);
        let states = ExitStates::read(&model, texts, LastExit::Classifier(&mut cache), settings, watch)?;
        report.flops += states.flops;
        report.seconds_of_states = clock.seconds();

        states.relabel(texts, settings.targets);
        let LinearExits { c, mut answers, flops } = LinearExits::fit(&model, texts, &states, settings, watch)?;
        report.add_fits(flops);
        report.seconds_of_exits = clock.seconds();

        // The pooled states are dropped here: the training of side layers needs the memory.
        answers.extend(states.into_classifier_answers());
        let (model, answers) = match &settings.side {
            Some(side) => {
                let layers = SideLayers::train(model, texts, settings, cache, watch, rng)?;
                report.side = Some(side.width(classifier.encoder().block_shape().hidden));
                report.flops += layers.flops;
                (layers.model, layers.answers)
            }
            None => (model, answers),
        };
        report.seconds_of_side = clock.seconds();
        Ok(Self { model, c, answers })
    }
}
