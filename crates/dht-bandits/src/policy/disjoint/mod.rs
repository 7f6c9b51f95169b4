//! Disjoint policies, with separate weights for each arm: LinUCB, linear and logistic Thompson sampling, ε-greedy.

mod drift;
mod merge;
mod policy;
mod propensities;
mod select_batch;
mod state;

pub use policy::{Disjoint, LinTs, LinUcb};
pub use select_batch::ChoiceBatch;
