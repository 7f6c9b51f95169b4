//! Metrics of predictions: F1 and other scores of classes and labels, correlations of numbers, and label thresholds.

mod confusion;
mod correlation;
mod label_counts;
mod label_thresholds;
mod ranking;

pub use confusion::Confusion;
pub use correlation::Correlation;
pub use label_counts::LabelCounts;
pub use label_thresholds::LabelThresholds;
pub use ranking::{average_precision, quadratic_kappa};
