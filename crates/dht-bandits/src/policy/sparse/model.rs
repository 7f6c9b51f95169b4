//! Models for policies over sparse contexts. Each feature has one weight and one number that measures its evidence, so
//! that an update costs O(number of non-zero values).

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::options::options;
use crate::policy::RewardType;
use crate::posterior::{DiagonalLaplace, check_unit_reward, curvature, mode_step, residual, sigmoid};
use crate::validate::{LARGEST_PRECISION, check_bounded, check_parameter, check_precision};

/// Reward model of a [`SparsePolicy`](super::SparsePolicy), either [`DiagonalLaplace`] or [`AdaGrad`]; a value of the
/// model holds its settings. The trait is sealed.
///
/// A feature without evidence has the weight [`prior_mean`](Self::prior_mean). For each weight, a policy stores the
/// difference from this prior mean, and the evidence. A table of zeros is therefore the prior.
pub trait SparseModel:
    Clone + std::fmt::Debug + PartialEq + Send + Sync + Serialize + DeserializeOwned + sealed::Sealed + 'static
{
    /// Name of the model in saved states.
    #[doc(hidden)]
    const NAME: &'static str;

    #[doc(hidden)]
    fn check(&self) -> Result<()>;

    #[doc(hidden)]
    fn check_reward(&self, reward: f64) -> Result<()>;

    #[doc(hidden)]
    fn prior_mean(&self) -> f64;

    /// Variance of a weight with this evidence. An observation moves the weight in proportion to the variance.
    #[doc(hidden)]
    fn variance(&self, evidence: f64) -> f64;

    /// Evidence that one observation adds to a feature of value 1 before the weights are updated.
    #[doc(hidden)]
    fn evidence_before(&self, mean: f64, reward: f64, weight: f64) -> f64;

    /// Step c of one observation: each weight moves by c·x·variance, where x is the value of its feature.
    #[doc(hidden)]
    fn step(&self, mean: f64, variance: f64, reward: f64, weight: f64) -> f64;

    /// Evidence that one observation adds to a feature of value 1 after the weights are updated.
    #[doc(hidden)]
    fn evidence_after(&self, mean: f64, weight: f64) -> f64;

    /// Expected reward of an arm whose score has this mean.
    #[doc(hidden)]
    fn expected_reward(&self, mean: f64) -> f64;
}

impl sealed::Sealed for DiagonalLaplace {}

/// Sparse form of the diagonal Laplace posterior. The evidence of a feature is the sum of σ(1 − σ)x² over observations,
/// where σ is the predicted probability and x the value of the feature. For features that are not zero, updates equal
/// those of the dense posterior.
impl SparseModel for DiagonalLaplace {
    const NAME: &'static str = "diagonal-laplace";

    fn check(&self) -> Result<()> {
        check_bounded("prior_mean", self.prior_mean)?;
        check_precision("prior_precision", self.prior_precision)?;
        let needs = "1 with sparse contexts: evidence of all features would change in each update";
        check_parameter("decay", self.decay, self.decay == 1.0, needs)?;
        check_parameter("prior_weight", self.prior_weight, self.prior_weight == 1.0, needs)
    }

    fn check_reward(&self, reward: f64) -> Result<()> {
        check_unit_reward(reward)
    }

    fn prior_mean(&self) -> f64 {
        self.prior_mean
    }

    #[inline(always)]
    fn variance(&self, evidence: f64) -> f64 {
        1.0 / (self.prior_precision + evidence).min(LARGEST_PRECISION)
    }

    #[inline(always)]
    fn evidence_before(&self, _: f64, _: f64, _: f64) -> f64 {
        0.0
    }

    fn step(&self, mean: f64, variance: f64, reward: f64, weight: f64) -> f64 {
        mode_step(mean, variance, reward, weight)
    }

    fn evidence_after(&self, mean: f64, weight: f64) -> f64 {
        weight * curvature(mean)
    }

    fn expected_reward(&self, mean: f64) -> f64 {
        sigmoid(mean)
    }
}

