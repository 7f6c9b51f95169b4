//! Average time per token of recent batches, from which waiting times are estimated.

use std::time::Duration;

/// Weight of the latest batch in the exponential moving average of the time per token.
const LAST: f64 = 0.2;
/// Safety factor on estimated times. Batches differ, machines stall for a second, and a late answer is useless. With a
/// factor of 2, accepted requests wait for at most about half the time to their deadline.
const MARGIN: f64 = 2.0;

/// Exponential moving average of the seconds per token of a batch; `None` before the first batch.
#[derive(Debug, Default)]
pub(super) struct Pace(Option<f64>);

impl Pace {
    /// Updates the average with a batch: its time and its number of tokens. A batch without tokens is ignored.
    pub(super) fn observe(&mut self, taken: Duration, tokens: usize) {
        if tokens > 0 {
            let last = taken.as_secs_f64() / tokens as f64;
            self.0 = Some(self.0.map_or(last, |mean| mean + LAST * (last - mean)));
        }
    }

    /// Estimates the time that `workers` workers need for `tokens` tokens, with a safety factor. Zero before the first
    /// batch.
    pub(super) fn expected(&self, tokens: usize, workers: usize) -> Duration {
        let seconds = self.0.unwrap_or(0.0) * MARGIN * tokens as f64 / workers.max(1) as f64;
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_takes_as_long_as_the_last_batches_took() {
        let mut pace = Pace::default();
        assert_eq!(pace.expected(1_000_000, 1), Duration::ZERO);
        pace.observe(Duration::from_secs(1), 0);
        assert_eq!(pace.expected(10, 1), Duration::ZERO);
        // A slow first batch loses its weight.
        pace.observe(Duration::from_secs(100), 100);
        (0..100).for_each(|_| pace.observe(Duration::from_secs(2), 1000));
        let expected = pace.expected(4000, 2).as_secs_f64();
        assert!((expected - 8.0).abs() < 1e-6, "{expected}");
        assert_eq!(pace.expected(usize::MAX, 1), Duration::from_secs_f64(pace.0.unwrap() * MARGIN * usize::MAX as f64));
    }
}
