//! Metrics that the HTTP server records itself. The service that computes the answers has further metrics.

use dht_dynamic::Answer;
use dht_dynamic::transformer::Task;
use prometheus::proto::MetricFamily;
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry};

use super::instruments::{SECONDS, Stages, histogram, registered};
use super::tei::TeiMetrics;

/// Metrics that the HTTP server records itself. The service that computes the answers has further metrics.
pub(super) struct Metrics {
    registry: Registry,
    /// Counter of responses by HTTP route and status.
    pub(super) responses: IntCounterVec,
    /// Counter of failed reloads of the model.
    pub(super) failed_reloads: IntCounter,
    /// Metrics with the names of text-embeddings-inference.
    pub(super) tei: TeiMetrics,
    latency: Histogram,
    stages: HistogramVec,
    labels: IntCounterVec,
    abstained: IntCounter,
    truncated: IntCounter,
}

impl Metrics {
    /// Creates and registers all metrics, including those of the process, such as its memory.
    ///
    /// # Errors
    /// Error of the registry if a name is registered twice.
    pub(super) fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let responses = Opts::new(
            "dht_responses_total",
            "HTTP responses by route and status; the route of a head that cannot be read is `unparsed`.",
        );
        let stages =
            "Seconds of an answered request by stage: wait (for a thread), tokenize, compute (queue and batch).";
        let metrics = Self {
            responses: registered(&registry, IntCounterVec::new(responses, &["route", "status"]))?,
            failed_reloads: registered(
                &registry,
                IntCounter::new("dht_reload_failures_total", "Reloads that failed; the model before them stays."),
            )?,
            latency: histogram(&registry, "dht_latency_seconds", "Seconds from a complete request to its answer.")?,
            stages: registered(
                &registry,
                HistogramVec::new(
                    HistogramOpts::new("dht_stage_seconds", stages).buckets(SECONDS.to_vec()),
                    &["stage"],
                ),
            )?,
            labels: registered(
                &registry,
                IntCounterVec::new(Opts::new("dht_labels_total", "Answered texts by label."), &["label"]),
            )?,
            abstained: registered(
                &registry,
                IntCounter::new(
                    "dht_abstained_texts_total",
                    "Answered texts without a label: the likeliest class is less probable than --min-probability.",
                ),
            )?,
            truncated: registered(
                &registry,
                IntCounter::new("dht_truncated_texts_total", "Answered texts that were longer than the model reads."),
            )?,
            tei: TeiMetrics::new(&registry)?,
            registry,
        };
        #[cfg(target_os = "linux")]
        metrics.registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        let build = IntGaugeVec::new(Opts::new("dht_build_info", "Release of the server; always 1."), &["version"]);
        registered(&metrics.registry, build)?.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        Ok(metrics)
    }

    pub(super) fn answered(&self, answers: &[Answer], stages: &Stages) {
        self.latency.observe(stages.total.as_secs_f64());
        for (stage, time) in [("wait", stages.waiting), ("tokenize", stages.tokenizing), ("compute", stages.computing)]
        {
            self.stages.with_label_values(&[stage]).observe(time.as_secs_f64());
        }
        for answer in answers {
            self.text(answer);
        }
    }

    pub(super) fn text(&self, answer: &Answer) {
        self.truncated.inc_by(u64::from(answer.truncated));
        match answer.task {
            Task::Class if answer.abstains => self.abstained.inc(),
            Task::Class => self.labels.with_label_values(&[&*answer.label]).inc(),
            Task::Labels => answer.applying().iter().for_each(|label| self.labels.with_label_values(&[*label]).inc()),
            Task::Number => {}
        }
    }

    pub(super) fn gather(&self) -> Vec<MetricFamily> {
        self.registry.gather()
    }
}
