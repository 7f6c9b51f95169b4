//! Metrics of predictions.

mod confusion;
mod correlation;
mod label_counts;

pub use confusion::Confusion;
pub use correlation::Correlation;
pub use label_counts::LabelCounts;
