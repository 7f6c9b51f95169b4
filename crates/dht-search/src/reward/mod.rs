//! Rewards of the bandits, computed from the loss and the cost of a route (DHT paper, section 4.3).
//!
//! The cost-weighted loss δ is the loss multiplied by the route's number of layers. For bandits that select a number of
//! heads, it is also multiplied by the number of heads. A reward compares δ with a reference, the mean δ of earlier
//! samples: ρ = reference / δ. If ρ is above 1, the route has a smaller cost-weighted loss than the reference.

mod head_feedback;
mod rule;
mod weighted_loss;

pub use head_feedback::HeadFeedback;
pub use rule::{Reward, RewardMemory, RewardReference, RewardRule, RewardShape};
pub use weighted_loss::CostWeightedLoss;