/// AdaGrad model for sparse policies (Duchi, Hazan & Singer 2011): each weight has a learning rate η/√(1 + Σg²), which
/// falls with the sum of its squared gradients g².
///
/// An update minimises the loss plus the distance of the weights from their previous values, measured in units of their
/// learning rates. No learning rate can therefore overshoot. For real rewards the loss is half the squared error, and
/// the minimum has a closed form. For rewards in [0, 1] it is the log loss, minimised by Newton's method.
///
/// The width of a score is √Σx²η/√(1 + Σg²), the root of the change of the mean that one unit of residual causes. This
/// width is a heuristic, unlike the variance of [`DiagonalLaplace`]. Use an exploration rule that ignores widths, such
/// as [`SquareCb`](crate::exploration::SquareCb).
///
/// ```
/// use dht_bandits::exploration::SquareCb;
/// use dht_bandits::features::FeatureHasher;
/// use dht_bandits::policy::{AdaGrad, RewardType, SparsePolicy};
/// use dht_bandits::Policy;
/// use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
///
/// let mut hasher = FeatureHasher::new(10)?;
/// let model = AdaGrad::new(RewardType::Real).with_learning_rate(0.5);
/// let mut policy = SparsePolicy::new(hasher.space(), 2, model, SquareCb::new(10.0))?;
/// hasher.category("user", "country", "DE");
/// let context = hasher.context()?;
/// let decision = policy.decide(&(&context).into(), &mut ChaCha8Rng::seed_from_u64(7))?;
/// policy.learn(&decision, 2.0)?;
/// assert!(policy.score(decision.arm(), &decision.context)?.mean > 0.0);
/// # Ok::<(), dht_bandits::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct AdaGrad {
    /// Type of the rewards: real (squared error), or binary (log loss, rewards from 0 to 1).
    pub reward: RewardType,
    /// Learning rate η > 0 of a feature without evidence; ½ by default.
    pub learning_rate: f64,
}

options!(AdaGrad::new(reward / with_reward: RewardType = RewardType::Real) {
    learning_rate / with_learning_rate: f64 = 0.5,
});

impl AdaGrad {
    fn residual(&self, mean: f64, reward: f64) -> f64 {
        match self.reward {
            RewardType::Binary => residual(mean, reward),
            RewardType::Real => reward - mean,
        }
    }
}

impl sealed::Sealed for AdaGrad {}

impl SparseModel for AdaGrad {
    const NAME: &'static str = "ada-grad";

    fn check(&self) -> Result<()> {
        check_precision("learning_rate", self.learning_rate)
    }

    fn check_reward(&self, reward: f64) -> Result<()> {
        match self.reward {
            RewardType::Binary => check_unit_reward(reward),
            RewardType::Real => check_bounded("reward", reward),
        }
    }

    fn prior_mean(&self) -> f64 {
        0.0
    }

    #[inline(always)]
    fn variance(&self, evidence: f64) -> f64 {
        self.learning_rate / (1.0 + evidence).min(LARGEST_PRECISION).sqrt()
    }

    fn evidence_before(&self, mean: f64, reward: f64, weight: f64) -> f64 {
        (weight * self.residual(mean, reward)).powi(2).min(LARGEST_PRECISION)
    }

    fn step(&self, mean: f64, variance: f64, reward: f64, weight: f64) -> f64 {
        match self.reward {
            RewardType::Binary => mode_step(mean, variance, reward, weight),
            RewardType::Real => weight * (reward - mean) / (1.0 + weight * variance),
        }
    }

    #[inline(always)]
    fn evidence_after(&self, _: f64, _: f64) -> f64 {
        0.0
    }

    fn expected_reward(&self, mean: f64) -> f64 {
        match self.reward {
            RewardType::Binary => sigmoid(mean),
            RewardType::Real => mean,
        }
    }
}

mod sealed {
    /// Sealing trait, which only the models of this crate implement.
    pub trait Sealed {}
}
