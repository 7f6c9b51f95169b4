//! Text on its way through the layers.

use crate::prediction::Prediction;
use crate::router::Notes;

/// State of a text between exits. Before the first layer it is empty, or has the answer of the n-gram exit.
#[derive(Debug, Clone, Default)]
pub(crate) struct Passage {
    /// Log-probabilities of the n-gram exit; empty without an n-gram exit.
    pub(super) front: Vec<f64>,
    /// Notes of the router.
    pub(super) notes: Notes,
    /// The exit where the router sent the text at the n-gram exit; `None` for the last.
    pub(super) exit: Option<usize>,
    /// FLOPs of the n-gram exit.
    pub(super) flops: u64,
}

/// Outcome of a text before the first layer.
#[derive(Debug)]
pub(crate) enum FrontOutcome<T = Prediction> {
    /// N-gram exit answered.
    Answered(T),
    /// The text needs the encoder.
    Continues(Passage),
}
