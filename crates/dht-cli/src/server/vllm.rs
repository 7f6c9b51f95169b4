//! Handlers of `POST /classify` and `GET /v1/models`, compatible with vLLM.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use dht_dynamic::Answer;
use dht_dynamic::transformer::Task;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::answering;
use super::app::App;
use super::body;
use super::instruments::Stages;
use super::question::{Form, Question};
use super::refusal::{ErrorType, Refusal};
use super::request_id::random_hex;
use super::scores::{ScoreFunction, scores};

/// Request body of vLLM's classification API.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with `input`")]
struct ClassificationRequest {
    input: Input,
    model: Option<String>,
    /// True or not set for probabilities, false for raw scores (logits).
    use_activation: Option<bool>,
    /// Older name of `use_activation`.
    activation: Option<bool>,
    truncate_prompt_tokens: Option<i64>,
    truncation_side: Option<Side>,
    add_special_tokens: Option<bool>,
    request_id: Option<String>,
    /// Request id, under the name that SGLang uses for `request_id`.
    rid: Option<String>,
    priority: Option<i64>,
    /// Identifier of the end user, which is ignored.
    #[serde(rename = "user")]
    _user: Option<String>,
    /// Salt of vLLM's cache, which is ignored.
    #[serde(rename = "cache_salt")]
    _cache_salt: Option<String>,
    mm_processor_kwargs: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a string or a list of strings; token ids are not supported")]
enum Input {
    One(String),
    Several(Vec<String>),
}

/// Side on which a long text is truncated; only the right side is supported.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Side {
    Right,
}

/// Answer format of a `/classify` request, compatible with vLLM.
struct VllmForm {
    request_id: Option<String>,
    function: Option<ScoreFunction>,
}

#[derive(Serialize)]
struct Classification {
    id: String,
    object: &'static str,
    created: u64,
    model: String,
    data: Vec<TextClassification>,
    usage: Usage,
}

#[derive(Serialize)]
struct TextClassification {
    index: usize,
    label: Option<String>,
    probs: Vec<f32>,
    num_classes: usize,
}

#[derive(Serialize)]
struct Usage {
    prompt_tokens: usize,
    total_tokens: usize,
    completion_tokens: usize,
    prompt_tokens_details: Option<()>,
}

/// Handler of `POST /classify`, compatible with vLLM.
pub(super) async fn classify(State(app): State<Arc<App>>, headers: HeaderMap, body: Body) -> Result<Response, Refusal> {
    answering::answer(app, &headers, body, parse).await.map_err(Refusal::of_vllm)
}

/// Handler of `GET /v1/models`: lists the served model.
pub(super) async fn models(State(app): State<Arc<App>>) -> Json<Value> {
    let name = &app.settings.name;
    Json(json!({ "object": "list", "data": [{
        "id": name,
        "object": "model",
        "created": app.version().loaded_seconds() as u64,
        "owned_by": "dht",
        "root": name,
        "parent": null,
        "max_model_len": app.service.engine().max_length(),
    }] }))
}

/// Parses a request in vLLM's format.
pub(super) fn parse(app: &App, json: &[u8]) -> Result<Question, Refusal> {
    question(app, json).map_err(Refusal::of_vllm)
}

fn question(app: &App, json: &[u8]) -> Result<Question, Refusal> {
    let request: ClassificationRequest = body::object(json)?;
    if let Some(model) = request.model.filter(|model| *model != app.settings.name) {
        let reason =
            format!("the model {model:?} does not exist, expected {:?}: see --served-model-name", app.settings.name);
        return Err(Refusal::new(StatusCode::NOT_FOUND, ErrorType::NotFound, reason));
    }
    let most = app.service.engine().max_length();
    let whole = match request.truncate_prompt_tokens {
        None => !app.settings.auto_truncate,
        Some(-1) => false,
        Some(tokens) if usize::try_from(tokens).is_ok_and(|tokens| tokens >= most) => false,
        Some(tokens) => {
            let reason =
                format!("truncate_prompt_tokens is {tokens}, expected -1, or at least {most}, the model's length");
            return Err(Refusal::unprocessable(reason));
        }
    };
    for (refused, reason) in [
        (
            request.add_special_tokens == Some(false),
            "add_special_tokens is false, expected true: the model was trained with them",
        ),
        (
            request.priority.is_some_and(|priority| priority != 0),
            "priority is not 0: all requests have the same priority",
        ),
        (
            request.mm_processor_kwargs.is_some_and(|kwargs| !kwargs.is_empty()),
            "mm_processor_kwargs: the model reads texts only",
        ),
    ] {
        if refused {
            return Err(Refusal::unprocessable(reason));
        }
    }
    let (Some(Side::Right) | None) = request.truncation_side;
    let texts = match request.input {
        Input::One(text) => vec![text],
        Input::Several(texts) => texts,
    };
    if texts.is_empty() {
        return Err(Refusal::unprocessable("input is an empty list, expected at least one text"));
    }
    let function = (request.use_activation.or(request.activation) == Some(false)).then_some(ScoreFunction::None);
    let form = Box::new(VllmForm { request_id: request.request_id.or(request.rid), function });
    let texts = texts.into_iter().map(|text| (text, None)).collect();
    Ok(Question { texts, speed: None, deadline: None, whole, explain: false, form })
}

impl Form for VllmForm {
    fn refuse(&self, refusal: Refusal) -> Refusal {
        refusal.of_vllm()
    }

    fn response(&self, app: &App, answers: Vec<Answer>, _: &Stages) -> Result<Response, Refusal> {
        Ok(Json(self.classification(app, &answers)).into_response())
    }
}

impl VllmForm {
    /// Converts answers to vLLM's format.
    fn classification(&self, app: &App, answers: &[Answer]) -> Classification {
        let data = answers.iter().enumerate().map(|(index, answer)| TextClassification {
            index,
            label: (answer.task != Task::Number && !answer.abstains).then(|| answer.label.to_string()),
            probs: scores(answer, self.function),
            num_classes: answer.probabilities.len(),
        });
        let tokens = answers.iter().map(|answer| answer.tokens).sum();
        Classification {
            id: format!("classify-{}", self.request_id.clone().unwrap_or_else(|| random_hex(16))),
            object: "list",
            created: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
            model: app.settings.name.clone(),
            data: data.collect(),
            usage: Usage {
                prompt_tokens: tokens,
                total_tokens: tokens,
                completion_tokens: 0,
                prompt_tokens_details: None,
            },
        }
    }
}
