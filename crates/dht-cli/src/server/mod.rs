//! HTTP server of a model.
//!
//! ```text
//!  connections ─▶ routes: token, log ─▶ body (bounded) ─▶ request of texts ─▶ Service: queue, batches ─▶ JSON
//! ```
//!
//! A refusal is JSON with a reason. The exception is a head that hyper cannot parse: it is answered with a status and
//! no body. A client that resets its connection cancels its request. A client that only ends its side may still read,
//! and is answered.

mod app;
mod body;
mod classify;
mod connections;
mod info;
mod lines;
mod log;
mod metrics;
mod predict;
mod refusal;
mod reload;
mod routes;
#[expect(clippy::module_inception, reason = "the type is in the file of its name")]
mod server;
mod settings;

pub use app::LoadedModel;
pub use server::Server;
pub use settings::{Limits, ServerSettings};
