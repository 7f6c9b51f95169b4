//! Schedule of checkpoints, by number of steps and by time.

use std::time::{Duration, Instant};

/// Schedule that decides when a checkpoint is due. Elapsed time affects only when checkpoints are written, not the
/// results of the training run.
#[derive(Debug)]
pub(super) struct SaveSchedule {
    every_steps: u64,
    every: Duration,
    /// Number of optimiser steps at the last checkpoint, and its time. Before the first checkpoint: 0, and the start of
    /// the run.
    last: (u64, Instant),
}

impl SaveSchedule {
    pub(super) fn new(every_steps: u64, every: Duration) -> Self {
        Self { every_steps: every_steps.max(1), every, last: (0, Instant::now()) }
    }

    /// Returns whether a checkpoint is due after `steps` steps: either enough steps were taken since the last
    /// checkpoint, or it is too old and at least one step was taken.
    pub(super) fn is_due(&self, steps: u64) -> bool {
        let (saved, at) = self.last;
        steps - saved >= self.every_steps || steps > saved && at.elapsed() >= self.every
    }

    pub(super) fn saved(&mut self, steps: u64) {
        self.last = (steps, Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_is_due_by_steps_or_by_time() {
        let hour = Duration::from_secs(3600);
        let mut by_steps = SaveSchedule::new(3, hour);
        assert_eq!([0, 2, 3, 4].map(|steps| by_steps.is_due(steps)), [false, false, true, true]);
        by_steps.saved(4);
        assert_eq!([4, 6, 7].map(|steps| by_steps.is_due(steps)), [false, false, true]);
        let by_time = SaveSchedule::new(u64::MAX, Duration::ZERO);
        assert_eq!([0, 1].map(|steps| by_time.is_due(steps)), [false, true], "nothing new is not saved again");
        let old = SaveSchedule {
            last: (4, Instant::now() - Duration::from_secs(61)),
            ..SaveSchedule::new(9, Duration::from_secs(60))
        };
        assert_eq!([4, 5].map(|steps| old.is_due(steps)), [false, true]);
    }
}
