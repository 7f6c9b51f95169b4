//! DistilBERT (Sanh et al. 2019): a student with fewer layers, initialised from some of its teacher's layers.
//!
//! [`Distillation`] defines the loss, with three terms: soft labels, cosine similarity of the last hidden states, and
//! labels. Differences from the DistilBERT paper and its script (the source):
//!
//! - The source distils in **pre-training**, on the teacher's corpus and with masked-language modelling as the third
//!   loss, and fine-tunes afterwards. Here the teacher is a trained classifier, and the student is distilled on the
//!   task's texts alone, with the cross-entropy of their labels as third loss. By default, the weights of the losses
//!   and the temperature are the source's.
//! - The source has no token types and no pooler. Here the student has all parts of the teacher except some layers,
//!   including token types, pooler and classifier.
//! - The cosine loss of the source is a mean over the tokens of a batch. Here it is first averaged over the tokens of
//!   each text, then over texts.

use dht_transformer::{
    TextClassifier,
    pruning::PrunePlan,
    tasks::{Distillation, DistillationSettings},
};

use crate::error::{Error, Result};

/// Distils a student of `layers` layers, initialised from the teacher's [`teacher_layers`], embeddings, pooler and
/// classifier. The student has separate weights; the teacher does not change.
///
/// # Errors
/// * As [`teacher_layers`].
/// * As [`Distillation::new`] if the settings are out of range or the teacher is for another task.
pub fn distilbert(teacher: &TextClassifier, layers: usize, settings: DistillationSettings) -> Result<Distillation> {
    let encoder = teacher.encoder();
    let plan = PrunePlan::whole_layers(encoder, &teacher_layers(encoder.layers(), layers)?)?;
    Ok(Distillation::new(teacher.prune(&plan)?, teacher, settings)?)
}

/// Indices of the teacher's layers from which a student with `student` layers is initialised, counted from 0.
///
/// The layers are evenly spaced from the first to the last: layer i of a student with k layers starts from layer i·(L −
/// 1)/(k − 1), rounded, of a teacher with L layers. A student of a single layer starts from the first. A student of 6
/// layers starts from the layers 0, 2, 4, 7, 9, 11 of 12, as in DistilBERT's own script. The DistilBERT paper itself
/// describes it as one layer out of two.
///
/// # Errors
/// [`Argument`](dht_dynamic::Error::Argument) if `student` is 0 or more than `teacher`.
///
/// # Examples
/// ```
/// use dht_search::baselines::distilbert::teacher_layers;
///
/// assert_eq!(teacher_layers(12, 6)?, [0, 2, 4, 7, 9, 11]);
/// assert!(teacher_layers(12, 13).is_err());
/// # Ok::<(), dht_search::Error>(())
/// ```
pub fn teacher_layers(teacher: usize, student: usize) -> Result<Vec<usize>> {
    if !(1..=teacher).contains(&student) {
        return Err(Error::argument("layers", format!("1 to {teacher}, the teacher's"), student));
    }
    let gaps = (student - 1).max(1);
    // Halves are rounded up.
    Ok((0..student).map(|layer| (2 * layer * (teacher - 1) + gaps) / (2 * gaps)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use dht_dynamic::Error as Dynamic;

    #[test]
    fn the_students_layers_are_spread_evenly_over_the_teachers() {
        assert_eq!(teacher_layers(12, 6).unwrap(), [0, 2, 4, 7, 9, 11]);
        assert_eq!(teacher_layers(12, 3).unwrap(), [0, 6, 11]);
        assert_eq!(teacher_layers(6, 3).unwrap(), [0, 3, 5]);
        for layers in 1..30 {
            assert_eq!(teacher_layers(layers, 1).unwrap(), [0]);
            assert_eq!(teacher_layers(layers, layers).unwrap(), (0..layers).collect::<Vec<_>>());
            for student in 2..=layers {
                let selected = teacher_layers(layers, student).unwrap();
                assert!(selected.is_sorted_by(|a, b| a < b) && selected.len() == student);
                assert_eq!((selected[0], selected[student - 1]), (0, layers - 1));
            }
            for wrong in [0, layers + 1] {
                assert!(matches!(
                    teacher_layers(layers, wrong),
                    Err(Error::Dynamic(Dynamic::Argument { name: "layers", .. }))
                ));
            }
        }
    }
}
