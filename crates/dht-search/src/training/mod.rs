//! The search as an objective of the training loop: batches are routed, encoder and routers learn from their losses, and
//! the cost is counted.

mod accounting;
mod arm_features;
mod exit_losses;
mod frozen_exits;
mod full_model_steps;
mod head_gradients;
mod head_importance;
mod held_out;
mod objective;
mod phases;
mod recording;
mod router_fit;
mod state;
mod steps;
mod teacher;

pub use accounting::{CostAccounting, CurveRecorder, Curves, GroupHeads, LossCurve, SetCount};
pub(crate) use frozen_exits::FrozenStates;
pub use frozen_exits::{ExitTargets, FrozenExits};
pub use objective::SearchObjective;
pub use router_fit::fit_router;

#[cfg(test)]
mod regret_tests;
