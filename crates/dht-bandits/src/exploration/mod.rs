//! Exploration rules: they choose an arm from the posterior mean and width (standard deviation) of each arm's score.
//!
//! | rule | chooses | source |
//! |---|---|---|
//! | [`Ucb`] | the highest mean + α·width | Li et al. (2010), Algorithm 1 |
//! | [`GrowingUcb`] | the highest mean + α·width, with an α that grows with the number of rewards, up to a limit | this crate |
//! | [`Thompson`] | the highest mean + α·width·z, z ~ N(0, 1) | Agrawal & Goyal (2013) |
//! | [`EpsilonGreedy`] | the highest mean; with probability ε, an arm drawn uniformly. ε is constant, decreases in the number of learned rewards, or is 1 at first (explore first) | Sutton & Barto (2018), section 2.2; Auer, Cesa-Bianchi & Fischer (2002), Figure 3; Langford & Zhang (2007) |
//! | [`Softmax`] | with probability ∝ exp(mean/τ) | Sutton & Barto (2018), section 2.8 |
//! | [`SquareCb`] | with probability 1/(K + γ_t·gap), and the best arm with the remaining probability; by default γ_t = γ·√(1 + t) after t rewards | Foster & Rakhlin (2020) |
//!
//! Each rule can be combined with every [`Posterior`](crate::posterior::Posterior). Only the first three rules use
//! widths. [`Floor`] adds a minimum probability of every arm to any rule.

mod epsilon_greedy;
mod floor;
mod growing_ucb;
mod rule;
mod softmax;
mod square_cb;
pub(crate) mod thompson;
pub(crate) mod ucb;

pub use epsilon_greedy::EpsilonGreedy;
pub use floor::Floor;
pub use growing_ucb::GrowingUcb;
pub use rule::{Exploration, Selection};
pub(crate) use rule::{check_floor, drawn_uniformly};
pub(crate) use softmax::Partition;
pub use softmax::Softmax;
pub use square_cb::SquareCb;
pub(crate) use square_cb::{InverseGap, inverse_gap};
pub(crate) use thompson::Thompson;
pub(crate) use ucb::Ucb;
