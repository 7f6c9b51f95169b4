//! Health probes, and the separate port for metrics, which responds before the model is loaded and requires no token.

use std::sync::{Arc, OnceLock};

use axum::extract::State;
use axum::response::Response;
use axum::routing::{any, get};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::app::App;
use super::exposition;
use super::metrics::Metrics;
use super::refusal::Refusal;

/// State of the separate port for metrics.
pub(super) struct Monitor {
    pub(super) metrics: Arc<Metrics>,
    /// State of the server; set once the model is loaded.
    pub(super) app: OnceLock<Arc<App>>,
}

impl Monitor {
    pub(super) fn new() -> prometheus::Result<Arc<Self>> {
        Ok(Arc::new(Self { metrics: Arc::new(Metrics::new()?), app: OnceLock::new() }))
    }

    pub(super) fn router(self: Arc<Self>) -> Router {
        Router::new()
            .route("/livez", any(live))
            .route("/readyz", any(ready))
            .route("/health", any(ready))
            .route("/metrics", get(metrics))
            .fallback(|| async { Refusal::no_path("this port has /metrics, /livez and /readyz") })
            .with_state(self)
    }
}

/// Handler of `/livez`: the response shows that the process is alive.
pub(super) async fn live() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

/// Handler of `/readyz` on the port for metrics: status 200 if the model is loaded and requests are accepted.
async fn ready(State(monitor): State<Arc<Monitor>>) -> Result<Json<Value>, Refusal> {
    match monitor.app.get() {
        Some(app) => readiness(app),
        None => Err(Refusal::unhealthy("the model is being loaded")),
    }
}

/// Handler of `/readyz`, `/health` and `/ping`: status 200 if requests are accepted.
pub(super) async fn ready_of_app(State(app): State<Arc<App>>) -> Result<Json<Value>, Refusal> {
    readiness(&app)
}

fn readiness(app: &App) -> Result<Json<Value>, Refusal> {
    if app.is_ending() { Err(Refusal::stopping()) } else { Ok(Json(json!({ "status": "ok" }))) }
}

/// Handler of `/metrics` on the port for metrics.
async fn metrics(State(monitor): State<Arc<Monitor>>) -> Response {
    exposition::render(&monitor.metrics, monitor.app.get().map(|app| &**app))
}

/// Handler of `/metrics` on the main port.
pub(super) async fn metrics_of_app(State(app): State<Arc<App>>) -> Response {
    exposition::render(&app.metrics, Some(&app))
}
