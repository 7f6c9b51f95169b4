//! Off-policy estimators by name, and the terms that each of them averages.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::estimate::{LoggedRound, Prediction};
use crate::error::Result;
use crate::validate::check_parameter;

/// Off-policy estimator. w is the importance weight π(a|x)/p: the evaluated policy's probability of the logged arm a in
/// the context x, divided by its propensity p. r is the reward. q̂ is the model's prediction for the logged arm, and V̂
/// = Σ_a π(a|x) q̂(x, a) is the model's value of the evaluated policy.
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
/// `Display` writes the name, with the value of the parameter. The parameter of an estimator ranges from 0 (the direct
/// method) to ∞ or `f64::MAX` (the unbiased estimator). [`OffPolicy::slope`](super::OffPolicy::slope) selects it.
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
    /// Direct method: the reward model alone.
    Direct,
    /// Inverse propensity scoring.
    InversePropensity,
    /// Inverse propensity scoring with clipped weights.
    Clipped {
        /// Largest weight M.
        largest: f64,
    },
    /// Self-normalised inverse propensity scoring.
    SelfNormalised,
    /// Doubly robust estimator.
    DoublyRobust,
    /// Doubly robust estimator with self-normalised weights.
    SelfNormalisedDoublyRobust,
    /// Doubly robust estimator where the importance weight is at most a threshold, and the model alone elsewhere.
    SwitchDoublyRobust {
        /// Threshold τ of the importance weight, above which the model alone is used.
        threshold: f64,
    },
    /// Doubly robust estimator with clipped weights.
    PessimisticDoublyRobust {
        /// Largest weight M.
        largest: f64,
    },
    /// Doubly robust estimator with optimistic shrinkage of the weights.
    OptimisticDoublyRobust {
        /// Shrinkage λ, which limits the weights to √λ/2.
        shrinkage: f64,
    },
}

/// Contribution of one round to an estimate, times the number of times that the round counts. The estimate is the mean
/// offset plus the mean numerator. For ratios it is the mean offset plus Σ numerator/Σ weight.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Term {
    pub(super) offset: f64,
    pub(super) numerator: f64,
    /// Importance weight that the estimator uses.
    pub(super) weight: f64,
    /// Number of times that the round counts. Its mean over the rounds is 1.
    pub(super) row_weight: f64,
}

impl Term {
    /// Returns the term of a round that counts `row_weight` times.
    pub(super) fn times(self, row_weight: f64) -> Self {
        let Self { offset, numerator, weight, .. } = self;
        Self { offset: offset * row_weight, numerator: numerator * row_weight, weight: weight * row_weight, row_weight }
    }
}

impl Estimator {
    /// Returns whether the estimator divides by the sum of the weights.
    pub(super) fn is_ratio(self) -> bool {
        matches!(self, Self::SelfNormalised | Self::SelfNormalisedDoublyRobust)
    }

    /// Returns whether the estimator needs a reward model.
    pub fn needs_model(self) -> bool {
        !matches!(self, Self::InversePropensity | Self::Clipped { .. } | Self::SelfNormalised)
    }

    /// Returns whether a sample of rounds shows the whole error, so that an interval covers the value. This is the case
    /// for IPS and DR, plain and self-normalised.
    ///
    /// The other estimators have a bias: that of the fitted model or of the clipped weights. Data cannot distinguish a
    /// wrong model from a right one, so that no interval is stated for these estimators.
    pub fn has_interval(self) -> bool {
        matches!(
            self,
            Self::InversePropensity | Self::SelfNormalised | Self::DoublyRobust | Self::SelfNormalisedDoublyRobust
        )
    }

    /// Returns whether the estimator needs rounds in which the evaluated policy takes the logged action.
    pub(super) fn needs_overlap(self) -> bool {
        self != Self::Direct
    }

    /// Name of the estimator without its parameter.
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

    /// Refuses a parameter that is out of its range.
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

    /// Importance weight that this estimator uses in place of `weight`.
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

    /// Computes the term of a round. A missing weight or prediction counts as 0.
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
