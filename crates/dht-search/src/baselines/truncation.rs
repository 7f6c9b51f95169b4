//! Truncation baseline: the first layers of an encoder with a new classifier.

use dht_transformer::{
    Encoder, Pooling, TextClassifier,
    tasks::{Distillation, DistillationSettings, FineTuning},
};
use rand::Rng;

use crate::error::Result;

/// Creates the training objective that fine-tunes the first `layers` layers of an encoder on labels. They are copied;
/// `encoder` does not change.
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

/// Creates the training objective that distils a trained full model into a smaller student. The student starts from the
/// first `layers` layers of `encoder` and has the teacher's classes and pooling. It learns from labels and soft labels,
/// weighted by `settings`.
///
/// With the pre-trained encoder of the teacher and the same random generator, the student has the same initial weights
/// as in [`fine_tuned`]. Both then differ in their targets only. Use [`DistillationSettings::soft_labels`], which does
/// not compare hidden states.
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
