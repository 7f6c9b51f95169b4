//! `POST /predict`, compatible with text-embeddings-inference.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use dht_dynamic::Query;
use dht_dynamic::transformer::Task;
use dht_dynamic::{Answer, serving::Request};
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::app::{App, answers, aside_until};
use super::body::{self, ContentType, content_type};
use super::refusal::{ErrorType, Refusal};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with `inputs`")]
struct PredictRequest {
    inputs: Inputs,
    truncate: Option<bool>,
    #[serde(default)]
    raw_scores: bool,
    #[serde(default)]
    truncation_direction: Direction,
    parameters: Option<Parameters>,
}

/// Parameters that the clients of `huggingface_hub` send.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    /// Number of labels in the answer.
    top_k: Option<usize>,
    /// `none` for raw scores; the model has one other function.
    function_to_apply: Option<Function>,
}

/// Function of the scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Function {
    Sigmoid,
    Softmax,
    None,
}

/// End of a long text that is cut. Texts are only cut on the right.
#[derive(Debug, Default, Deserialize)]
enum Direction {
    #[default]
    #[serde(alias = "right")]
    Right,
}

/// Text, pair, or batch of both.
#[derive(Debug)]
enum Inputs {
    One(Text),
    Batch(Vec<Text>),
}

type Text = (String, Option<String>);

/// String, or list of one or two strings.
#[derive(Debug)]
enum Item {
    String(String),
    List(Text),
}

#[derive(Debug, Serialize)]
pub(super) struct Score {
    score: f32,
    label: String,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Predictions {
    One(Vec<Score>),
    Batch(Vec<Vec<Score>>),
}

/// Answers with the score of each label, the highest first.
pub(super) async fn predict(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Predictions>, Refusal> {
    if content_type(&headers)? != ContentType::Json {
        return Err(Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ErrorType::Validation,
            "expected application/json; POST /v1/classify takes lines",
        ));
    }
    let content = body::read(&app, &headers, body).await?;
    let _permit = app.admit()?;
    let deadline = app.deadline(Instant::now(), None);
    let own = app.clone();
    let taken = aside_until(deadline, move || {
        let asked: PredictRequest = body::object(&content.bytes)?;
        let (texts, single) = match &asked.inputs {
            Inputs::One(text) => (std::slice::from_ref(text), true),
            Inputs::Batch(texts) => (&**texts, false),
        };
        let queries = texts.iter().map(|(text, pair)| Query { text, pair: pair.as_deref() }).collect();
        let whole = !asked.truncate.unwrap_or(own.settings.auto_truncate);
        let Direction::Right = asked.truncation_direction;
        let parameters = asked.parameters.unwrap_or_default();
        parameters.check()?;
        let raw = asked.raw_scores || parameters.is_raw(own.service.engine().model().task())?;
        let taken = own.submit(&Request { queries, speed: None, deadline: Some(deadline), whole });
        let ticket = taken.map_err(|refusal| asked.inputs.explained(refusal))?;
        Ok((ticket, single, raw, parameters.top_k))
    });
    let (ticket, single, raw, most) = taken.await?;
    let served = answers(ticket, deadline).await.map_err(dependency)?;
    let mut scores = served.iter().map(|answer| scores(answer, raw)).collect::<Result<Vec<_>, _>>()?;
    scores.iter_mut().for_each(|scores| scores.truncate(most.unwrap_or(usize::MAX)));
    Ok(Json(match scores.pop() {
        Some(last) if single => Predictions::One(last),
        last => {
            scores.extend(last);
            Predictions::Batch(scores)
        }
    }))
}

impl Parameters {
    /// Refuses an answer of no labels.
    fn check(&self) -> Result<(), Refusal> {
        match self.top_k {
            Some(0) => {
                Err(Refusal::unprocessable("top_k is 0, expected the number of labels in an answer, at least 1"))
            }
            _ => Ok(()),
        }
    }

    /// Returns whether they ask for scores before the function of the task. Refuses the function of another task.
    fn is_raw(&self, task: Task) -> Result<bool, Refusal> {
        let own = match task {
            Task::Class => Function::Softmax,
            Task::Labels => Function::Sigmoid,
            Task::Number => Function::None,
        };
        match self.function_to_apply {
            Some(other) if other != own && other != Function::None => Err(Refusal::unprocessable(format!(
                "function_to_apply is {other:?}, expected {own:?}, which this model has, or None"
            ))),
            function => Ok(function == Some(Function::None)),
        }
    }
}

impl Inputs {
    /// Adds to a refusal that two strings are one pair.
    fn explained(&self, refusal: Refusal) -> Refusal {
        match self {
            Self::One((_, Some(_))) => {
                let batch = r#"two strings are one pair, a batch of two texts is [["…"], ["…"]]"#;
                Refusal { reason: format!("{}; {batch}", refusal.reason), ..refusal }
            }
            _ => refusal,
        }
    }
}

/// Converts a failure of the model to status 424, as text-embeddings-inference reports it.
fn dependency(refusal: Refusal) -> Refusal {
    match refusal.error_type {
        ErrorType::Backend => Refusal { status: StatusCode::FAILED_DEPENDENCY, ..refusal },
        _ => refusal,
    }
}

/// Scores of the labels, the highest first. Raw scores are logits. For classes they are ln p, which equals the logits
/// up to a constant. For labels they are as precise as a probability in single precision allows, up to 16.6. A value is
/// unchanged.
fn scores(answer: &Answer, raw: bool) -> Result<Vec<Score>, Refusal> {
    let probabilities = &answer.probabilities;
    if probabilities.iter().any(|p| !p.is_finite()) {
        return Err(Refusal::new(StatusCode::FAILED_DEPENDENCY, ErrorType::Backend, "a score is not a number"));
    }
    // ln 0 is no JSON number.
    let ln = |p: f32| p.max(f32::MIN_POSITIVE).ln();
    let score = |p: f32| match answer.task {
        Task::Class if raw => ln(p),
        Task::Labels if raw => ln(p) - (1.0 - p).max(f32::EPSILON / 2.0).ln(),
        Task::Class | Task::Labels | Task::Number => p,
    };
    let mut scores: Vec<Score> = answer
        .labels
        .iter()
        .zip(probabilities)
        .map(|(label, p)| Score { score: score(*p), label: label.to_string() })
        .collect();
    scores.sort_by(|a, b| b.score.total_cmp(&a.score));
    Ok(scores)
}

impl<'de> Deserialize<'de> for Inputs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(InputsVisitor)
    }
}

