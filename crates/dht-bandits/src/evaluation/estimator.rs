//! Off-policy estimators: their names, parameters and formulas.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::estimate::{LoggedRound, Prediction};
use crate::error::Result;
use crate::validate::check_parameter;

/// Off-policy estimator of a policy's value (expected reward) from the log of another policy.
///
/// In the formulas, w is the importance weight π(a|x)/p: the evaluated policy's probability of the logged arm a in the
/// context x, divided by its propensity p. r is the logged reward. q̂ is the reward model's prediction for the logged
/// arm. V̂ = Σ_a π(a|x) q̂(x, a) is the model's prediction for the evaluated policy. "Mean" and Σ are over the rounds
/// of the log.
///
/// | | name | formula | bias | variance | source |
/// |---|---|---|---|---|---|
/// | `Direct` | DM | mean V̂ | that of the model | smallest | |
/// | `InversePropensity` | IPS | mean wr | none | large where policies differ | Horvitz & Thompson 1952 |
/// | `Clipped` | clipped IPS(M) | mean min(w, M) r | that of clipping | less | Ionides 2008; Bottou et al. 2013 |
/// | `SelfNormalised` | SNIPS | Σwr/Σw | O(1/n) | less | Swaminathan & Joachims 2015 |
/// | `DoublyRobust` | DR | mean V̂ + w(r − q̂) | none, if either is right | less, with a good model | Dudík, Langford & Li 2011 |
/// | `SelfNormalisedDoublyRobust` | SNDR | mean V̂ + Σw(r − q̂)/Σw | O(1/n) | less | Thomas & Brunskill 2016 |
/// | `SwitchDoublyRobust` | switch-DR(τ) | mean V̂ + w·1[w ≤ τ](r − q̂) | that of the model where w > τ | less | Wang, Agarwal & Dudík 2017 |
/// | `PessimisticDoublyRobust` | DRps(M) | mean V̂ + min(w, M)(r − q̂) | that of clipping | less | Su et al. 2020 |
/// | `OptimisticDoublyRobust` | DRos(λ) | mean V̂ + λw/(w² + λ)·(r − q̂) | that of shrinkage | less | Su et al. 2020 (DRos) |
///
/// `Display` writes the name, with the value of the parameter if there is one. A parameter τ, M or λ ranges from 0,
/// which gives the most biased estimator, to ∞ or `f64::MAX`, which gives the unbiased one.
/// [`OffPolicy::slope`](super::OffPolicy::slope) selects a value.
///
/// ```
/// use dht_bandits::evaluation::{Estimator, LoggedRound, OffPolicy};
///
/// let rounds = [LoggedRound::new(1.0, 0.5, 1.0), LoggedRound::new(0.0, 0.5, 0.0)];
/// let log = OffPolicy::new(&rounds)?;
/// assert_eq!(log.estimate(Estimator::InversePropensity)?.value, 1.0); // (2·1 + 0·0)/2
/// let clipped = Estimator::Clipped { largest: 1.5 };
/// assert_eq!(log.estimate(clipped)?.value, 0.75);
/// assert!(!clipped.has_interval()); // it has a bias
/// # Ok::<(), dht_bandits::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Estimator {
    /// Direct method: the reward model's prediction for the evaluated policy.
    Direct,
    /// Inverse propensity scoring.
    InversePropensity,
    /// Inverse propensity scoring with clipped importance weights.
    Clipped {
        /// Upper limit M of the importance weights.
        largest: f64,
    },
    /// Self-normalised inverse propensity scoring: the weighted sum of rewards is divided by the sum of the weights.
    SelfNormalised,
    /// Doubly robust estimator: the direct method, corrected by importance-weighted errors of the reward model.
    DoublyRobust,
    /// Doubly robust estimator whose correction is divided by the sum of the importance weights.
    SelfNormalisedDoublyRobust,
    /// Doubly robust estimator in rounds with an importance weight up to a threshold, and the direct method in all
    /// others.
    SwitchDoublyRobust {
        /// Threshold τ of the importance weight. Rounds above it use the reward model alone.
        threshold: f64,
    },
    /// Doubly robust estimator with clipped importance weights (pessimistic shrinkage).
    PessimisticDoublyRobust {
        /// Upper limit M of the importance weights.
        largest: f64,
    },
    /// Doubly robust estimator whose importance weights are shrunk to λw/(w² + λ) (optimistic shrinkage).
    OptimisticDoublyRobust {
        /// Shrinkage parameter λ. No weight is above √λ/2.
        shrinkage: f64,
    },
}

/// Contribution of one round to an estimate. The estimate is the mean of `offset` plus the mean of `numerator`. For
/// self-normalised estimators it is the mean of `offset` plus Σ `numerator`/Σ `weight`. All fields are multiplied by
/// `row_weight`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Term {
    pub(super) offset: f64,
    pub(super) numerator: f64,
    /// Importance weight after any clipping or shrinkage.
    pub(super) weight: f64,
    /// Number of times that the round counts, because similar rows were dropped from the log.
    pub(super) row_weight: f64,
}

