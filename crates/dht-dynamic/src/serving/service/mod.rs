//! Answers requests from many threads in shared batches, over a bounded queue.
//!
//! ```text
//!  submit: encode on the caller's thread ─▶ queue (bounded) ─▶ worker: batches of one speed ─▶ Ticket
//!          rejected: Busy, TooLong, …       │                    dropped tickets and late requests are not computed
//!                                           └─ left at the n-gram exit ─────────────────────────▶
//! ```

mod job;
mod metrics;
mod model;
mod pace;
mod queue;
#[expect(clippy::module_inception, reason = "the type is in the file of its name")]
mod service;
mod settings;
mod shared;
mod ticket;
mod worker;

pub use metrics::{Histogram, ServiceMetrics};
pub use service::{Request, Service};
pub use settings::ServiceSettings;
pub use ticket::Ticket;
