//! How fast batches run, and so how long what waits will take.

use std::time::Duration;

/// The weight of the last batch.
const LAST: f64 = 0.2;
/// What is expected is taken this many times: batches differ, machines falter for a second, and a late answer is of no use. Batches are as
/// full with a queue of half a deadline as with one of all of it.
const MARGIN: f64 = 2.0;

/// Seconds of a token in a batch: an exponential mean over batches.
#[derive(Debug, Default)]
pub(super) struct Pace(Option<f64>);

impl Pace {
    /// Takes note of a batch.
    pub(super) fn observe(&mut self, taken: Duration, tokens: usize) {
        if tokens > 0 {
            let last = taken.as_secs_f64() / tokens as f64;
            self.0 = Some(self.0.map_or(last, |mean| mean + LAST * (last - mean)));
        }
    }

    /// How long so many tokens may take, on all workers; nothing before the first batch.
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
        // A first batch that was slow is forgotten.
        pace.observe(Duration::from_secs(100), 100);
        (0..100).for_each(|_| pace.observe(Duration::from_secs(2), 1000));
        let expected = pace.expected(4000, 2).as_secs_f64();
        assert!((expected - 8.0).abs() < 1e-6, "{expected}");
        assert_eq!(pace.expected(usize::MAX, 1), Duration::from_secs_f64(pace.0.unwrap() * MARGIN * usize::MAX as f64));
    }
}
