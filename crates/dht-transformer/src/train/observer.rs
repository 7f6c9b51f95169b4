//! Reports from a running training.

use super::history::{EpochRecord, History, StepRecord};
use super::objective::Progress;

/// What is reported to an observer. An observer cannot change the training.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The training begins, or resumes after `samples` of `total` samples.
    Started {
        /// Samples that are done.
        samples: u64,
        /// Samples of all epochs.
        total: u64,
        /// Name of the [validation score](super::Objective::metric).
        metric: &'static str,
    },
    /// A step was made.
    Step {
        /// Where the training stood.
        progress: Progress,
        /// The mean loss of the step, in nats.
        loss: f64,
        /// How many samples.
        samples: usize,
    },
    /// The device's memory does not hold as many samples at once: from now on batches are gone through in parts, whose gradients make
    /// one step.
    InParts {
        /// The samples that it did not hold.
        refused: usize,
        /// The most samples of a part.
        at_once: usize,
    },
    /// The model was evaluated between the ends of epochs.
    Evaluation(&'a StepRecord),
    /// An epoch is over.
    Epoch(&'a EpochRecord),
    /// The training ends with an error. Its history so far, with the epoch whose parameters the model has now, if any.
    Failed(&'a History),
}

/// Receives the events of a training.
pub trait Observer {
    /// Receives an event.
    fn observe(&mut self, event: Event<'_>);
}

/// Ignores all events.
impl Observer for () {
    fn observe(&mut self, _: Event<'_>) {}
}

impl<F: FnMut(Event<'_>)> Observer for F {
    fn observe(&mut self, event: Event<'_>) {
        self(event);
    }
}
