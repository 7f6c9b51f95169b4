//! State of a text that runs through the layers.

use crate::prediction::Prediction;
use crate::router::Notes;

/// State of a text between exits. Before the first layer, the state is empty or has the answer of the n-gram exit.
#[derive(Debug, Clone, Default)]
pub(crate) struct Passage {
    /// Log-probabilities of the n-gram exit; empty without an n-gram exit.
    pub(super) front: Vec<f64>,
    /// Values that the router stored for the text at earlier exits.
    pub(super) notes: Notes,
    /// Exit that the router selected for the text at the n-gram exit; `None` for the last exit.
    pub(super) exit: Option<usize>,
    /// FLOPs of the n-gram exit.
    pub(super) flops: u64,
}

/// Outcome of the n-gram exit for one text: an answer, or the state with which the text continues.
#[derive(Debug)]
pub(crate) enum FrontOutcome<T = Prediction> {
    /// Answer of the n-gram exit.
    Answered(T),
    /// State of a text that needs the encoder.
    Continues(Passage),
}
