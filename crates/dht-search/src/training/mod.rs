//! Training of a search model: batches are routed, the encoder and the routers learn from their losses, and the cost in
//! FLOPs is counted.

pub(crate) mod accounting;
mod arm_features;
mod exit_losses;
mod full_model_steps;
mod head_gradients;
mod head_importance;
mod held_out;
pub(crate) mod objective;
mod phases;
mod recording;
mod state;
mod steps;
mod teacher;

pub use accounting::{CurveRecorder, Curves, GroupHeads, LossCurve, SetCount};
pub(crate) use objective::SearchObjective;

#[cfg(test)]
mod regret_tests;
