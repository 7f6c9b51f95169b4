//! Handler of `POST /v1/classify`, whose answers have probabilities and costs. Also of `POST /invocations`, which
//! accepts JSON bodies only, not JSON lines.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use dht_dynamic::Answer;
use serde::de::IgnoredAny;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::answering;
use super::app::App;
use super::body::{self, ContentType, content_type};
use super::explain::bytes_of;
use super::instruments::Stages;
use super::lines;
use super::question::{Form, Question};
use super::refusal::Refusal;
use super::{predict, vllm};

/// Maximum size in bytes of an explained text or pair, of which up to 128 copies without a part are made.
const EXPLAINED_BYTES: usize = 1 << 16;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with `texts`")]
struct ClassifyRequest {
    texts: Vec<Text>,
    speed: Option<f64>,
    deadline_ms: Option<u64>,
    explain: Option<bool>,
}

/// Text or pair of texts, as a string or an object.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, remote = "Self")]
struct Text {
    text: String,
    pair: Option<String>,
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, or an object with `text` and, for a pair, `pair`")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Text, E> {
        Ok(Text { text: text.to_owned(), pair: None })
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Text, A::Error> {
        // Calls the derived function, which `remote` turns into a function of the type itself.
        Text::deserialize(MapAccessDeserializer::new(members))
    }
}

/// Handler of `POST /v1/classify`. The members of a JSON body indicate its API format: this server's own, that of vLLM,
/// or that of text-embeddings-inference. JSON lines are answered as they arrive.
pub(super) async fn classify(State(app): State<Arc<App>>, headers: HeaderMap, body: Body) -> Result<Response, Refusal> {
    if content_type(&headers)? == ContentType::Lines {
        return lines::answer(app, body);
    }
    answering::answer(app, &headers, body, parse_any).await
}

/// Handler of `POST /invocations`, the path for SageMaker. The members of the JSON body indicate its API format: this
/// server's own, that of vLLM, or that of text-embeddings-inference.
pub(super) async fn invoke(State(app): State<Arc<App>>, headers: HeaderMap, body: Body) -> Result<Response, Refusal> {
    answering::answer(app, &headers, body, parse_any).await
}

/// API format of this server, as opposed to the formats of vLLM and text-embeddings-inference.
struct OwnForm;

#[derive(Debug, Serialize)]
struct Classified {
    answers: Vec<Answer>,
}

impl Form for OwnForm {
    fn response(&self, _: &App, answers: Vec<Answer>, _: &Stages) -> Result<Response, Refusal> {
        Ok(Json(Classified { answers }).into_response())
    }
}

/// Members of a JSON body that indicate its API format.
#[derive(Deserialize)]
struct Members {
    inputs: Option<IgnoredAny>,
    input: Option<IgnoredAny>,
    texts: Option<IgnoredAny>,
}

/// Parses a JSON body in the API format that its members indicate.
fn parse_any(app: &App, json: &[u8]) -> Result<Question, Refusal> {
    // serde would also accept a list of the values as an object.
    let members = if json.trim_ascii_start().starts_with(b"[") { None } else { serde_json::from_slice(json).ok() };
    match members {
        Some(Members { texts: None, input: Some(_), .. }) => vllm::parse(app, json),
        Some(Members { texts: None, inputs: Some(_), .. }) => predict::parse(app, json),
        Some(Members { texts: None, .. }) => Err(Refusal::unprocessable(
            "missing field `texts`, or `inputs` (text-embeddings-inference) or `input` (vLLM)",
        )),
        _ => parse(app, json),
    }
}

/// Parses a JSON body in this server's own API format.
fn parse(_: &App, json: &[u8]) -> Result<Question, Refusal> {
    let request: ClassifyRequest = body::object(json)?;
    let texts: Vec<_> = request.texts.into_iter().map(|Text { text, pair }| (text, pair)).collect();
    let explain = request.explain == Some(true);
    if explain && texts.len() != 1 {
        let reason = format!("explain is true for {} texts, expected one text: send a request for each", texts.len());
        return Err(Refusal::unprocessable(reason));
    }
    if let Some(bytes) = texts.iter().map(bytes_of).find(|bytes| explain && *bytes > EXPLAINED_BYTES) {
        let reason = format!("a text of {bytes} bytes cannot be explained, at most {EXPLAINED_BYTES}");
        return Err(Refusal::too_large(reason));
    }
    Ok(Question {
        texts,
        speed: request.speed,
        deadline: request.deadline_ms.map(Duration::from_millis),
        whole: false,
        explain,
        form: Box::new(OwnForm),
    })
}
