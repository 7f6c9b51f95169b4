//! Steps of answering a request with texts, in any supported API format: body, admission, tokenising, answers,
//! response.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use dht_dynamic::{Query, serving::Request};

use super::app::{App, answers, aside_until};
use super::body::{self, ContentType, content_type};
use super::explain::ExplainedText;
use super::instruments::Stages;
use super::question::{Question, Text};
use super::refusal::{ErrorType, Refusal};
use super::tei;

/// Answers a request with a JSON body, which `parse` converts to a [`Question`].
pub(super) async fn answer(
    app: Arc<App>,
    headers: &HeaderMap,
    body: Body,
    parse: fn(&App, &[u8]) -> Result<Question, Refusal>,
) -> Result<Response, Refusal> {
    if content_type(headers)? != ContentType::Json {
        return Err(Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ErrorType::Validation,
            "expected application/json; POST /v1/classify takes lines",
        ));
    }
    let content = body::read(&app, headers, body).await?;
    let mut admitted = app.admission.admit(content.bytes.len(), app.settings.limits.deadline)?;
    let _permit = app.admit()?;
    let (own, arrived) = (app.clone(), Instant::now());
    let taken = aside_until(app.deadline(arrived, None), move || {
        let started = Instant::now();
        let Question { texts, speed, deadline, whole, explain, form } = parse(&own, &content.bytes)?;
        form.begin(&own, texts.len());
        let deadline = own.deadline(arrived, deadline);
        let queries = texts.iter().map(|(text, pair)| Query { text, pair: pair.as_deref() }).collect();
        let submitted = own.submit(&Request { queries, speed, deadline: Some(deadline), whole });
        let ticket = submitted.map_err(|refusal| form.refuse(refusal))?;
        let count = |(text, pair): &Text| text.chars().count() + pair.as_ref().map_or(0, |pair| pair.chars().count());
        let characters: usize = texts.iter().map(count).sum();
        let explained = texts.into_iter().next().filter(|_| explain);
        let explained = explained.map(|text| ExplainedText { text, speed, deadline });
        Ok((ticket, form, deadline, characters, explained, started, Instant::now()))
    });
    let (ticket, form, deadline, characters, explained, started, submitted) = taken.await?;
    let answers = answers(ticket, deadline).await.map_err(|refusal| form.refuse(refusal))?;
    let details = match explained.zip(answers.first()) {
        Some((text, answer)) => Some(text.explain(&app, &mut admitted, answer, started.elapsed()).await?),
        None => None,
    };
    let stages = Stages {
        waiting: started - arrived,
        tokenizing: submitted - started,
        computing: submitted.elapsed(),
        total: arrived.elapsed(),
    };
    admitted.answered();
    app.metrics.answered(&answers, &stages);
    let tokens = answers.iter().map(|answer| answer.tokens).sum();
    let response = match details {
        Some(details) => Ok(details.response(answers)),
        None => form.response(&app, answers, &stages),
    };
    let mut response = response.map_err(|refusal| form.refuse(refusal))?;
    tei::add_headers(response.headers_mut(), &app.settings.device, characters, tokens, &stages);
    Ok(response)
}
