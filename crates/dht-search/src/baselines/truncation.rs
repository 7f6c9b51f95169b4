//! Truncation: the first layers of an encoder with a separate classifier, the simplest smaller model.

use dht_transformer::{
    Encoder, Pooling, TextClassifier,
    tasks::{Distillation, DistillationSettings, FineTuning},
};
use rand::Rng;

use crate::error::Result;

/// Creates the objective that fine-tunes the first `layers` layers of an encoder on labels. The student has separate
/// weights; `encoder` does not change.
///
/// # Errors
/// [`Transformer`](dht_dynamic::Error::Transformer) if `layers` is 0 or more than the encoder has, or if there are
/// fewer than two classes.
pub fn fine_tuned<R: Rng + ?Sized>(
    encoder: &Encoder,
    layers: usize,
    classes: usize,
    pooling: Pooling,
    rng: &mut R,
) -> Result<FineTuning> {
    Ok(FineTuning::new(TextClassifier::new(encoder.truncated(layers)?, classes, pooling, rng)?))
}

/// Creates the objective that distils a truncated student from a trained full model. The student starts from the first
/// `layers` layers of `encoder` and has the teacher's classes and pooling. It learns from labels and soft labels,
/// weighted by `settings`.
///
/// With the encoder from which the teacher was fine-tuned, and a generator in the same state, the student starts like
/// the student of [`fine_tuned`], so that the two students differ only in their targets.
/// [`DistillationSettings::soft_labels`] compares no hidden states.
///
/// # Errors
/// * As [`fine_tuned`].
/// * As [`Distillation::new`] if the settings are out of range or the teacher does not fit.
pub fn distilled<R: Rng + ?Sized>(
    encoder: &Encoder,
    layers: usize,
    teacher: &TextClassifier,
    settings: DistillationSettings,
    rng: &mut R,
) -> Result<Distillation> {
    let (classes, pooling) = (teacher.classifier().classes(), teacher.classifier().pooling());
    let student = TextClassifier::new(encoder.truncated(layers)?, classes, pooling, rng)?;
    Ok(Distillation::new(student, teacher, settings)?)
}
