//! Validation of tensor values.

use crate::error::WeightsProblem;

/// Finds the first value that is NaN or infinite, and reports its index and value.
pub(super) fn not_finite(values: &[f32]) -> Option<WeightsProblem> {
    let element = values.iter().position(|value| !value.is_finite())?;
    Some(WeightsProblem::NotFinite { element, value: values[element].to_string() })
}
