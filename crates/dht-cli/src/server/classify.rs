//! `POST /v1/classify`: answers with probabilities, route and cost.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use dht_search::Query;
use dht_search::serving::{Request, Served};
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

use super::app::{App, answers, aside};
use super::body::{self, ContentType, content_type};
use super::lines;
use super::refusal::Refusal;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClassifyRequest {
    texts: Vec<Text>,
    speed: Option<f64>,
    deadline_ms: Option<u64>,
}

/// A text, or a pair.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected a string, or an object with `text` and, for a pair, `pair`")]
enum Text {
    Alone(String),
    Fields {
        text: String,
        #[serde(default)]
        pair: Option<String>,
    },
}

impl Text {
    fn query(&self) -> Query<'_> {
        match self {
            Self::Alone(text) => Query { text, pair: None },
            Self::Fields { text, pair } => Query { text, pair: pair.as_deref() },
        }
    }
}

#[derive(Debug, Serialize)]
struct Classified {
    answers: Vec<AnswerBody>,
}

/// An answer as JSON.
#[derive(Debug, Serialize)]
pub(super) struct AnswerBody {
    #[serde(serialize_with = "text")]
    label: Arc<str>,
    #[serde(serialize_with = "by_label")]
    probabilities: Vec<(Arc<str>, f32)>,
    /// As `2L12H`.
    route: String,
    /// The heads that each layer kept, of the layers that ran.
    layers: Vec<usize>,
    flops: u64,
    /// What part of the full model's FLOPs that is.
    share: f64,
    tokens: usize,
    truncated: bool,
}

impl From<Served> for AnswerBody {
    fn from(served: Served) -> Self {
        let Served { answer, labels, tokens, full_flops, .. } = served;
        Self {
            label: answer.label,
            probabilities: labels.iter().cloned().zip(answer.probabilities).collect(),
            route: answer.route.to_string(),
            layers: answer.route.layers().map(|(_, heads)| heads).collect(),
            flops: answer.flops,
            share: answer.flops as f64 / full_flops.max(1) as f64,
            tokens,
            truncated: answer.truncated,
        }
    }
}

/// A shared text as a string.
pub(super) fn text<S: Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}

/// An object in the order of the classes.
fn by_label<S: Serializer>(probabilities: &[(Arc<str>, f32)], serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(probabilities.len()))?;
    for (label, p) in probabilities {
        map.serialize_entry(&**label, p)?;
    }
    map.end()
}

/// Answers a JSON object of texts at once, or lines as they come.
pub(super) async fn classify(State(app): State<Arc<App>>, headers: HeaderMap, body: Body) -> Result<Response, Refusal> {
    if content_type(&headers)? == ContentType::Lines {
        return lines::answer(app, body);
    }
    let content = body::read(&app, &headers, body).await?;
    let _permit = app.admit()?;
    let own = app.clone();
    let taken = aside(move || {
        let asked: ClassifyRequest = serde_json::from_slice(&content.bytes).map_err(|error| Refusal::json(&error))?;
        let deadline = own.deadline(asked.deadline_ms.map(Duration::from_millis));
        let queries = asked.texts.iter().map(Text::query).collect();
        let request = Request { queries, speed: asked.speed, deadline: Some(deadline), whole: false };
        Ok((own.submit(&request)?, deadline))
    });
    let (ticket, deadline) = taken.await?;
    let served = answers(ticket, deadline).await?;
    Ok(Json(Classified { answers: served.into_iter().map(AnswerBody::from).collect() }).into_response())
}
