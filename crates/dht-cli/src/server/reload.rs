//! Reload of the model, by `POST /v1/reload` or SIGHUP: the served model is replaced by the present contents of its
//! directory.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use dht_dynamic::Engine;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::app::{App, LoadedModel, ModelVersion};
use super::refusal::{ErrorType, Refusal};

/// Handler of `POST /v1/reload`. It is refused if the server has no bearer token; the request's token has been checked
/// before.
pub(super) async fn reload(State(app): State<Arc<App>>) -> Result<Json<Value>, Refusal> {
    if app.settings.token.is_none() {
        return Err(Refusal::new(
            StatusCode::FORBIDDEN,
            ErrorType::Unauthorized,
            "a reload takes a token, and this server was started without one: send SIGHUP, or start it with --token-file",
        ));
    }
    // One reload may run and one may wait: the waiting one loads what is in the directory by then.
    let Ok(permit) = app.reload_requests.clone().try_acquire_owned() else {
        let reason = "a reload is in progress, and another one waits: it will load what is in the directory then";
        return Err(Refusal::new(StatusCode::CONFLICT, ErrorType::Overloaded, reason));
    };
    // Reloads on a separate task, since the client may be gone before the reload is done.
    let loaded = tokio::spawn(async move {
        let loaded = load(app).await;
        drop(permit);
        loaded
    });
    let labels = loaded.await.unwrap_or_else(|error| Err(failed(error.to_string())))?;
    Ok(Json(labels.in_object(json!({ "status": "reloaded" }))))
}

/// Labels that a reload of the model has added or removed.
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

    /// Adds `labels_added` and `labels_removed` to a JSON object, unless the labels are unchanged.
    fn in_object(&self, mut object: Value) -> Value {
        for (name, labels) in [("labels_added", &self.added), ("labels_removed", &self.removed)] {
            if !labels.is_empty() {
                object[name] = json!(labels.iter().map(|label| &**label).collect::<Vec<_>>());
            }
        }
        object
    }
}

/// Reloads the model. Returns the labels that changed.
///
/// The previous model remains if loading fails or takes too long, or if the new model is for another task, since its
/// answers have other fields. It also remains if the new model has other labels, unless the settings allow them.
pub(super) async fn load(app: Arc<App>) -> Result<ChangedLabels, Refusal> {
    // Reloads on a separate task that holds the lock, since the client may be gone before the reload is done.
    let done = tokio::spawn(load_within_the_time(app)).await;
    done.unwrap_or_else(|error| Err(failed(error.to_string())))
}

async fn load_within_the_time(app: Arc<App>) -> Result<ChangedLabels, Refusal> {
    let _one_at_a_time = app.reloading.clone().lock_owned().await;
    let (send, loaded) = oneshot::channel();
    let own = app.clone();
    // Loads on a separate thread. If loading hangs, the thread is left behind, and its model is dropped later.
    let load = move || {
        let _ = send.send(catch_unwind(AssertUnwindSafe(&own.load)));
    };
    let started = std::thread::Builder::new().name("reload".into()).spawn(load);
    let loaded = match started {
        Ok(_) => tokio::time::timeout(app.settings.limits.reload, loaded).await,
        Err(error) => return Err(app.reload_failed(&error.to_string())),
    };
    let replaced = match loaded {
        Ok(Ok(Ok(Ok(model)))) => {
            // Replacing packs the weights and runs two batches, which would block a thread that serves requests.
            let own = app.clone();
            let replaced = tokio::task::spawn_blocking(move || own.replace(model)).await;
            replaced.unwrap_or_else(|error| Err(error.to_string()))
        }
        Ok(Ok(Ok(Err(error)))) => Err(error.to_string()),
        Ok(Ok(Err(_)) | Err(_)) => Err("loading it panicked".into()),
        Err(_) => Err(format!("loading it took longer than {:?}", app.settings.limits.reload)),
    };
    replaced.map_err(|error| app.reload_failed(&error))
}

fn failed(reason: String) -> Refusal {
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, ErrorType::Backend, reason)
}

impl App {
    /// Replaces the served model. Returns the labels that changed.
    fn replace(&self, LoadedModel { engine, sha256 }: LoadedModel) -> Result<ChangedLabels, String> {
        let present = self.service.engine();
        let labels = ChangedLabels::between(&present, &engine);
        if engine.task() != present.task() {
            return Err("the directory has a model for another task: start the server again for it".into());
        }
        // Requests that are answered now would be refused by the new model.
        if engine.of_pairs() != present.of_pairs() {
            return Err(
                "the directory has a model of pairs in place of single texts, or the reverse: start the server again"
                    .into(),
            );
        }
        if !(labels.are_none() || self.settings.allow_other_labels) {
            let changes = labels.in_object(json!({}));
            return Err(format!(
                "the directory has a model of other labels, {changes}: start the server with --allow-other-labels"
            ));
        }
        self.service.reload(engine);
        *self.version.lock().unwrap_or_else(PoisonError::into_inner) = ModelVersion::now(sha256);
        let fields = labels.in_object(json!({ "model_sha": self.version().sha256 }));
        // Even a quiet log reports changed labels.
        match labels.are_none() {
            true => self.log.event("reloaded", fields),
            false => self.log.failure("reloaded", fields),
        }
        Ok(labels)
    }

    /// Counts and logs a failed reload, and creates its error response.
    fn reload_failed(&self, reason: &str) -> Refusal {
        let reason = format!("the present model stays: {reason}");
        self.metrics.failed_reloads.inc();
        self.log.failure("reload_failed", json!({ "error": reason }));
        failed(reason)
    }
}
