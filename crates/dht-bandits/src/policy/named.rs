//! Policies under the names of the literature: pairs of a posterior and an exploration rule.

use super::{Disjoint, Hybrid, TopK};
use crate::exploration::{Greedy, Thompson, Ucb};
use crate::posterior::{DiagonalLaplace, FullLaplace, NormalInverseGamma, Ridge};

/// LinUCB with disjoint arms (Li et al. 2010, Algorithm 1).
pub type LinUcb = Disjoint<Ridge, Ucb>;
/// Linear Thompson sampling with disjoint arms (Agrawal & Goyal 2013).
pub type LinTs = Disjoint<Ridge, Thompson>;
/// Linear Thompson sampling that learns the variance of its noise (Riquelme, Tucker & Snoek 2018).
pub type NoisyLinTs = Disjoint<NormalInverseGamma, Thompson>;
/// LinUCB with hybrid arms (Li et al. 2010, Algorithm 2).
pub type HybridLinUcb = Hybrid<Ucb>;
/// LinUCB with one vector of weights for all candidates, which differ by their features ([`TopK::shared`]; slates of
/// one are single choices).
pub type SharedLinUcb = TopK<Ridge, Ucb>;
/// Linear Thompson sampling with one vector of weights for all candidates, drawn once a slate.
pub type SharedLinTs = TopK<Ridge, Thompson>;
/// Contextual ε-greedy: ridge regressions, explored uniformly.
pub type EpsilonGreedy = Disjoint<Ridge, Greedy>;
/// Logistic Thompson sampling with diagonal posteriors (Chapelle & Li 2011, Algorithm 3).
pub type DiagonalLogisticTs = Disjoint<DiagonalLaplace, Thompson>;
/// Logistic Thompson sampling with full Laplace posteriors.
pub type LogisticTs = Disjoint<FullLaplace, Thompson>;
/// Logistic upper confidence bounds with full Laplace posteriors, on log-odds.
pub type LogisticUcb = Disjoint<FullLaplace, Ucb>;
/// The top-K semi-bandit by Thompson sampling over logistic regressions with diagonal posteriors.
pub type TopKThompson = TopK<DiagonalLaplace, Thompson>;
