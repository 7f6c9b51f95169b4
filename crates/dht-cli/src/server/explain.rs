//! Explained answers of `POST /v1/classify`: the parts of the text that support the answer, the answer of every exit,
//! and the answer of all layers.

use std::ptr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::response::{IntoResponse, Response};
use dht_dynamic::serving::Request;
use dht_dynamic::transformer::Task;
use dht_dynamic::{Answer, Query};
use serde::Serialize;

use super::admission::AdmissionGuard;
use super::app::{App, answers, aside_until};
use super::question::Text;
use super::refusal::Refusal;
use crate::explanation::{Explanation, Occlusion, contributions};

/// Maximum number of an explanation's texts that are in the queue at the same time. Texts of other requests can run
/// between them, and the remaining texts are not computed if the client is gone.
const TOGETHER: usize = 32;

/// Text whose answer is explained.
pub(super) struct ExplainedText {
    pub(super) text: Text,
    pub(super) speed: Option<f64>,
    pub(super) deadline: Instant,
}

/// Members that an explained answer has in addition to those of [`Answer`].
#[derive(Debug, Serialize)]
pub(super) struct Details {
    /// Time of the answer itself.
    milliseconds: f64,
    /// Supporting parts of the text; `None` unless the model predicts one class.
    #[serde(skip_serializing_if = "Option::is_none")]
    explanation: Option<Explanation>,
    /// Answers of all exits, in ascending order of layers; empty for a model without early exits.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    exits: Vec<ExitAnswer>,
    /// Answer at speed 0; `None` for a model with a single speed.
    #[serde(skip_serializing_if = "Option::is_none")]
    all_layers: Option<FullAnswer>,
}

/// Answer of an exit, with the cost of a text that stops there.
#[derive(Debug, Serialize)]
struct ExitAnswer {
    layers: usize,
    #[serde(flatten)]
    outcome: Outcome,
    cost: f64,
    /// True for the exit at which the text stopped.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stopped: bool,
}

/// Answer of all layers.
#[derive(Debug, Serialize)]
struct FullAnswer {
    #[serde(flatten)]
    outcome: Outcome,
    milliseconds: f64,
}

/// Most probable class, applying labels, or predicted number.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Outcome {
    Class { label: String, probability: f32 },
    Labels { labels: Vec<String> },
    Number { value: f32 },
}

impl Outcome {
    fn new(answer: &Answer) -> Self {
        let first = answer.probabilities[answer.class];
        match answer.task {
            Task::Class => Self::Class { label: answer.label.to_string(), probability: first },
            Task::Labels => Self::Labels { labels: answer.applying().into_iter().map(str::to_owned).collect() },
            Task::Number => Self::Number { value: first },
        }
    }
}

impl Details {
    /// Creates the response with the explained answer.
    pub(super) fn response(self, answers: Vec<Answer>) -> Response {
        #[derive(Serialize)]
        struct Explained {
            #[serde(flatten)]
            answer: Answer,
            #[serde(flatten)]
            details: Details,
        }
        #[derive(Serialize)]
        struct Body {
            answers: Option<[Explained; 1]>,
        }
        let answer = answers.into_iter().next();
        Json(Body { answers: answer.map(|answer| [Explained { answer, details: self }]) }).into_response()
    }
}

impl ExplainedText {
    /// Explains an answer that took the time `taken`. The service computes all further answers, and its metrics count
    /// them.
    ///
    /// # Errors
    /// [`Refusal`] if a further answer is refused, fails or is late, or if the model was reloaded in the meantime.
    pub(super) async fn explain(
        self,
        app: &Arc<App>,
        admitted: &mut AdmissionGuard,
        answer: &Answer,
        taken: Duration,
    ) -> Result<Details, Refusal> {
        let Self { text, speed, deadline } = self;
        let mut all_layers = None;
        if app.service.engine().speed().is_some() {
            let started = Instant::now();
            let full = further(app, admitted, std::slice::from_ref(&text), Some(0.0), deadline).await?;
            all_layers = full.first().map(|full| (full.clone(), milliseconds(started.elapsed())));
        }
        admitted.extend(bytes_of(&text));
        let (own, known) = (app.clone(), answer.clone());
        let computed = aside_until(deadline, move || {
            let (engine, query) = (own.service.engine(), query_of(&text));
            let exits = own.service.predict_at_exits(query).map_err(|error| Refusal::of_answer(&error))?;
            if !ptr::eq(engine.labels(), &*known.labels) {
                return Err(reloaded());
            }
            let is_of_class = known.task == Task::Class;
            let exact = if is_of_class { contributions(&engine, query, &known) } else { Ok(None) };
            let exact = exact.map_err(|error| Refusal::of_answer(&error))?;
            let occlusion = (is_of_class && exact.is_none()).then(|| Occlusion::new(query));
            Ok((exits, exact, occlusion))
        });
        let (exits, mut explanation, occlusion) = computed.await?;
        if let Some(occlusion) = occlusion {
            let others = further(app, admitted, &occlusion.texts, speed, deadline).await?;
            check_model(answer, &others)?;
            explanation = Some(occlusion.explanation(answer, &others));
        }
        check_model(answer, &exits)?;
        let depth = answer.route.depth();
        let at_exit = |exit: &Answer| {
            let (layers, stopped) = (exit.route.depth(), exit.route.depth() == depth);
            let cost = if stopped { answer.cost() } else { exit.cost() };
            ExitAnswer { layers, outcome: Outcome::new(exit), cost, stopped }
        };
        Ok(Details {
            milliseconds: milliseconds(taken),
            explanation,
            exits: exits.iter().map(at_exit).collect(),
            all_layers: all_layers
                .map(|(full, milliseconds)| FullAnswer { outcome: Outcome::new(&full), milliseconds }),
        })
    }
}

/// Computes the answers to further texts in the queue of the service.
async fn further(
    app: &Arc<App>,
    admitted: &mut AdmissionGuard,
    texts: &[Text],
    speed: Option<f64>,
    deadline: Instant,
) -> Result<Vec<Answer>, Refusal> {
    admitted.extend(texts.iter().map(bytes_of).sum());
    let mut all = Vec::with_capacity(texts.len());
    for part in texts.chunks(TOGETHER.min(app.service.settings().queue_texts).max(1)) {
        let (own, part) = (app.clone(), part.to_vec());
        let submitted = aside_until(deadline, move || {
            let request = Request { speed, deadline: Some(deadline), ..Request::new(part.iter().map(query_of)) };
            own.service.submit(&request).map_err(|error| Refusal::from_error(&error))
        });
        all.extend(answers(submitted.await?, deadline).await?);
    }
    Ok(all)
}

/// Refuses answers of another model than the one that answered, which a reload replaced.
fn check_model(answer: &Answer, others: &[Answer]) -> Result<(), Refusal> {
    let is_same = |other: &Answer| Arc::ptr_eq(&other.labels, &answer.labels);
    if others.iter().all(is_same) { Ok(()) } else { Err(reloaded()) }
}

fn reloaded() -> Refusal {
    Refusal::unhealthy("the model was reloaded before its answer was explained: try again")
}

fn query_of((text, pair): &Text) -> Query<'_> {
    Query { text, pair: pair.as_deref() }
}

/// Number of bytes of a text or pair.
pub(super) fn bytes_of((text, pair): &Text) -> usize {
    text.len() + pair.as_ref().map_or(0, String::len)
}

fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}
