//! Rendering of `GET /metrics` in the Prometheus format: metrics of the server, the service, the model and the
//! connections.

use std::sync::atomic::Ordering;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use dht_dynamic::serving::ServiceMetrics;
use prometheus::proto::{self, Metric, MetricFamily, MetricType};
use prometheus::{TEXT_FORMAT, TextEncoder};

use super::app::App;
use super::metrics::Metrics;
use super::refusal::Refusal;

/// Renders all metrics. Before the model is loaded, there are only metrics of the server itself.
pub(super) fn render(metrics: &Metrics, app: Option<&App>) -> Response {
    let mut families = metrics.gather();
    families.extend(app.map(of_app).unwrap_or_default());
    match TextEncoder::new().encode_to_string(&families) {
        Ok(text) => ([(header::CONTENT_TYPE, TEXT_FORMAT)], text).into_response(),
        Err(error) => Refusal::backend(error.to_string()).into_response(),
    }
}

/// Metrics of the service, the served model and the connections.
fn of_app(app: &App) -> Vec<MetricFamily> {
    let mut families = Families::default();
    let version = app.version();
    let model = [("name", &*app.settings.name), ("sha256", version.sha256.as_deref().unwrap_or_default())];
    families.add("dht_model_info", "The present model; always 1.", MetricType::GAUGE, vec![value(&model, 1.0, true)]);
    families.gauge(
        "dht_model_loaded_seconds",
        "Seconds since 1970 at which the present model was loaded.",
        version.loaded_seconds(),
    );
    families.gauge(
        "dht_ready",
        "1 if requests are accepted, 0 while the server drains.",
        f64::from(u8::from(!app.is_ending())),
    );
    let layers = app.service.engine().model_shape().layers as u64;
    // After a reload of a model with fewer layers, all buckets stay.
    let layers = layers.max(app.most_layers.fetch_max(layers, Ordering::Relaxed));
    families.of_service(&app.service.metrics(), layers as usize);
    families.gauge("dht_connections", "Open connections.", app.port.connections.open() as f64);
    families.counters(
        "dht_connections_closed_total",
        "Connections that the server closed, by reason.",
        "reason",
        app.port.connections.closed().into_iter().map(|(closing, count)| (closing.name().to_owned(), count)),
    );
    families.gauge("dht_uptime_seconds", "Seconds since the start.", app.started.elapsed().as_secs_f64());
    families.0
}

/// Creates a gauge or a counter with its labels and value.
fn value(labels: &[(&str, &str)], value: f64, is_gauge: bool) -> Metric {
    let pair = |(name, value): &(&str, &str)| {
        let mut pair = proto::LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    };
    let mut metric = Metric::from_label(labels.iter().map(pair).collect());
    if is_gauge {
        let mut gauge = proto::Gauge::default();
        gauge.set_value(value);
        metric.set_gauge(gauge);
    } else {
        let mut counter = proto::Counter::default();
        counter.set_value(value);
        metric.set_counter(counter);
    }
    metric
}

/// Metrics whose values are read when they are rendered.
#[derive(Default)]
struct Families(Vec<MetricFamily>);

impl Families {
    fn add(&mut self, name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) {
        let mut family = MetricFamily::default();
        family.set_name(name.to_owned());
        family.set_help(help.to_owned());
        family.set_field_type(kind);
        family.set_metric(metrics);
        self.0.push(family);
    }

    fn gauge(&mut self, name: &str, help: &str, number: f64) {
        self.add(name, help, MetricType::GAUGE, vec![value(&[], number, true)]);
    }

    fn counter(&mut self, name: &str, help: &str, count: u64) {
        self.add(name, help, MetricType::COUNTER, vec![value(&[], count as f64, false)]);
    }

    fn counters(&mut self, name: &str, help: &str, label: &str, counts: impl IntoIterator<Item = (String, u64)>) {
        let metrics = counts.into_iter().map(|(of, count)| value(&[(label, &of)], count as f64, false));
        self.add(name, help, MetricType::COUNTER, metrics.collect());
    }

    fn histogram(&mut self, name: &str, help: &str, bounds: impl IntoIterator<Item = f64>, counts: &[u64], sum: f64) {
        let mut all = 0;
        let buckets = bounds.into_iter().zip(counts).map(|(bound, count)| {
            all += count;
            let mut bucket = proto::Bucket::default();
            bucket.set_upper_bound(bound);
            bucket.set_cumulative_count(all);
            bucket
        });
        let mut histogram = proto::Histogram::default();
        histogram.set_bucket(buckets.collect());
        histogram.set_sample_count(counts.iter().sum());
        histogram.set_sample_sum(sum);
        let mut metric = Metric::default();
        metric.set_histogram(histogram);
        self.add(name, help, MetricType::HISTOGRAM, vec![metric]);
    }

    fn of_service(&mut self, metrics: &ServiceMetrics, layers: usize) {
        let ServiceMetrics { batches, depths, .. } = metrics;
        let ends = [
            ("answered", metrics.answered),
            ("failed", metrics.failed),
            ("late", metrics.late),
            ("cancelled", metrics.cancelled),
            ("refused", metrics.refused),
        ];
        self.counters(
            "dht_requests_total",
            "Requests by how they ended; refused ones were never taken.",
            "end",
            ends.map(|(end, count)| (end.to_owned(), count)),
        );
        self.counter("dht_accepted_total", "Requests that were taken.", metrics.accepted);
        self.gauge("dht_queue_texts", "Texts that wait.", metrics.queued_texts as f64);
        self.gauge("dht_queue_tokens", "Tokens of the texts that wait.", metrics.queued_tokens as f64);
        self.counter("dht_tokens_total", "Tokens that were computed.", metrics.tokens);
        self.counter("dht_flops_total", "FLOPs that were spent.", metrics.flops);
        let help = "FLOPs of the full model for the same texts.";
        self.counter("dht_full_model_flops_total", help, metrics.full_flops);
        self.counter("dht_reloads_total", "Models that were loaded after the first.", metrics.reloads);
        let bounds = batches.bounds.iter().copied();
        self.histogram("dht_batch_texts", "Texts in a batch.", bounds.clone(), &batches.counts, batches.sum);
        let help = "Texts in a batch, under the name of text-embeddings-inference.";
        self.histogram("te_batch_next_size", help, bounds, &batches.counts, batches.sum);
        self.gauge(
            "te_queue_size",
            "Texts that wait, under the name of text-embeddings-inference.",
            metrics.queued_texts as f64,
        );
        let sum = depths.iter().enumerate().map(|(depth, count)| depth as f64 * *count as f64).sum();
        // There is a bucket for each depth of the model, so that none appears later.
        let buckets = depths.len().max(layers + 1);
        let counts: Vec<u64> = (0..buckets).map(|depth| depths.get(depth).copied().unwrap_or(0)).collect();
        let exits = counts.iter().enumerate().map(|(depth, count)| (depth.to_string(), *count));
        self.counters("dht_exits_total", "Texts by the number of layers that they ran.", "layers", exits);
        let bounds = (0..buckets).map(|depth| depth as f64);
        self.histogram("dht_depth_layers", "Layers that a text ran.", bounds, &counts, sum);
    }
}
