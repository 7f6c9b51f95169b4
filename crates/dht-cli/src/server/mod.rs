//! HTTP server that classifies texts with a model.
//!
//! ```text
//!  connections ─▶ routes: token, log ─▶ body (bounded) ─▶ request of texts ─▶ Service: queue, batches ─▶ JSON
//!  port for metrics ─▶ monitor: probes, metrics, without a token, also while the model is loaded
//! ```
//!
//! The body of an error response is JSON with a reason, except for a request head that the HTTP library hyper cannot
//! parse. A client that resets its connection cancels its requests. A client that only closes its sending side still
//! gets its answers.

mod admission;
mod answering;
mod app;
mod body;
mod classify;
mod connections;
mod explain;
mod exposition;
mod info;
mod instruments;
mod lines;
mod log;
mod metrics;
mod monitor;
mod predict;
mod question;
mod refusal;
mod reload;
mod request_id;
mod routes;
mod scores;
#[expect(clippy::module_inception, reason = "the type is in the file of its name")]
mod server;
mod settings;
mod tei;
mod vllm;

pub use app::LoadedModel;
pub use server::Server;
pub use settings::{Limits, ServerSettings};
