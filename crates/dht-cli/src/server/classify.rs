//! `POST /v1/classify`: answers with probabilities, route and cost.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use dht_search::Query;
use dht_search::serving::Request;
use serde::{Deserialize, Serialize};

use super::answer_body::AnswerBody;
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
    Fields(TextFields),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TextFields {
    text: String,
    pair: Option<String>,
}

impl Text {
    fn query(&self) -> Query<'_> {
        match self {
            Self::Alone(text) => Query { text, pair: None },
            Self::Fields(TextFields { text, pair }) => Query { text, pair: pair.as_deref() },
        }
    }
}

#[derive(Debug, Serialize)]
struct Classified {
    answers: Vec<AnswerBody>,
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
