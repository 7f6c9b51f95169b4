//! `POST /v1/reload` and SIGHUP: the model of the directory in the place of the present one.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::app::{App, aside};
use super::refusal::{ErrorType, Refusal};

/// Reloads on request; only where a token is wanted, which was checked before.
pub(super) async fn reload(State(app): State<Arc<App>>) -> Result<Json<Value>, Refusal> {
    if app.settings.token.is_none() {
        return Err(Refusal::new(
            StatusCode::FORBIDDEN,
            ErrorType::Unauthorized,
            "a reload takes a token, and this server was started without one: send SIGHUP, or start it with --token-file",
        ));
    }
    load(app).await.map(|()| Json(json!({ "status": "reloaded" })))
}

/// Loads the model anew. If that fails, the present one stays.
pub(super) async fn load(app: Arc<App>) -> Result<(), Refusal> {
    let _one_at_a_time = app.reloading.lock().await;
    let own = app.clone();
    let loaded = aside(move || {
        let engine = (own.load)().map_err(|error| {
            let reason = format!("the present model stays: {error}");
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, ErrorType::Backend, reason)
        })?;
        own.service.reload(engine);
        Ok(())
    });
    let loaded = loaded.await;
    match &loaded {
        Ok(()) => app.log.event("reloaded", json!({})),
        Err(refusal) => app.log.event("reload_failed", json!({ "error": refusal.reason })),
    }
    loaded
}
