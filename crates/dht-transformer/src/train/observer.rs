//! Events of a training run, and observers that receive them.

use std::io::Write;

use super::history::{EpochRecord, History, StepRecord};
use super::objective::Progress;

/// Event of a training run that is reported to an [`Observer`].
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Start of the training run, or its resumption.
    Started {
        /// Number of samples that were processed before the run was interrupted; 0 for a new run.
        samples: u64,
        /// Number of samples in all epochs of the run.
        total: u64,
        /// Name of the [validation score](super::Objective::metric).
        metric: &'static str,
        /// Validation scores between the ends of epochs that were computed before the run was interrupted. An observer
        /// that decides by scores thus decides as in an uninterrupted run.
        evaluations: &'a [StepRecord],
    },
    /// Optimiser step that was taken.
    Step {
        /// Progress of the run at this step.
        progress: Progress,
        /// Mean loss of the step's samples, in nats.
        loss: f64,
        /// Number of samples in the step.
        samples: usize,
        /// Learning rate of the step, according to the schedule.
        learning_rate: f64,
        /// Norm of the gradient over all parameters, before clipping.
        gradient_norm: f64,
    },
    /// Batch that exceeds the device's memory. From this batch on, batches are processed in parts, whose
    /// gradients are combined into one step.
    InParts {
        /// Number of samples that exceeded the memory.
        refused: usize,
        /// Maximum number of samples in a part.
        at_once: usize,
    },
    /// Evaluation of the model that is not at the end of an epoch.
    Evaluation(&'a StepRecord),
    /// End of an epoch, with its results.
    Epoch(&'a EpochRecord),
    /// End of the training run by an error. The history contains the results so far. It names the best epoch if the
    /// model now has the parameters of that epoch.
    Failed(&'a History),
}

/// Receiver of the events of a training run. It can stop the run, but not change it in any other way.
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

    /// Returns whether the run must end with [`Error::Stopped`](crate::Error::Stopped), as if
    /// [`Trainer::stop`](crate::Trainer::stop) were set. It ends before the first step or after the current step. The
    /// default is `false`.
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

/// Observer that writes a line to standard error after each epoch: the name of the run, its loss and its validation
/// score. Write errors, such as a closed or full stream, do not stop the run.
#[derive(Debug, Clone)]
pub struct EpochLines {
    training: String,
    metric: &'static str,
}

impl EpochLines {
    /// Creates an observer whose lines begin with `training`, the name of the run.
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
