//! Models that a dynamic model is compared with, or combined with. Each is a [`Predictor`](crate::evaluation::Predictor).

mod cascade;
mod ngram;
mod stacking;

pub use crate::model::{FullModel, LogProbabilities, NgramClassifier, NgramFit, NgramSettings};
pub use cascade::{Cascade, Cascaded, cascade};
pub use stacking::{Stacked, Stacker};
