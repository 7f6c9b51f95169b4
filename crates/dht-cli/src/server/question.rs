//! Parsed request with texts, and the API format of its answer.

use std::time::Duration;

use axum::response::Response;
use dht_dynamic::Answer;

use super::app::App;
use super::instruments::Stages;
use super::refusal::Refusal;

/// Text, or pair of texts.
pub(super) type Text = (String, Option<String>);

/// Parsed request: texts to classify, and the API format of the answer.
pub(super) struct Question {
    pub(super) texts: Vec<Text>,
    pub(super) speed: Option<f64>,
    pub(super) deadline: Option<Duration>,
    /// True to refuse texts that the model would truncate.
    pub(super) whole: bool,
    /// True to explain the answer. Such a request has exactly one text, and is in the server's own form.
    pub(super) explain: bool,
    pub(super) form: Box<dyn Form>,
}

/// API format of a request, which determines the format of answers and errors.
pub(super) trait Form: Send {
    /// Records the beginning of a request with `_texts` texts in the metrics.
    fn begin(&self, _app: &App, _texts: usize) {}

    /// Converts an error response to the API format of the request.
    fn refuse(&self, refusal: Refusal) -> Refusal {
        refusal
    }

    /// Creates the response with the answers.
    ///
    /// # Errors
    /// [`Refusal`] if the API format cannot represent an answer.
    fn response(&self, app: &App, answers: Vec<Answer>, stages: &Stages) -> Result<Response, Refusal>;
}
