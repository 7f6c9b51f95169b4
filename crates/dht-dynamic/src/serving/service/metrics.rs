//! Metrics of a serving service: requests, computed texts, latencies and batch sizes.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::serving::answer::Answer;

/// Upper bounds of the latency histogram's buckets, in seconds.
const LATENCIES: [f64; 14] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0];
/// Upper bounds of the batch-size histogram's buckets, in texts.
const BATCHES: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

/// Histogram: the number of values in each bucket, and the sum of all values.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Histogram {
    /// Upper bounds of the buckets, inclusive and ascending. One more bucket, for values above the last bound, follows.
    pub bounds: Vec<f64>,
    /// Number of values in each bucket, not cumulative. There is one more entry than in [`bounds`](Self::bounds).
    pub counts: Vec<u64>,
    /// Sum of all values.
    pub sum: f64,
}

impl Histogram {
    fn new(bounds: &[f64]) -> Self {
        Self { bounds: bounds.to_vec(), counts: vec![0; bounds.len() + 1], sum: 0.0 }
    }

    fn add(&mut self, value: f64) {
        let bucket = self.bounds.iter().position(|bound| value <= *bound).unwrap_or(self.bounds.len());
        self.counts[bucket] += 1;
        self.sum += value;
    }
}

/// Metrics of a [`Service`](super::Service): its queue now, and its totals since the start.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ServiceMetrics {
    /// Number of texts that are waiting in the queue now.
    pub queued_texts: usize,
    /// Total number of tokens of the queued texts.
    pub queued_tokens: usize,
    /// Number of accepted requests. Each accepted request ends as exactly one of answered, failed, late or cancelled.
    pub accepted: u64,
    /// Number of requests that were answered without an error.
    pub answered: u64,
    /// Number of requests that ended with an error of the model.
    pub failed: u64,
    /// Number of accepted requests whose deadline passed before they were answered.
    pub late: u64,
    /// Number of accepted requests that their callers cancelled by dropping the ticket.
    pub cancelled: u64,
    /// Number of requests that were rejected because the queue was full, or because their deadline would have passed in
    /// the queue.
    pub refused: u64,
    /// Number of texts for which predictions were computed.
    pub texts: u64,
    /// Total number of tokens of the computed texts.
    pub tokens: u64,
    /// Total FLOPs of the computed texts, counted like [`Answer::flops`](crate::Answer::flops).
    pub flops: u64,
    /// FLOPs that the full model would need for the computed texts.
    pub full_flops: u64,
    /// Number of computed texts by depth: entry `n` counts the texts that ran `n` layers.
    pub depths: Vec<u64>,
    /// Latency of answered requests in seconds, from the arrival of a request to its last answer.
    pub latency: Histogram,
    /// Number of texts in each batch. Texts that the n-gram classifier answers are not in a batch.
    pub batches: Histogram,
    /// Number of [reloads](super::Service::reload) of the model.
    pub reloads: u64,
}

/// Thread-safe metrics of a service.
#[derive(Debug)]
pub(super) struct Counters(Mutex<ServiceMetrics>);

impl Counters {
    pub(super) fn new() -> Self {
        Self(Mutex::new(ServiceMetrics {
            queued_texts: 0,
            queued_tokens: 0,
            accepted: 0,
            answered: 0,
            failed: 0,
            late: 0,
            cancelled: 0,
            refused: 0,
            texts: 0,
            tokens: 0,
            flops: 0,
            full_flops: 0,
            depths: Vec::new(),
            latency: Histogram::new(&LATENCIES),
            batches: Histogram::new(&BATCHES),
            reloads: 0,
        }))
    }

    pub(super) fn get(&self) -> MutexGuard<'_, ServiceMetrics> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ServiceMetrics {
    pub(super) fn answer(&mut self, latency: Duration) {
        self.answered += 1;
        self.latency.add(latency.as_secs_f64());
    }

    pub(super) fn batch(&mut self, batch: &[Answer]) {
        self.batches.add(batch.len() as f64);
        self.computed(batch);
    }

    pub(super) fn computed(&mut self, texts: &[Answer]) {
        for served in texts {
            let depth = served.route.depth();
            if self.depths.len() <= depth {
                self.depths.resize(depth + 1, 0);
            }
            self.depths[depth] += 1;
            self.texts += 1;
            self.tokens += served.tokens as u64;
            self.flops = self.flops.saturating_add(served.flops);
            self.full_flops = self.full_flops.saturating_add(served.full_flops);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_on_a_bound_is_in_the_bucket_below_it() {
        let mut histogram = Histogram::new(&[1.0, 2.0]);
        [0.5, 1.0, 1.5, 2.0, 7.0].into_iter().for_each(|value| histogram.add(value));
        assert_eq!((histogram.counts, histogram.sum), (vec![2, 2, 1], 12.0));
    }
}
