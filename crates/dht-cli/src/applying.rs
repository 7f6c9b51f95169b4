//! The labels of a model of several that apply to a text.

use std::sync::Arc;

/// They apply from this probability on.
const APPLIES: f32 = 0.5;

/// The labels that apply, in their order.
pub fn applying(labels: &[Arc<str>], probabilities: &[f32]) -> Vec<Arc<str>> {
    let likely = labels.iter().zip(probabilities).filter(|(_, p)| **p >= APPLIES);
    likely.map(|(label, _)| label.clone()).collect()
}
