//! Rewards: losses and costs of a route mapped to bandit feedback (paper, section 4.3).
//!
//! δ is the loss times the route's cost in layers and heads. A reward compares it with what was usual before:
//! ρ = (mean δ of the reference) / δ, so that less loss or less depth than usual gives more than 1.

mod head_feedback;
mod rule;
mod weighted_loss;

pub use head_feedback::HeadFeedback;
pub use rule::{Reward, RewardMemory, RewardReference, RewardRule, RewardShape};
pub use weighted_loss::{CostWeightedLoss, SMALLEST_LOSS};
