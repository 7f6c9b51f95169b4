//! Mapping from the layers of a student to the layers of its teacher.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Mapping from each layer of a student to the layer of the teacher that it learns from.
///
/// # Examples
/// ```
/// use dht_transformer::tasks::LayerMap;
///
/// assert_eq!(LayerMap::Uniform.teacher_layers(2, 4)?, [1, 3]);
/// assert_eq!(LayerMap::Last.teacher_layers(2, 4)?, [2, 3]);
/// # Ok::<(), dht_transformer::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LayerMap {
    /// Evenly spread layers. If the student has M layers and the teacher has N, the student's layer m learns from the
    /// teacher's layer ⌈m·N/M⌉, both counted from 1. This is TinyBERT's map if M divides N (Jiao et al. 2020).
    #[default]
    Uniform,
    /// Last layers of the teacher; the student's last layer learns from the teacher's last layer.
    Last,
    /// Explicit layers of the teacher, counted from 0 and ascending, one for each layer of the student.
    Given(Vec<usize>),
}

impl LayerMap {
    /// Computes the teacher's layer for each layer of the student, both counted from 0. `student` and `teacher` are the
    /// numbers of layers.
    ///
    /// # Errors
    /// [`Error::Argument`] if the teacher has fewer layers than the student. Explicit layers must also be ascending,
    /// exist in the teacher, and have one entry for each layer of the student.
    pub fn teacher_layers(&self, student: usize, teacher: usize) -> Result<Vec<usize>> {
        if student > teacher || student == 0 {
            let got = format!("{student} of a student and {teacher} of a teacher");
            return Err(Error::argument("layers", "a student with layers, and no more of them than its teacher", got));
        }
        match self {
            Self::Uniform => Ok((1..=student).map(|layer| (layer * teacher).div_ceil(student) - 1).collect()),
            Self::Last => Ok((teacher - student..teacher).collect()),
            Self::Given(layers) => {
                let right = layers.len() == student
                    && layers.is_sorted_by(|a, b| a < b)
                    && layers.last().is_none_or(|last| *last < teacher);
                let expected = || format!("{student} ascending layers below {teacher}");
                if right {
                    Ok(layers.clone())
                } else {
                    Err(Error::argument("layer_map", expected(), format!("{layers:?}")))
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_mapped_evenly_from_the_end_or_as_given() {
        assert_eq!(LayerMap::Uniform.teacher_layers(4, 12).unwrap(), [2, 5, 8, 11]);
        assert_eq!(LayerMap::Uniform.teacher_layers(4, 6).unwrap(), [1, 2, 4, 5]);
        assert_eq!(LayerMap::Last.teacher_layers(2, 6).unwrap(), [4, 5]);
        assert_eq!(LayerMap::Given(vec![0, 3]).teacher_layers(2, 6).unwrap(), [0, 3]);
        for (map, student, teacher) in [
            (LayerMap::Uniform, 7, 6),
            (LayerMap::Last, 0, 6),
            (LayerMap::Given(vec![1]), 2, 6),
            (LayerMap::Given(vec![3, 1]), 2, 6),
            (LayerMap::Given(vec![1, 6]), 2, 6),
        ] {
            assert!(matches!(map.teacher_layers(student, teacher), Err(Error::Argument { .. })), "{map:?}");
        }
    }
}
