//! Error responses, with a status and a reason.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use dht_dynamic::Error;
use dht_dynamic::transformer::ErrorKind;
use serde::Serialize;

/// Maximum number of characters of the reason in an error response.
const LETTERS: usize = 400;

/// Error response: a status with a reason. Its JSON body has the form of text-embeddings-inference, `{"error": …,
/// "error_type": …}`, or that of vLLM.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) error_type: ErrorType,
    pub(super) reason: String,
    /// True if the JSON body has vLLM's form.
    pub(super) is_of_vllm: bool,
}

/// Type of an error response. The first five types are those of text-embeddings-inference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) enum ErrorType {
    Unhealthy,
    Backend,
    Overloaded,
    Validation,
    Tokenizer,
    Deadline,
    Unauthorized,
    NotFound,
}

/// JSON body of an error response.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum RefusalBody {
    /// Form of text-embeddings-inference: `{"error": reason, "error_type": type}`.
    Tei { error: String, error_type: ErrorType },
    /// Form of vLLM: `{"error": {"message": reason, …}}`.
    Vllm { error: VllmError },
}

/// Error in vLLM's form, which is that of OpenAI.
#[derive(Debug, Serialize)]
pub(super) struct VllmError {
    message: String,
    r#type: &'static str,
    param: Option<()>,
    code: u16,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, error_type: ErrorType, reason: impl Into<String>) -> Self {
        Self { status, error_type, reason: reason.into(), is_of_vllm: false }
    }

    /// Creates the error response (422) to a well-formed request that cannot be fulfilled.
    pub(super) fn unprocessable(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, ErrorType::Validation, reason)
    }

    pub(super) fn too_large(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, ErrorType::Validation, reason)
    }

    pub(super) fn overloaded(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, ErrorType::Overloaded, reason)
    }

    pub(super) fn stopping() -> Self {
        Self::unhealthy("the server stops and takes no more requests")
    }

    pub(super) fn unhealthy(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, ErrorType::Unhealthy, reason)
    }

    pub(super) fn no_path(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, ErrorType::NotFound, reason)
    }

    pub(super) fn late() -> Self {
        Self::new(StatusCode::GATEWAY_TIMEOUT, ErrorType::Deadline, "the deadline passed before the answer")
    }

    /// Creates the error response to a body that cannot be parsed: status 400 if it is not JSON, 422 if it is JSON
    /// without the expected members.
    pub(super) fn json(error: &serde_json::Error) -> Self {
        let status = if error.is_data() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::BAD_REQUEST };
        Self::new(status, ErrorType::Validation, format!("the body is not what was expected: {error}"))
    }

    /// Creates the error response to an error of submitting or answering a request.
    pub(super) fn from_error(error: &Error) -> Self {
        match error {
            Error::Busy { .. } | Error::Backlog { .. } => Self::overloaded(error.to_string()),
            Error::Stopping => Self::stopping(),
            Error::Deadline => Self::late(),
            _ => match error.kind() {
                ErrorKind::Limit => Self::too_large(error.to_string()),
                ErrorKind::Argument | ErrorKind::Shape | ErrorKind::Range => Self::unprocessable(error.to_string()),
                ErrorKind::Data => Self::new(StatusCode::UNPROCESSABLE_ENTITY, ErrorType::Tokenizer, error.to_string()),
                _ => Self::backend(error.to_string()),
            },
        }
    }

    /// Creates the error response to an error of answering an accepted request.
    pub(super) fn of_answer(error: &Error) -> Self {
        if matches!(error, Error::Deadline) { Self::late() } else { Self::backend(error.to_string()) }
    }

    pub(super) fn backend(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, ErrorType::Backend, reason)
    }

    /// Converts the error response to vLLM's form, in which an invalid request has status 400.
    pub(super) fn of_vllm(self) -> Self {
        let status = match self.status {
            StatusCode::UNPROCESSABLE_ENTITY | StatusCode::PAYLOAD_TOO_LARGE => StatusCode::BAD_REQUEST,
            status => status,
        };
        Self { status, is_of_vllm: true, ..self }
    }

    /// Converts the error response to its JSON body. The reason may quote the request, so that its length is limited.
    pub(super) fn body(&self) -> RefusalBody {
        let mut reason = self.reason.clone();
        if let Some((end, _)) = reason.char_indices().nth(LETTERS) {
            reason.truncate(end);
            reason.push('…');
        }
        match self.is_of_vllm {
            true => RefusalBody::Vllm {
                error: VllmError { message: reason, r#type: self.vllm_type(), param: None, code: self.status.as_u16() },
            },
            false => RefusalBody::Tei { error: reason, error_type: self.error_type },
        }
    }

    /// Error type in vLLM's form.
    fn vllm_type(&self) -> &'static str {
        match self.status {
            StatusCode::BAD_REQUEST => "BadRequestError",
            StatusCode::NOT_FOUND => "NotFoundError",
            StatusCode::UNSUPPORTED_MEDIA_TYPE => "UnsupportedMediaTypeError",
            StatusCode::REQUEST_TIMEOUT => "RequestTimeoutError",
            StatusCode::TOO_MANY_REQUESTS => "RateLimitError",
            StatusCode::SERVICE_UNAVAILABLE => "ServiceUnavailableError",
            StatusCode::GATEWAY_TIMEOUT => "GatewayTimeoutError",
            _ => "InternalServerError",
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body())).into_response();
        let headers = response.headers_mut();
        if matches!(self.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
