//! State of a text between the n-gram classifier, which did not answer it, and the first layer.

use crate::prediction::Prediction;
use crate::router::Notes;

/// State of a text before the first layer: the results of the n-gram classifier, or empty if there is none.
#[derive(Debug, Clone, Default)]
pub(crate) struct Passage {
    /// Log-probabilities that the n-gram classifier predicted; empty if there is none.
    pub(super) front: Vec<f64>,
    /// Values that the router stored for the text after the n-gram classifier, for decisions at later exits.
    pub(super) notes: Notes,
    /// Index of the exit at which the text is to stop, if the router selected it after the n-gram classifier. `None`
    /// for the last exit.
    pub(super) exit: Option<usize>,
    /// FLOPs of the n-gram classifier for this text.
    pub(super) flops: u64,
}

/// Outcome of the n-gram classifier for one text: the final prediction, or the state with which the text continues into
/// the encoder.
#[derive(Debug)]
pub(crate) enum FrontOutcome<T = Prediction> {
    /// Prediction of the n-gram classifier, with which the text stops.
    Answered(T),
    /// State with which the text continues into the encoder.
    Continues(Passage),
}
