//! Policies without contexts: classical multi-armed bandits, which estimate only the mean reward of each arm.

mod beta_thompson;
mod merge;
mod policy;
mod rule;
mod state;
mod ucb1;

pub use beta_thompson::BetaThompson;
pub use policy::ContextFree;
pub use ucb1::Ucb1;
