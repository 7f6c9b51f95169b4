//! How well predictions agree with the truth, and how sure it is that one model is better than another.

mod bootstrap;
mod confusion;
mod correlation;
mod label_counts;
mod predict;

pub use bootstrap::{PairedDifference, paired_bootstrap};
pub use confusion::Confusion;
pub use correlation::{pearson, spearman};
pub use label_counts::LabelCounts;
pub use predict::{Predictions, macro_f1, predict_all, score};
