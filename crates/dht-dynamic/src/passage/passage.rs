//! State of a text that the n-gram classifier has not answered, before it runs through the layers.

use crate::prediction::Prediction;
use crate::router::Notes;

/// State of a text before the first layer: empty, or with the results of the n-gram classifier.
#[derive(Debug, Clone, Default)]
pub(crate) struct Passage {
    /// Log-probabilities of the n-gram classifier; empty without an n-gram classifier.
    pub(super) front: Vec<f64>,
    /// Values that the router stored for the text at the n-gram exit, to use them at later exits.
    pub(super) notes: Notes,
    /// Exit that the router selected after the n-gram classifier; `None` for the last exit.
    pub(super) exit: Option<usize>,
    /// FLOPs of the n-gram classifier for the text.
    pub(super) flops: u64,
}

/// Outcome of the n-gram exit for one text: a final prediction, or the state with which the text continues into the
/// encoder.
#[derive(Debug)]
pub(crate) enum FrontOutcome<T = Prediction> {
    /// Final prediction of the n-gram classifier.
    Answered(T),
    /// State of a text that continues into the encoder.
    Continues(Passage),
}
