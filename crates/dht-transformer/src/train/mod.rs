//! Training.

mod losses;

pub use losses::{cross_entropy, log_softmax, soft_cross_entropy};
