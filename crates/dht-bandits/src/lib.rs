//! Contextual bandits: choose now, learn later.
#![forbid(unsafe_code)]

mod arm;
mod baseline;
pub mod columns;
mod disjoint;
mod error;
mod exchange;
mod factor;
mod factor_state;
mod full_laplace;
mod groups;
mod hybrid;
mod index;
mod information;
mod lanes;
mod laplace;
mod logistic;
mod mean_pool;
mod newton;
mod off_policy;
mod panels;
mod policy;
mod posterior;
mod propensity;
mod ridge;
mod row;
mod running_norm;
mod semi_bandit;
mod simulate;
mod slate;
mod slate_state;
mod slate_worlds;
mod snapshot;
mod state;
mod worlds;

pub use arm::{ArmId, ArmSet, ArmSetState, Available};
pub use baseline::{BaselineState, Fixed, Uniform};
pub use disjoint::{Disjoint, DisjointState};
pub use error::{Error, Result};
pub use exchange::Delta;
pub use full_laplace::{FullArmState, FullLaplace, FullLaplaceOptions};
pub use hybrid::{Hybrid, HybridOptions, HybridState};
pub use index::{Epsilon, Index, Thompson, Ucb};
pub use information::{InformationState, Natural};
pub use laplace::{DiagonalArmState, DiagonalLaplace, DiagonalLaplaceOptions, TsPrior};
pub use logistic::sigmoid;
pub use mean_pool::PyramidPool;
pub use off_policy::{Estimate, LoggedRound, OffPolicy, ReplayRound, SlateOffPolicy, replay};
pub use policy::{Choice, Decision, Observation, Policy, Score};
pub use posterior::Posterior;
pub use propensity::Propensity;
pub use ridge::{Ridge, RidgeArmState, RidgeOptions};
pub use running_norm::{NormOptions, NormState, RunningNorm};
pub use semi_bandit::{Draw, Sharing, TopK};
pub use simulate::{Comparison, Contender, Curve, Standing, compare, simulate, simulate_slates};
pub use slate::{ArmFeedback, Candidates, Feedback, Slate};
pub use slate_state::TopKState;
pub use slate_worlds::{CascadeWorld, ClickWorld, SlateWorld};
pub use snapshot::{Publisher, Reader};
pub use state::Header;
pub use worlds::{WeightedWorld, World};

/// LinUCB with disjoint arms (Li et al. 2010, Algorithm 1).
pub type LinUcb = Disjoint<Ridge, Ucb>;
/// Linear Thompson sampling with disjoint arms (Agrawal & Goyal 2013).
pub type LinTs = Disjoint<Ridge, Thompson>;
/// LinUCB with hybrid arms (Li et al. 2010, Algorithm 2).
pub type HybridLinUcb = Hybrid<Ucb>;
/// LinUCB with one vector of weights for all candidates, told apart by their features ([`TopK::shared`]; slates of one are single choices).
pub type SharedLinUcb = TopK<Ridge, Ucb>;
/// Linear Thompson sampling with one vector of weights for all candidates, drawn once a slate.
pub type SharedLinTs = TopK<Ridge, Thompson>;
/// Contextual ε-greedy: ridge regressions, explored uniformly.
pub type EpsilonGreedy = Disjoint<Ridge, Epsilon>;
/// Logistic Thompson sampling with diagonal posteriors (Chapelle & Li 2011, Algorithm 3).
pub type DiagonalLogisticTs = Disjoint<DiagonalLaplace, Thompson>;
/// Logistic Thompson sampling with full Laplace posteriors.
pub type LogisticTs = Disjoint<FullLaplace, Thompson>;
/// Logistic upper confidence bounds with full Laplace posteriors, on log-odds.
pub type LogisticUcb = Disjoint<FullLaplace, Ucb>;
/// The top-K semi-bandit by Thompson sampling over logistic regressions with diagonal posteriors.
pub type TopKThompson = TopK<DiagonalLaplace, Thompson>;
