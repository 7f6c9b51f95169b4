//! Events of a running training loop, and their observers.

use std::io::Write;

use super::history::{EpochRecord, History, StepRecord};
use super::objective::Progress;

/// Event that is reported to an observer.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The training run starts, or resumes after `samples` of `total` samples.
    Started {
        /// Number of samples processed in earlier runs.
        samples: u64,
        /// Number of samples of all epochs.
        total: u64,
        /// Name of the [validation score](super::Objective::metric).
        metric: &'static str,
        /// Validation scores between the ends of epochs that were computed before the run was resumed. An observer that
        /// decides by scores thus decides as in an uninterrupted run.
        evaluations: &'a [StepRecord],
    },
    /// An optimiser step was taken.
    Step {
        /// Progress at the step.
        progress: Progress,
        /// Mean loss of the step, in nats.
        loss: f64,
        /// Number of samples of the step.
        samples: usize,
        /// Learning rate of the step, as the schedule gives it.
        learning_rate: f64,
        /// Norm of the gradient over all parameters, before clipping.
        gradient_norm: f64,
    },
    /// The batch exceeds the device's memory. From this batch on, batches are processed in parts whose gradients form
    /// one step.
    InParts {
        /// Number of samples that did not fit at once.
        refused: usize,
        /// Maximum number of samples of a part.
        at_once: usize,
    },
    /// The model was evaluated between the ends of epochs.
    Evaluation(&'a StepRecord),
    /// An epoch is over.
    Epoch(&'a EpochRecord),
    /// The training run ends with an error. The history contains the results so far, and the best epoch if the model
    /// now has its parameters.
    Failed(&'a History),
}

/// Receives the events of a training run. An observer can stop the run, but cannot change the run otherwise.
///
/// # Examples
/// An observer that stops the training loop when the gradient vanishes. The model then has its best parameters so far:
///
/// ```
/// use dht_transformer::train::{Event, Observer};
///
/// #[derive(Default)]
/// struct UntilFlat {
///     flat: bool,
/// }
///
/// impl Observer for UntilFlat {
///     fn observe(&mut self, event: Event<'_>) {
///         if let Event::Step { gradient_norm, learning_rate, .. } = event {
///             self.flat = learning_rate > 0.0 && gradient_norm < 1e-6;
///         }
///     }
///
///     fn stops(&self) -> bool {
///         self.flat
///     }
/// }
/// ```
pub trait Observer {
    /// Receives an event.
    fn observe(&mut self, event: Event<'_>);

    /// Returns whether the run must end with [`Error::Stopped`](crate::Error::Stopped), before its first step or after
    /// the current step, as if [`Trainer::stop`](crate::Trainer::stop) were set. The default never stops.
    fn stops(&self) -> bool {
        false
    }
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

/// Writes a line to standard error after each epoch: the name of the run, its loss and its validation score. A closed
/// or full stream does not stop the run.
#[derive(Debug, Clone)]
pub struct EpochLines {
    training: String,
    metric: &'static str,
}

impl EpochLines {
    /// Creates an observer whose lines begin with the name of the run.
    pub fn new(training: impl Into<String>) -> Self {
        Self { training: training.into(), metric: "score" }
    }

    fn line(&self, epoch: &EpochRecord) -> String {
        let score = epoch.validation_score.map(|score| format!(", validation {} {score:.3}", self.metric));
        format!("{}: epoch {}, loss {:.3}{}", self.training, epoch.epoch + 1, epoch.loss, score.unwrap_or_default())
    }
}

impl Observer for EpochLines {
    fn observe(&mut self, event: Event<'_>) {
        match event {
            Event::Started { metric, .. } => self.metric = metric,
            Event::Epoch(epoch) => {
                let _ = writeln!(std::io::stderr(), "{}", self.line(epoch));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_score_by_its_name_where_there_is_one() {
        let mut lines = EpochLines::new("T-DHT");
        lines.observe(Event::Started { samples: 0, total: 9, metric: "macro F1", evaluations: &[] });
        let epoch = |validation_score| EpochRecord { epoch: 1, loss: 0.25, validation_score };
        assert_eq!(lines.line(&epoch(Some(0.5))), "T-DHT: epoch 2, loss 0.250, validation macro F1 0.500");
        assert_eq!(lines.line(&epoch(None)), "T-DHT: epoch 2, loss 0.250");
    }
}
