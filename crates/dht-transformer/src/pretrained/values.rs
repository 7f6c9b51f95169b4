//! Checks of the values of tensors.

use crate::error::WeightsProblem;

/// The index of the first value that is not finite, and the value.
pub(super) fn not_finite(values: &[f32]) -> Option<WeightsProblem> {
    let element = values.iter().position(|value| !value.is_finite())?;
    Some(WeightsProblem::NotFinite { element, value: values[element].to_string() })
}
