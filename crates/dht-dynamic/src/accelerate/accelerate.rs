//! The function that builds a dynamic model.

use dht_transformer::TextClassifier;
use rand::Rng;

use super::accelerated::Accelerated;
use crate::error::{Error, Result};
use crate::fit::{
    AccelerateSettings, Built, FitStep, FitTexts, FittedExits, JudgedFront, Lap, Report, Texts, fit_ngrams,
};

/// Builds a dynamic model from a fine-tuned classifier, which gives each text one class or several labels: fits the exits,
/// the n-gram exit and the stacking weights, and selects a speed. The classifier does not change.
///
/// # Errors
/// * [`Error::Argument`] for settings out of range, for fewer than 20 texts, for a regression, for classes or labels other
///   than the classifier's, for unlabelled texts without held-out texts, for held-out texts more than half of which are
///   also training texts, and for hidden states that are not finite.
/// * As [`ExitModel::of_classifier`](crate::ExitModel::of_classifier) and
///   [`NgramClassifier::fit`](crate::exit::NgramClassifier::fit); errors of the encoder.
pub fn accelerate<R: Rng + ?Sized>(
    classifier: &TextClassifier,
    texts: Texts<'_>,
    settings: &AccelerateSettings,
    rng: &mut R,
) -> Result<Accelerated> {
    accelerate_watched(classifier, texts, settings, &mut |_| {}, rng)
}

/// Builds a dynamic model as [`accelerate`], and reports each step to `watch`.
///
/// # Errors
/// As [`accelerate`].
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
