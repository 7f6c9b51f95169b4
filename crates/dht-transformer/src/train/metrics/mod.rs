//! Metrics of predictions, and confidence bounds on the difference between two models.

mod bootstrap;
mod confusion;
mod correlation;
mod label_counts;
mod predict;

pub use bootstrap::PairedDifference;
pub use confusion::Confusion;
pub use correlation::Correlation;
pub use label_counts::LabelCounts;
pub use predict::Predictions;
