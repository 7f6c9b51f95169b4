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
mod teacher;

pub use accounting::CostAccounting;
pub use curve_recorder::CurveRecorder;
pub use curves::{Curves, GroupHeads, LossCurve, SetCount};
pub(crate) use head_gradients::PendingHeadFeedback;
pub(crate) use phases::NextPhase;
pub(crate) use queues::Queues;

#[cfg(test)]
mod regret_tests;
