//! Top-K semi-bandits, which choose a slate of K arms and learn from feedback on the arms that the user observed.

mod choose;
mod merge;
mod policy;
mod propensities;
mod semi_bandit;
mod state;

pub use semi_bandit::{SharedPropensity, TopK};
