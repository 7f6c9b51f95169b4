//! Truncation: the first layers of an encoder with a separate classifier, the simplest smaller model.

use dht_transformer::{
    Encoder, Pooling, TextClassifier,
    tasks::{Distillation, DistillationSettings, FineTuning},
};
use rand::Rng;

use crate::error::Result;

/// Fine-tunes the first `layers` layers on labels. The student has separate weights; `encoder` does not change.
///
/// # Errors
/// [`Transformer`](dht_dynamic::Error::Transformer) when `layers` is 0 or more than the encoder has, and for fewer than two
/// classes.
pub fn fine_tuned<R: Rng + ?Sized>(
    encoder: &Encoder,
    layers: usize,
    classes: usize,
    pooling: Pooling,
    rng: &mut R,
) -> Result<FineTuning> {
    Ok(FineTuning::new(TextClassifier::new(encoder.truncated(layers)?, classes, pooling, rng)?))
}

/// Distils the truncated student from a trained full model. The student starts from the first `layers` layers of
/// `encoder`, has the teacher's classes and pooling, and learns from labels and soft labels, weighted by `settings`.
///
/// With the encoder from which the teacher was fine-tuned, and a generator in the same state, the student starts like
/// that of [`fine_tuned`], so that the two students differ only in their targets. [`DistillationSettings::soft_labels`]
/// compares no hidden states.
///
/// # Errors
/// As [`fine_tuned`], and as [`Distillation::new`] for settings out of range and a teacher that does not fit.
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