struct InputsVisitor;

impl<'de> Visitor<'de> for InputsVisitor {
    type Value = Inputs;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, a pair [string, string], or a batch [[string], [string, string], …]")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Inputs, E> {
        Ok(Inputs::One((text.to_owned(), None)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Inputs, A::Error> {
        match list.next_element::<Item>()? {
            None => Err(A::Error::invalid_length(0, &self)),
            Some(Item::String(text)) => {
                let pair = list.next_element::<String>()?;
                if list.next_element::<String>()?.is_some() {
                    return Err(A::Error::custom(
                        "three strings are neither a text nor a pair: a batch is [[string], [string], …]",
                    ));
                }
                Ok(Inputs::One((text, pair)))
            }
            Some(Item::List(first)) => {
                let mut texts = vec![first];
                while let Some(item) = list.next_element::<Item>()? {
                    texts.push(match item {
                        Item::List(text) => text,
                        Item::String(text) => (text, None),
                    });
                }
                Ok(Inputs::Batch(texts))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ItemVisitor)
    }
}

struct ItemVisitor;

impl<'de> Visitor<'de> for ItemVisitor {
    type Value = Item;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, or a list of one or two")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Item, E> {
        Ok(Item::String(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Item, A::Error> {
        let text = list.next_element::<String>()?.ok_or_else(|| A::Error::invalid_length(0, &self))?;
        let pair = list.next_element::<String>()?;
        if list.next_element::<String>()?.is_some() {
            return Err(A::Error::invalid_length(3, &self));
        }
        Ok(Item::List((text, pair)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<Vec<Text>, String> {
        let request: PredictRequest = serde_json::from_str(json).map_err(|error| error.to_string())?;
        Ok(match request.inputs {
            Inputs::One(text) => vec![text],
            Inputs::Batch(texts) => texts,
        })
    }

    #[test]
    fn inputs_are_a_text_a_pair_or_a_batch() {
        let text = |text: &str| (text.to_owned(), None);
        let pair = ("a".to_owned(), Some("b".to_owned()));
        assert_eq!(parse(r#"{"inputs": "a"}"#).unwrap(), [text("a")]);
        assert_eq!(parse(r#"{"inputs": ["a"], "parameters": {"top_k": 1}}"#).unwrap(), [text("a")]);
        assert_eq!(parse(r#"{"inputs": ["a", "b"]}"#).unwrap(), std::slice::from_ref(&pair));
        assert_eq!(parse(r#"{"inputs": [["a", "b"], ["c"], "d"]}"#).unwrap(), [pair, text("c"), text("d")]);
    }

    #[test]
    fn a_function_of_another_task_is_refused() {
        let of = |function| Parameters { top_k: None, function_to_apply: function };
        assert!(!of(None).is_raw(Task::Class).unwrap() && !of(Some(Function::Softmax)).is_raw(Task::Class).unwrap());
        assert!(of(Some(Function::None)).is_raw(Task::Labels).unwrap());
        let refused = of(Some(Function::Sigmoid)).is_raw(Task::Class).unwrap_err();
        assert!(refused.reason.contains("expected Softmax"), "{}", refused.reason);
    }

    #[test]
    fn other_inputs_are_refused_with_what_was_expected() {
        for (inputs, expected) in [
            ("[]", "invalid length 0, expected a string, a pair"),
            ("7", "expected a string, a pair"),
            ("null", "expected a string, a pair"),
            (r#"["a", "b", "c"]"#, "a batch is [[string], [string], …]"),
            (r#"[[]]"#, "invalid length 0, expected a string, or a list of one or two"),
            (r#"[["a", "b", "c"]]"#, "invalid length 3"),
            (r#"[[["a"]]]"#, "expected a string"),
            (r#"["a", ["b"]]"#, "expected a string"),
        ] {
            let error = parse(&format!(r#"{{"inputs": {inputs}}}"#)).unwrap_err();
            assert!(error.contains(expected), "{inputs}: {error}");
        }
        assert!(parse(r#"{"inputs": "a", "truncation_direction": "left"}"#).unwrap_err().contains("Right"));
        assert!(parse("{}").unwrap_err().contains("inputs"));
        assert!(parse(r#"{"inputs": "a", "truncat": true}"#).unwrap_err().contains("unknown field `truncat`"));
        assert!(parse(r#"{"inputs": "a", "parameters": {"topk": 1}}"#).unwrap_err().contains("`topk`"));
    }
}
