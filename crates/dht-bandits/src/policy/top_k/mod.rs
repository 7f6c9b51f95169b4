//! Top-K semi-bandits: a slate of K arms, with feedback on the observed ones.

mod choose;
mod merge;
mod policy;
mod propensities;
mod semi_bandit;
mod state;

pub use semi_bandit::{SharedPropensity, TopK};
