//! Handler of `POST /predict`, compatible with text-embeddings-inference and with the inference API of Hugging Face.

use std::fmt;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use dht_dynamic::Answer;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::answering;
use super::app::App;
use super::body;
use super::instruments::Stages;
use super::question::{Form, Question, Text};
use super::refusal::{ErrorType, Refusal};
use super::scores::{ScoreFunction, scores};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with `inputs`")]
struct PredictRequest {
    inputs: Inputs,
    truncate: Option<bool>,
    #[serde(default)]
    raw_scores: bool,
    #[serde(default)]
    truncation_direction: Direction,
    #[serde(default, deserialize_with = "parameters")]
    parameters: Option<Parameters>,
}

/// Member `parameters` of a request body, which `huggingface_hub` sends.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    /// Maximum number of labels in the answer.
    top_k: Option<usize>,
    /// Function that converts raw scores (logits); by default, the function for the model's task.
    function_to_apply: Option<ScoreFunction>,
}

/// Parses the member `parameters`, an object. A JSON list of the fields' values, which serde would accept, is refused.
fn parameters<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Parameters>, D::Error> {
    let members: Option<Map<String, Value>> = Option::deserialize(deserializer)?;
    members.map(|members| serde_json::from_value(members.into()).map_err(D::Error::custom)).transpose()
}

/// Side on which a long text is truncated; only the right side is supported.
#[derive(Debug, Default, Deserialize)]
enum Direction {
    #[default]
    #[serde(alias = "right")]
    Right,
}

/// Inputs of a request: a text, a pair of texts, or a batch.
#[derive(Debug)]
enum Inputs {
    One(Text),
    /// List of strings: one text or pair for text-embeddings-inference, but a batch for Hugging Face.
    Strings(Vec<String>),
    Batch(Vec<Text>),
}

impl Inputs {
    /// Returns the texts, and whether the request is a single text or pair rather than a batch. `of_hugging_face` is
    /// true for a request with `parameters`.
    fn texts(self, of_hugging_face: bool) -> Result<(Vec<Text>, bool), String> {
        match self {
            Self::One(text) => Ok((vec![text], true)),
            Self::Batch(texts) => Ok((texts, false)),
            Self::Strings(texts) if of_hugging_face => {
                Ok((texts.into_iter().map(|text| (text, None)).collect(), false))
            }
            Self::Strings(texts) if texts.len() > 2 => Err(format!(
                "{} strings are neither a text nor a pair: a batch is [[string], [string], …]",
                texts.len()
            )),
            Self::Strings(texts) => {
                let mut texts = texts.into_iter();
                Ok((vec![(texts.next().unwrap_or_default(), texts.next())], true))
            }
        }
    }
}

/// Item of a batch: a string, or a list of one or two strings (text or pair).
#[derive(Debug)]
enum Item {
    String(String),
    List(Text),
}

#[derive(Debug, Serialize)]
struct Score {
    score: f32,
    label: String,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Predictions {
    One(Vec<Score>),
    Batch(Vec<Vec<Score>>),
}

/// Answer format of a `/predict` request.
struct PredictForm {
    /// True for a single text or pair, false for a batch.
    is_single: bool,
    is_pair: bool,
    function: Option<ScoreFunction>,
    top_k: Option<usize>,
    /// True for Hugging Face's inference API, in which the answer to a single text is nested like a batch.
    is_nested: bool,
}

/// Handler of `POST /predict`: answers with the score of each label, the highest score first.
pub(super) async fn predict(State(app): State<Arc<App>>, headers: HeaderMap, body: Body) -> Result<Response, Refusal> {
    let answered = answering::answer(app.clone(), &headers, body, parse).await;
    answered.inspect_err(|refusal| app.metrics.tei.failure(refusal))
}

/// Parses a request of text-embeddings-inference or, if it has `parameters`, of Hugging Face's inference API.
pub(super) fn parse(app: &App, json: &[u8]) -> Result<Question, Refusal> {
    let request: PredictRequest = body::object(json)?;
    let Direction::Right = request.truncation_direction;
    let is_nested = request.parameters.is_some();
    let Parameters { top_k, function_to_apply } = request.parameters.unwrap_or_default();
    if top_k == Some(0) {
        return Err(Refusal::unprocessable("top_k is 0, expected the number of labels in an answer, at least 1"));
    }
    let (texts, is_single) = request.inputs.texts(is_nested).map_err(Refusal::unprocessable)?;
    let form = PredictForm {
        is_single,
        is_pair: is_single && texts.iter().any(|(_, pair)| pair.is_some()),
        function: function_to_apply.or(request.raw_scores.then_some(ScoreFunction::None)),
        top_k,
        is_nested,
    };
    let whole = !request.truncate.unwrap_or(app.settings.auto_truncate);
    Ok(Question { texts, speed: None, deadline: None, whole, explain: false, form: Box::new(form) })
}

impl Form for PredictForm {
    fn begin(&self, app: &App, texts: usize) {
        app.metrics.tei.request(self.is_single, texts);
    }

    /// Adds to the reason of a refused pair that a list of two strings is one pair, not a batch. A failure of the model
    /// gets status 424, as in text-embeddings-inference.
    fn refuse(&self, refusal: Refusal) -> Refusal {
        if refusal.error_type == ErrorType::Backend {
            return Refusal { status: StatusCode::FAILED_DEPENDENCY, ..refusal };
        }
        if self.is_pair && refusal.error_type == ErrorType::Validation {
            let batch = r#"two strings are one pair, a batch of two texts is [["…"], ["…"]]"#;
            return Refusal { reason: format!("{}; {batch}", refusal.reason), ..refusal };
        }
        refusal
    }

    fn response(&self, app: &App, answers: Vec<Answer>, stages: &Stages) -> Result<Response, Refusal> {
        let predictions = self.predictions(&answers)?;
        app.metrics.tei.success(self.is_single, answers.len(), stages);
        Ok(Json(predictions).into_response())
    }
}

impl PredictForm {
    /// Scores of the labels for each text, the highest first.
    fn predictions(&self, answers: &[Answer]) -> Result<Predictions, Refusal> {
        let mut scores = answers.iter().map(|answer| self.scores(answer)).collect::<Result<Vec<_>, _>>()?;
        Ok(match scores.pop() {
            Some(last) if self.is_single && !self.is_nested => Predictions::One(last),
            last => {
                scores.extend(last);
                Predictions::Batch(scores)
            }
        })
    }

    fn scores(&self, answer: &Answer) -> Result<Vec<Score>, Refusal> {
        if answer.probabilities.iter().any(|p| !p.is_finite()) {
            return Err(Refusal::backend("a score is not a number"));
        }
        let named = answer.labels.iter().zip(scores(answer, self.function));
        let mut scores: Vec<Score> = named.map(|(label, score)| Score { score, label: label.to_string() }).collect();
        scores.sort_by(|a, b| b.score.total_cmp(&a.score));
        scores.truncate(self.top_k.unwrap_or(usize::MAX));
        Ok(scores)
    }
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
                let mut texts = vec![text];
                while let Some(text) = list.next_element::<String>()? {
                    texts.push(text);
                }
                Ok(Inputs::Strings(texts))
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
        Ok(request.inputs.texts(request.parameters.is_some())?.0)
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
