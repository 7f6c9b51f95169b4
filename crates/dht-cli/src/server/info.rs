//! Handlers with information on the server: HTML page, model, and OpenAPI description.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{Html, IntoResponse, Response};
use dht_dynamic::transformer::Task;
use serde_json::{Map, Value, json};

use super::app::App;
use super::refusal::Refusal;

const PAGE: &str = include_str!("assets/page.html");
/// OpenAPI description of all HTTP routes, written by hand.
pub(super) const OPENAPI: &str = include_str!("assets/openapi.json");

/// Content security policy of the HTML page: only its own style and script, by SHA-256, and requests to this server. A
/// test compares the checksums.
const PAGE_POLICY: &str = "default-src 'none'; \
    style-src 'sha256-BfMlMsIa/iJAMjc1JSCd4KKTQbTAAGw7gl1qXXJyb1w='; \
    script-src 'sha256-7j8g0cAjHRK2Ser4ST0fg1zm+mE/qxFZXRrgLqMHKkM='; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Handler of `GET /`: HTML page for classifying texts in a browser.
pub(super) async fn page() -> Response {
    let mut response = Html(PAGE).into_response();
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(PAGE_POLICY));
    response
}

/// Handler of `GET /openapi.json`: description of all HTTP routes, adapted to the served model.
pub(super) async fn openapi(State(app): State<Arc<App>>) -> Result<Json<Value>, Refusal> {
    let mut description: Value =
        serde_json::from_str(OPENAPI).map_err(|error| Refusal::backend(format!("the description: {error}")))?;
    let (engine, schemas) = (app.service.engine(), &mut description["components"]["schemas"]);
    schemas["ClassificationRequest"]["properties"]["truncate_prompt_tokens"]["anyOf"][1]["minimum"] =
        engine.max_length().into();
    // A model that always runs all layers has a single speed.
    if engine.speed().is_none() {
        for request in ["ClassifyRequest", "ExplainRequest", "Line"] {
            if let Some(properties) = schemas[request]["properties"].as_object_mut() {
                properties.remove("speed");
            }
        }
    }
    Ok(Json(description))
}

/// Handler of `GET /info`: the served model and the limits. The first fields are the same as in
/// text-embeddings-inference.
pub(super) async fn info(State(app): State<Arc<App>>) -> Json<Value> {
    let (engine, settings) = (app.service.engine(), &app.settings);
    let (limits, shape, version) = (&settings.limits, engine.model_shape(), app.version());
    let labels: Vec<&str> = engine.labels().iter().map(|label| &**label).collect();
    let names = labels.iter().enumerate();
    let task = match engine.task() {
        Task::Class => "class",
        Task::Labels => "labels",
        Task::Number => "number",
    };
    let id2label: Map<String, Value> = names.clone().map(|(id, label)| (id.to_string(), json!(label))).collect();
    let label2id: Map<String, Value> = names.map(|(id, label)| (label.to_string(), json!(id))).collect();
    Json(json!({
        "model_id": settings.name,
        "model_sha": version.sha256,
        "model_loaded": version.loaded_seconds(),
        "model_dtype": settings.dtype,
        "model_type": { "classifier": { "id2label": id2label, "label2id": label2id } },
        "max_concurrent_requests": limits.requests,
        "max_input_length": engine.max_length(),
        "max_batch_tokens": settings.service.batch_tokens,
        "max_batch_requests": null,
        "max_client_batch_size": limits.texts,
        "auto_truncate": settings.auto_truncate,
        "tokenization_workers": settings.threads(),
        "version": env!("CARGO_PKG_VERSION"),
        "sha": null,
        "docker_label": null,
        "task": task,
        "labels": labels,
        "layers": shape.layers,
        "heads": shape.heads,
        "weight_bytes": engine.weight_bytes(),
        "speed": engine.speed(),
        "curve": crate::acceleration::curve_points(engine.curve()),
        "max_body_bytes": limits.body_bytes,
        "max_deadline_ms": limits.deadline.as_millis() as u64,
    }))
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    fn base64(digest: &[u8]) -> String {
        const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut text = String::new();
        for part in digest.chunks(3) {
            let bits = part.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - part.len()));
            for letter in 0..4 {
                let index = (bits >> (18 - 6 * letter)) as usize & 63;
                text.push(if letter <= part.len() { LETTERS[index] as char } else { '=' });
            }
        }
        text
    }

    fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
        let from = text.split_once(start).expect("a start").1;
        from.split_once(end).expect("an end").0
    }

    #[test]
    fn the_content_policy_has_the_hashes_of_style_and_script() {
        assert_eq!(base64(&Sha256::digest("")), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
        for (start, end) in [("<style>", "</style>"), ("<script>", "</script>")] {
            assert_eq!(PAGE.matches(start).count(), 1);
            let hash = format!("'sha256-{}'", base64(&Sha256::digest(between(PAGE, start, end))));
            assert!(PAGE_POLICY.contains(&hash), "the policy needs {hash} for {start}");
        }
    }

    #[test]
    fn the_page_loads_nothing_and_makes_no_markup_of_what_is_typed() {
        for part in
            ["http:", "https:", "src=", "@import", "url(", "innerHTML", "insertAdjacentHTML", "document.write", "eval("]
        {
            assert!(!PAGE.contains(part), "{part}");
        }
        assert!(!PAGE.contains(" style=\"") && !PAGE.contains(" onclick="), "the policy would refuse them");
    }
}
