//! Helpers for metrics: registration, histogram buckets, and the stages of a request.

use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{Histogram, HistogramOpts, Registry, Result};

/// Upper bounds of the buckets of duration histograms, in seconds.
pub(super) const SECONDS: [f64; 17] =
    [0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0];

/// Durations of the stages of answering a request.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Stages {
    /// Time from the complete body to the start of parsing.
    pub(super) waiting: Duration,
    /// Time of parsing and tokenising, including the n-gram classifier, which is the model's first exit.
    pub(super) tokenizing: Duration,
    /// Time in the queue of the service and in batches.
    pub(super) computing: Duration,
    /// Total time of all stages.
    pub(super) total: Duration,
}

pub(super) fn registered<C: Collector + Clone + 'static>(registry: &Registry, collector: Result<C>) -> Result<C> {
    let collector = collector?;
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

/// Creates and registers a histogram of durations.
pub(super) fn histogram(registry: &Registry, name: &str, help: &str) -> Result<Histogram> {
    registered(registry, Histogram::with_opts(HistogramOpts::new(name, help).buckets(SECONDS.to_vec())))
}
