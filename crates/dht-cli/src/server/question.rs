//! Request of texts that was parsed, and the form of its answer.

use std::time::Duration;

use axum::response::Response;
use dht_dynamic::Answer;

use super::app::App;
use super::instruments::Stages;
use super::refusal::Refusal;

/// Text, with the second text of a pair.
pub(super) type Text = (String, Option<String>);

/// Request of texts.
pub(super) struct Question {
    pub(super) texts: Vec<Text>,
    pub(super) speed: Option<f64>,
    pub(super) deadline: Option<Duration>,
    /// Refuses a text that the model would truncate.
    pub(super) whole: bool,
    pub(super) form: Box<dyn Form>,
}

/// Form of a request, which its answer and its refusals have, too.
pub(super) trait Form: Send {
    /// Records a request of this number of texts.
    fn begin(&self, _app: &App, _texts: usize) {}

    /// Gives a refusal the form of the request.
    fn refuse(&self, refusal: Refusal) -> Refusal {
        refusal
    }

    /// Response with the answers.
    ///
    /// # Errors
    /// An answer that this form cannot hold.
    fn response(&self, app: &App, answers: Vec<Answer>, stages: &Stages) -> Result<Response, Refusal>;
}
