//! Reports from a running training.

use super::history::EpochRecord;
use super::objective::Progress;

/// What an observer hears. Observers are told, never asked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Event<'a> {
    /// The training begins, or goes on after `samples` of `total` samples.
    Started {
        /// Samples behind.
        samples: u64,
        /// Samples of all epochs.
        total: u64,
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
    /// An epoch is over.
    Epoch(&'a EpochRecord),
}

/// Listens to a training.
pub trait Observer {
    /// Something happened.
    fn observe(&mut self, event: Event<'_>);
}

/// Listens to nothing.
impl Observer for () {
    fn observe(&mut self, _: Event<'_>) {}
}

impl<F: FnMut(Event<'_>)> Observer for F {
    fn observe(&mut self, event: Event<'_>) {
        self(event);
    }
}
