//! `GET /metrics`: counters in Prometheus' text format.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use dht_dynamic::serving::{Histogram, ServiceMetrics};

use super::app::App;

/// Formats all counters.
pub(super) async fn metrics(State(app): State<Arc<App>>) -> Response {
    let mut text = Text::default();
    text.help(
        "dht_responses_total",
        "counter",
        "HTTP responses by route and status; the route of a head that cannot be read is `unparsed`.",
    );
    for ((route, status), count) in app.responses() {
        text.value("dht_responses_total", &format!("{{route=\"{route}\",status=\"{status}\"}}"), count);
    }
    let layers = app.service.engine().model_shape().layers as u64;
    // A model of fewer layers takes no bucket away.
    let layers = layers.max(app.most_layers.fetch_max(layers, Ordering::Relaxed));
    text.of_service(&app.service.metrics(), layers as usize);
    let (help, failed) =
        ("Reloads that failed; the model before them stays.", app.failed_reloads.load(Ordering::Relaxed));
    text.one("dht_reload_failures_total", "counter", help, failed);
    let help = "Seconds since 1970 at which the present model was loaded.";
    text.one("dht_model_loaded_seconds", "gauge", help, app.version().loaded_seconds());
    text.one("dht_connections", "gauge", "Open connections.", app.connections.open());
    text.help("dht_connections_closed_total", "counter", "Connections that the server closed, by reason.");
    for (closing, count) in app.connections.closed() {
        text.value("dht_connections_closed_total", &format!("{{reason=\"{}\"}}", closing.name()), count);
    }
    text.one("dht_uptime_seconds", "gauge", "Seconds since the start.", app.started.elapsed().as_secs_f64());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text.0).into_response()
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn help(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn value(&mut self, name: &str, labels: &str, value: impl std::fmt::Display) {
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl std::fmt::Display) {
        self.help(name, kind, help);
        self.value(name, "", value);
    }

    fn histogram(&mut self, name: &str, help: &str, bounds: impl Iterator<Item = String>, counts: &[u64], sum: f64) {
        self.help(name, "histogram", help);
        let mut all = 0;
        for (bound, count) in bounds.chain(["+Inf".to_owned()]).zip(counts) {
            all += count;
            self.value(name, &format!("_bucket{{le=\"{bound}\"}}"), all);
        }
        self.value(name, "_sum", sum);
        self.value(name, "_count", all);
    }

    fn of_service(&mut self, metrics: &ServiceMetrics, layers: usize) {
        let ServiceMetrics { latency, batches, depths, .. } = metrics;
        self.help("dht_requests_total", "counter", "Requests by how they ended; refused ones were never taken.");
        for (end, count) in [
            ("answered", metrics.answered),
            ("failed", metrics.failed),
            ("late", metrics.late),
            ("cancelled", metrics.cancelled),
            ("refused", metrics.refused),
        ] {
            self.value("dht_requests_total", &format!("{{end=\"{end}\"}}"), count);
        }
        self.one("dht_accepted_total", "counter", "Requests that were taken.", metrics.accepted);
        self.one("dht_queue_texts", "gauge", "Texts that wait.", metrics.queued_texts);
        self.one("dht_queue_tokens", "gauge", "Tokens of the texts that wait.", metrics.queued_tokens);
        self.one("dht_tokens_total", "counter", "Tokens that were computed.", metrics.tokens);
        self.one("dht_flops_total", "counter", "FLOPs that were spent.", metrics.flops);
        let help = "FLOPs of the full model for the same texts.";
        self.one("dht_full_model_flops_total", "counter", help, metrics.full_flops);
        self.one("dht_reloads_total", "counter", "Models that were loaded after the first.", metrics.reloads);
        let named = |histogram: &Histogram| histogram.bounds.clone().into_iter().map(|bound| bound.to_string());
        let help = "Seconds from taking a request to its answer.";
        self.histogram("dht_latency_seconds", help, named(latency), &latency.counts, latency.sum);
        self.histogram("dht_batch_texts", "Texts in a batch.", named(batches), &batches.counts, batches.sum);
        let sum = depths.iter().enumerate().map(|(depth, count)| depth as f64 * *count as f64).sum();
        // A bucket for each depth that the model has, so that none appears later.
        let buckets = depths.len().max(layers + 1);
        let counts: Vec<u64> = (0..=buckets).map(|depth| depths.get(depth).copied().unwrap_or(0)).collect();
        let bounds = (0..buckets).map(|depth| depth.to_string());
        self.histogram("dht_depth_layers", "Layers that a text ran.", bounds, &counts, sum);
    }
}
