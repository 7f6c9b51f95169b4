//! Parsed request of texts, and the form of its answer.

use std::time::Duration;

use axum::response::Response;
use dht_dynamic::Answer;

use super::app::App;
use super::instruments::Stages;
use super::refusal::Refusal;

/// Text with the optional second text of a pair.
pub(super) type Text = (String, Option<String>);

/// Parsed request, with the texts to classify.
pub(super) struct Question {
    pub(super) texts: Vec<Text>,
    pub(super) speed: Option<f64>,
    pub(super) deadline: Option<Duration>,
    /// True if a text that the model would truncate is refused.
    pub(super) whole: bool,
    /// True to explain the answer. Such a request has exactly one text, and is in the server's own form.
    pub(super) explain: bool,
    pub(super) form: Box<dyn Form>,
}

/// Form of a request, in which its answer and its refusals are written, too.
pub(super) trait Form: Send {
    /// Records in the metrics a request with this number of texts.
    fn begin(&self, _app: &App, _texts: usize) {}

    /// Gives a refusal the form of the request.
    fn refuse(&self, refusal: Refusal) -> Refusal {
        refusal
    }

    /// Creates the response with the answers.
    ///
    /// # Errors
    /// [`Refusal`] if this form cannot hold an answer.
    fn response(&self, app: &App, answers: Vec<Answer>, stages: &Stages) -> Result<Response, Refusal>;
}
