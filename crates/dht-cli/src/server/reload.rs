//! `POST /v1/reload` and SIGHUP: replace the present model by that of the directory.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use dht_dynamic::Engine;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::app::{App, LoadedModel, ModelVersion};
use super::refusal::{ErrorType, Refusal};

/// Reloads the model on request. A server without a token refuses; the token itself is checked before.
pub(super) async fn reload(State(app): State<Arc<App>>) -> Result<Json<Value>, Refusal> {
    if app.settings.token.is_none() {
        return Err(Refusal::new(
            StatusCode::FORBIDDEN,
            ErrorType::Unauthorized,
            "a reload takes a token, and this server was started without one: send SIGHUP, or start it with --token-file",
        ));
    }
    load(app).await.map(|labels| Json(labels.in_object(json!({ "status": "reloaded" }))))
}

/// Labels that a reload added and removed.
#[derive(Debug, Default)]
pub(super) struct ChangedLabels {
    added: Vec<Arc<str>>,
    removed: Vec<Arc<str>>,
}

impl ChangedLabels {
    fn between(present: &Engine, loaded: &Engine) -> Self {
        let without = |labels: &[Arc<str>], others: &[Arc<str>]| {
            labels.iter().filter(|label| !others.contains(label)).cloned().collect()
        };
        let (present, loaded) = (present.labels(), loaded.labels());
        Self { added: without(loaded, present), removed: without(present, loaded) }
    }

    fn are_none(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty()
    }

    /// Adds `labels_added` and `labels_removed` to an object, if there are any.
    fn in_object(&self, mut object: Value) -> Value {
        for (name, labels) in [("labels_added", &self.added), ("labels_removed", &self.removed)] {
            if !labels.is_empty() {
                object[name] = json!(labels.iter().map(|label| &**label).collect::<Vec<_>>());
            }
        }
        object
    }
}

/// Reloads the model and returns the labels that changed. The present model stays if loading fails, if the new model
/// is for another task, whose answers have other fields, and if it has other labels, unless the settings allow them.
pub(super) async fn load(app: Arc<App>) -> Result<ChangedLabels, Refusal> {
    let one_at_a_time = app.reloading.clone().lock_owned().await;
    let (send, loaded) = oneshot::channel();
    let own = app.clone();
    // On a thread of its own, with the lock: who asked for it may be gone before it is done, and threads of requests are few.
    let load = move || {
        let loaded = match catch_unwind(AssertUnwindSafe(&app.load)) {
            Ok(Ok(LoadedModel { engine, sha256 })) => {
                let present = app.service.engine();
                let labels = ChangedLabels::between(&present, &engine);
                if engine.model().task() != present.model().task() {
                    Err("the directory has a model for another task: start the server again for it".into())
                } else if !(labels.are_none() || app.settings.allow_other_labels) {
                    let changes = labels.in_object(json!({}));
                    Err(format!(
                        "the directory has a model of other labels, {changes}: start the server with --allow-other-labels"
                    ))
                } else {
                    app.service.reload(engine);
                    *app.version.lock().unwrap_or_else(PoisonError::into_inner) = ModelVersion::now(sha256);
                    Ok(labels)
                }
            }
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("loading it panicked".into()),
        };
        let loaded = loaded.map_err(|error| {
            let reason = format!("the present model stays: {error}");
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, ErrorType::Backend, reason)
        });
        match &loaded {
            Ok(labels) => {
                let fields = labels.in_object(json!({ "model_sha": app.version().sha256 }));
                // Other labels are said also by a quiet log.
                match labels.are_none() {
                    true => app.log.event("reloaded", fields),
                    false => app.log.failure("reloaded", fields),
                }
            }
            Err(refusal) => app.reload_failed(&refusal.reason),
        }
        drop(one_at_a_time);
        let _ = send.send(loaded);
    };
    let failed = |error: String| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, ErrorType::Backend, error);
    let started = std::thread::Builder::new().name("reload".into()).spawn(load);
    started.map_err(|error| {
        let reason = format!("the present model stays: {error}");
        own.reload_failed(&reason);
        failed(reason)
    })?;
    loaded.await.map_err(|error| failed(error.to_string()))?
}

impl App {
    /// Counts and logs a reload that failed.
    fn reload_failed(&self, reason: &str) {
        self.failed_reloads.fetch_add(1, Ordering::Relaxed);
        self.log.failure("reload_failed", json!({ "error": reason }));
    }
}
