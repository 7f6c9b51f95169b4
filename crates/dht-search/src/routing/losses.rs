//! Losses from which routers learn.

/// Losses of a batch, for each sample at each exit that was evaluated.
#[derive(Debug, Clone)]
pub struct Losses {
    /// Loss in nats by exit, then by sample; NaN where an exit was not evaluated.
    pub(crate) by_exit: Vec<Vec<f64>>,
}

impl Losses {
    pub(crate) fn new(by_exit: Vec<Vec<f64>>) -> Self {
        Self { by_exit }
    }

    /// Loss of a sample at an exit, in nats; `None` if the exit was not evaluated for the sample.
    pub fn at(&self, exit: usize, sample: usize) -> Option<f64> {
        self.by_exit.get(exit)?.get(sample).copied().filter(|loss| !loss.is_nan())
    }

    /// Decrease of a sample's loss, in nats, from exit `over` to the deeper exit `exit`.
    pub(crate) fn gain(&self, sample: usize, over: usize, exit: usize) -> f64 {
        self.by_exit[over][sample] - self.by_exit[exit][sample]
    }

    /// Decrease of a sample's loss through a group of layers: the loss at the exit before the group minus the loss at
    /// the exit after it. NaN if one of the losses is unknown or its exit does not exist.
    pub(crate) fn of_group(&self, sample: usize, group: usize) -> f64 {
        if group + 1 < self.by_exit.len() { self.gain(sample, group, group + 1) } else { f64::NAN }
    }
}
