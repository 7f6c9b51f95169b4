//! Fits early exits to a classifier whose weights do not change: first linear exits, then side layers.

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

/// Encoder with fitted exits, and the exits' log-probabilities for the texts on which settings are selected (the
/// held-out texts, or all texts if cross-fitted).
pub(crate) struct FittedExits {
    pub(crate) model: ExitModel,
    /// Selected inverse penalty C of each exit except the last one, which is the classifier itself.
    pub(crate) c: Vec<f64>,
    /// Log-probabilities that each exit predicts, the last exit included.
    pub(crate) answers: Vec<LogProbabilities>,
}

impl FittedExits {
    /// Fits all exits except the last one, which is the classifier itself. If [`AccelerateSettings::targets`] requires
    /// it, the labels of `texts` are first replaced by the classifier's predictions. The costs are added to `report`.
    pub(crate) fn before_classifier<R: Rng + ?Sized>(
        classifier: &TextClassifier,
        texts: &mut FitTexts,
        settings: &AccelerateSettings,
        report: &mut Report,
        watch: WatchFit<'_>,
        rng: &mut R,
    ) -> Result<Self> {
        let mut clock = Lap::start();
        // Stacking and speeds are selected on the exits' answers to unseen texts. Side layers have seen the texts that
        // they were trained on, and are not cross-fitted. They therefore need held-out texts.
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
