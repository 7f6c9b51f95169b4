//! `POST /v1/classify`: answers with probabilities, route and cost.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use dht_dynamic::Query;
use dht_dynamic::{Answer, serving::Request};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::app::{App, answers, aside_until};
use super::body::{self, ContentType, content_type};
use super::lines;
use super::refusal::Refusal;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with `texts`")]
struct ClassifyRequest {
    texts: Vec<Text>,
    speed: Option<f64>,
    deadline_ms: Option<u64>,
}

/// Text or pair, as a string or an object.
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

impl Text {
    fn query(&self) -> Query<'_> {
        Query { text: &self.text, pair: self.pair.as_deref() }
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
        // The derived function, which `remote` makes one of the type's own.
        Text::deserialize(MapAccessDeserializer::new(members))
    }
}

#[derive(Debug, Serialize)]
struct Classified {
    answers: Vec<Answer>,
}

/// Answers a JSON object of texts at once, or lines as they arrive.
pub(super) async fn classify(State(app): State<Arc<App>>, headers: HeaderMap, body: Body) -> Result<Response, Refusal> {
    if content_type(&headers)? == ContentType::Lines {
        return lines::answer(app, body);
    }
    let content = body::read(&app, &headers, body).await?;
    let _permit = app.admit()?;
    let (own, arrived) = (app.clone(), Instant::now());
    let taken = aside_until(app.deadline(arrived, None), move || {
        let asked: ClassifyRequest = body::object(&content.bytes)?;
        let deadline = own.deadline(arrived, asked.deadline_ms.map(Duration::from_millis));
        let queries = asked.texts.iter().map(Text::query).collect();
        let request = Request { queries, speed: asked.speed, deadline: Some(deadline), whole: false };
        Ok((own.submit(&request)?, deadline))
    });
    let (ticket, deadline) = taken.await?;
    Ok(Json(Classified { answers: answers(ticket, deadline).await? }).into_response())
}
