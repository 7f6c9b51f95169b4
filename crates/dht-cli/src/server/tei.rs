//! Metrics and response headers of text-embeddings-inference, for existing dashboards and clients.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use prometheus::{Histogram, IntCounter, IntCounterVec, Opts, Registry};

use super::instruments::{Stages, histogram, registered};
use super::refusal::{ErrorType, Refusal};

/// Histograms of durations for whole requests or for texts, one for each stage of answering.
struct Durations {
    total: Histogram,
    tokenization: Histogram,
    queue: Histogram,
    inference: Histogram,
}

impl Durations {
    fn new(registry: &Registry, of: &str) -> prometheus::Result<Self> {
        let named = |name: &str, help: &str| histogram(registry, &format!("te_{of}_{name}"), help);
        Ok(Self {
            total: named("duration", "Seconds until the answer.")?,
            tokenization: named("tokenization_duration", "Seconds of tokenising, with the n-gram exit.")?,
            queue: named("queue_duration", "Seconds from the complete body to tokenising.")?,
            inference: named("inference_duration", "Seconds from tokenising to the answer: queue and batch.")?,
        })
    }

    fn observe(&self, stages: &Stages) {
        self.total.observe(stages.total.as_secs_f64());
        self.tokenization.observe(stages.tokenizing.as_secs_f64());
        self.queue.observe(stages.waiting.as_secs_f64());
        self.inference.observe(stages.computing.as_secs_f64());
    }
}

/// Metrics of the route `/predict`, with the names of text-embeddings-inference.
pub(super) struct TeiMetrics {
    requests: IntCounterVec,
    successes: IntCounterVec,
    failures: IntCounterVec,
    texts: IntCounter,
    answered_texts: IntCounter,
    of_request: Durations,
    of_text: Durations,
}

impl TeiMetrics {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let counters = |name: &str, help: &str, label: &str| {
            registered(registry, IntCounterVec::new(Opts::new(name, help), &[label]))
        };
        Ok(Self {
            requests: counters("te_request_count", "Requests of /predict, single or batch.", "method")?,
            successes: counters("te_request_success", "Answered requests of /predict.", "method")?,
            failures: counters("te_request_failure", "Refused requests of /predict, by type.", "err")?,
            texts: registered(registry, IntCounter::new("te_predict_count", "Texts of /predict."))?,
            answered_texts: registered(registry, IntCounter::new("te_predict_success", "Answered texts of /predict."))?,
            of_request: Durations::new(registry, "request")?,
            of_text: Durations::new(registry, "predict")?,
        })
    }

    /// Records a parsed request.
    pub(super) fn request(&self, is_single: bool, texts: usize) {
        self.requests.with_label_values(&[method(is_single)]).inc();
        self.texts.inc_by(texts as u64);
    }

    /// Records an answered request, whose texts were answered together.
    pub(super) fn success(&self, is_single: bool, texts: usize, stages: &Stages) {
        self.successes.with_label_values(&[method(is_single)]).inc();
        self.answered_texts.inc_by(texts as u64);
        self.of_request.observe(stages);
        (0..texts).for_each(|_| self.of_text.observe(stages));
    }

    /// Records a request that was refused.
    pub(super) fn failure(&self, refusal: &Refusal) {
        let error = match refusal.error_type {
            ErrorType::Backend => "inference",
            ErrorType::Overloaded => "overloaded",
            ErrorType::Tokenizer => "tokenization",
            ErrorType::Unhealthy => "unhealthy",
            ErrorType::Deadline => "deadline",
            ErrorType::Validation | ErrorType::Unauthorized | ErrorType::NotFound => "validation",
        };
        self.failures.with_label_values(&[error]).inc();
    }
}

fn method(is_single: bool) -> &'static str {
    if is_single { "single" } else { "batch" }
}

/// Adds the response headers of text-embeddings-inference: times in milliseconds, and numbers of characters and tokens.
pub(super) fn add_headers(headers: &mut HeaderMap, device: &str, characters: usize, tokens: usize, stages: &Stages) {
    if let Ok(device) = HeaderValue::from_str(device) {
        headers.insert(HeaderName::from_static("x-compute-type"), device);
    }
    let milliseconds = |time: Duration| time.as_millis() as u64;
    for (name, number) in [
        ("x-compute-time", milliseconds(stages.total)),
        ("x-compute-characters", characters as u64),
        ("x-compute-tokens", tokens as u64),
        ("x-total-time", milliseconds(stages.total)),
        ("x-tokenization-time", milliseconds(stages.tokenizing)),
        ("x-queue-time", milliseconds(stages.waiting)),
        ("x-inference-time", milliseconds(stages.computing)),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from(number));
    }
}
