//! Validation of tensor values.

use crate::error::WeightsProblem;

/// Index and value of the first value that is not finite.
pub(super) fn not_finite(values: &[f32]) -> Option<WeightsProblem> {
    let element = values.iter().position(|value| !value.is_finite())?;
    Some(WeightsProblem::NotFinite { element, value: values[element].to_string() })
}
