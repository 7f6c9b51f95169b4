//! The search as an objective of the training loop: batches are routed, encoder and bandits learn from their losses, and
//! what it costs is written down.

mod accounting;
mod arm_features;
mod curve_recorder;
mod curves;
mod exit_losses;
mod full_model_steps;
mod head_gradients;
mod held_out;
mod objective;
mod phases;
mod queues;
mod state;
mod steps;
mod teacher;

pub use accounting::CostAccounting;
pub use curve_recorder::CurveRecorder;
pub use curves::{Curves, GroupHeads, LossCurve, SetCount};
pub use objective::SearchObjective;

#[cfg(test)]
mod regret_tests;
