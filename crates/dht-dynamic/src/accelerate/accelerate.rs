//! Builds a dynamic model from a fine-tuned classifier.

use dht_transformer::TextClassifier;
use rand::Rng;

use super::accelerated::Accelerated;
use crate::error::{Error, Result};
use crate::fit::{
    AccelerateSettings, Built, FitStep, FitTexts, FittedExits, JudgedFront, Lap, Report, Texts, fit_ngrams,
};

/// Builds a dynamic model, which is cheaper at inference, from a fine-tuned classifier of classes or of several labels.
///
/// Fits the exits, the n-gram exit and the stacking weights, and selects a speed. The classifier does not change.
///
/// # Errors
/// * [`Error::Argument`] if a setting is out of range.
/// * [`Error::Argument`] if the classifier is a regression, or if the classes or labels of the texts differ from those
///   of the classifier.
/// * [`Error::Argument`] if there are fewer than 20 training texts, or if there are unlabelled texts and no held-out
///   texts.
/// * [`Error::Argument`] if held-out texts are empty, or if more than half of them are also training texts.
/// * [`Error::Argument`] if a hidden state is not finite.
/// * Errors of [`ExitModel::of_classifier`](crate::ExitModel::of_classifier),
///   [`NgramClassifier::fit`](crate::exit::NgramClassifier::fit) and the encoder.
pub fn accelerate<R: Rng + ?Sized>(
    classifier: &TextClassifier,
    texts: Texts<'_>,
    settings: &AccelerateSettings,
    rng: &mut R,
) -> Result<Accelerated> {
    accelerate_watched(classifier, texts, settings, &mut |_| {}, rng)
}

/// Builds a dynamic model as [`accelerate`] does, and reports each step of the fit to `watch`.
///
/// # Errors
/// Errors of [`accelerate`].
pub fn accelerate_watched<R: Rng + ?Sized>(
    classifier: &TextClassifier,
    texts: Texts<'_>,
    settings: &AccelerateSettings,
    watch: &mut dyn FnMut(FitStep),
    rng: &mut R,
) -> Result<Accelerated> {
    settings.check()?;
    if texts.training.len() < Texts::LEAST {
        return Err(Error::argument("texts", format!("at least {}", Texts::LEAST), texts.training.len()));
    }
    texts.check_held_out()?;
    let mut clock = Lap::start();
    let mut texts = FitTexts::new(texts, settings, rng)?;
    let mut report = Report::new(&texts);
    let exits = FittedExits::before_classifier(classifier, &mut texts, settings, &mut report, watch, rng)?;
    let mut front = None;
    watch(FitStep::Ngrams { texts: texts.training.len() });
    if let Some(fit) = fit_ngrams(classifier, &texts.training, settings, rng)? {
        report.add_fits(fit.flops);
        front = Some(JudgedFront::new(fit, &texts)?);
    }
    let stacked = exits.stack(front, &texts, settings.rule, &mut report)?;
    let Built { model, mut report, .. } = stacked.at_default_speed(&texts, report)?;
    report.seconds = clock.seconds();
    Ok(Accelerated { model, report })
}