impl Term {
    pub(super) fn times(self, row_weight: f64) -> Self {
        let Self { offset, numerator, weight, .. } = self;
        Self { offset: offset * row_weight, numerator: numerator * row_weight, weight: weight * row_weight, row_weight }
    }
}

impl Estimator {
    /// Returns whether the estimator is self-normalised, that is, divides by the sum of the importance weights.
    pub(super) fn is_ratio(self) -> bool {
        matches!(self, Self::SelfNormalised | Self::SelfNormalisedDoublyRobust)
    }

    /// Returns whether the estimator needs predictions of a reward model.
    pub fn needs_model(self) -> bool {
        !matches!(self, Self::InversePropensity | Self::Clipped { .. } | Self::SelfNormalised)
    }

    /// Returns whether the estimator has a valid confidence interval. This is the case for `InversePropensity`,
    /// `SelfNormalised`, `DoublyRobust` and `SelfNormalisedDoublyRobust`.
    ///
    /// The other estimators have a bias, from the fitted reward model or from changed importance weights. The log
    /// cannot show the size of this bias, so that an interval would not cover the true value.
    pub fn has_interval(self) -> bool {
        matches!(
            self,
            Self::InversePropensity | Self::SelfNormalised | Self::DoublyRobust | Self::SelfNormalisedDoublyRobust
        )
    }

    /// Returns whether the estimator needs overlap: rounds in which the evaluated policy may take the logged action.
    pub(super) fn needs_overlap(self) -> bool {
        self != Self::Direct
    }

    /// Short name of the estimator, such as `SNIPS`, without its parameter.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Direct => "DM",
            Self::InversePropensity => "IPS",
            Self::Clipped { .. } => "clipped IPS",
            Self::SelfNormalised => "SNIPS",
            Self::DoublyRobust => "DR",
            Self::SelfNormalisedDoublyRobust => "SNDR",
            Self::SwitchDoublyRobust { .. } => "switch-DR",
            Self::PessimisticDoublyRobust { .. } => "DRps",
            Self::OptimisticDoublyRobust { .. } => "DRos",
        }
    }

    fn parameter(self) -> Option<f64> {
        match self {
            Self::Clipped { largest } | Self::PessimisticDoublyRobust { largest } => Some(largest),
            Self::SwitchDoublyRobust { threshold } => Some(threshold),
            Self::OptimisticDoublyRobust { shrinkage } => Some(shrinkage),
            _ => None,
        }
    }

    pub(super) fn check(self) -> Result<()> {
        match self {
            Self::Clipped { largest } => check_parameter("largest weight", largest, largest > 0.0, "positive"),
            Self::PessimisticDoublyRobust { largest } => {
                check_parameter("largest weight", largest, largest >= 0.0, "at least 0")
            }
            Self::SwitchDoublyRobust { threshold } => {
                check_parameter("threshold", threshold, threshold >= 0.0, "at least 0")
            }
            Self::OptimisticDoublyRobust { shrinkage } => {
                check_parameter("shrinkage", shrinkage, shrinkage >= 0.0, "at least 0")
            }
            _ => Ok(()),
        }
    }

    /// Applies this estimator's clipping or shrinkage to an importance weight.
    fn weight(self, weight: f64) -> f64 {
        match self {
            Self::Direct => 0.0,
            Self::Clipped { largest } | Self::PessimisticDoublyRobust { largest } => weight.min(largest),
            Self::SwitchDoublyRobust { threshold } => {
                if weight <= threshold {
                    weight
                } else {
                    0.0
                }
            }
            // λw/(w² + λ) is divided by w so that neither end overflows. λ = 0 gives 0, also where w = 0.
            Self::OptimisticDoublyRobust { shrinkage } => {
                if weight > 0.0 && shrinkage > 0.0 {
                    1.0 / (weight / shrinkage + 1.0 / weight)
                } else {
                    0.0
                }
            }
            _ => weight,
        }
    }

    /// Contribution of a round to the estimate. A missing importance weight or prediction counts as 0.
    pub(super) fn term(self, round: &LoggedRound) -> Term {
        let weight = self.weight(round.weight().unwrap_or(0.0));
        if !self.needs_model() {
            return Term { offset: 0.0, numerator: weight * round.reward, weight, row_weight: 1.0 };
        }
        let Prediction { logged, expected } = round.prediction.unwrap_or(Prediction { logged: 0.0, expected: 0.0 });
        Term { offset: expected, numerator: weight * (round.reward - logged), weight, row_weight: 1.0 }
    }
}

impl fmt::Display for Estimator {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.parameter() {
            Some(parameter) if (1e-3..1e6).contains(&parameter) => {
                write!(formatter, "{}({})", self.name(), (parameter * 1e3).round() / 1e3)
            }
            Some(parameter) => write!(formatter, "{}({parameter:e})", self.name()),
            None => formatter.write_str(self.name()),
        }
    }
}
