//! Training: the optimiser, the learning rate over time, scores, and what is kept on disk.

mod bootstrap;
mod metrics;
mod schedule;

pub use bootstrap::{Deficit, paired_bootstrap};
pub use metrics::Confusion;
pub use schedule::{Schedule, WarmUp};
