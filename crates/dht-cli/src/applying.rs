//! Labels of a multi-label model that apply to a text.

use std::sync::Arc;

/// Minimum probability of a label that applies.
const APPLIES: f32 = 0.5;

/// Labels that apply, in the order of `labels`.
pub fn applying(labels: &[Arc<str>], probabilities: &[f32]) -> Vec<Arc<str>> {
    let likely = labels.iter().zip(probabilities).filter(|(_, p)| **p >= APPLIES);
    likely.map(|(label, _)| label.clone()).collect()
}
