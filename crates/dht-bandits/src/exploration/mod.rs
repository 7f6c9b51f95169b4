//! Exploration rules: choices from the means and widths of arms.
//!
//! | rule | chooses | source |
//! |---|---|---|
//! | [`Ucb`] | the highest mean + α·width | Li et al. (2010), Algorithm 1 |
//! | [`Thompson`] | the highest mean + α·width·z, z ~ N(0, 1) | Agrawal & Goyal (2013) |
//! | [`EpsilonGreedy`] | the highest mean; with probability ε, an arm drawn uniformly | Sutton & Barto (2018), section 2.2 |
//! | [`DecayingGreedy`] | ε-greedy with ε decreasing in the number of learned rewards | Auer, Cesa-Bianchi & Fischer (2002), Figure 3 |
//! | [`ExploreFirst`] | uniformly at first, then the highest mean | Langford & Zhang (2007) |
//! | [`Softmax`] | with probability ∝ exp(mean/τ) | Sutton & Barto (2018), section 2.8 |
//! | [`SquareCb`] | with probability 1/(K + γ·gap), the rest to the best | Foster & Rakhlin (2020) |
//!
//! Each combines with every [`Posterior`](crate::posterior::Posterior); the last three and the greedy ones ignore
//! widths. [`Floor`] gives every arm a minimum probability under any rule.

mod decaying_greedy;
mod epsilon_greedy;
mod explore_first;
mod floor;
mod rule;
mod softmax;
mod square_cb;
mod thompson;
mod ucb;

pub use decaying_greedy::DecayingGreedy;
pub use epsilon_greedy::EpsilonGreedy;
pub use explore_first::ExploreFirst;
pub use floor::Floor;
pub use rule::{Exploration, Selection};
pub(crate) use rule::{check_floor, drawn_uniformly};
pub(crate) use softmax::Partition;
pub use softmax::Softmax;
pub use square_cb::SquareCb;
pub(crate) use square_cb::{InverseGap, inverse_gap};
pub use thompson::Thompson;
pub use ucb::Ucb;
