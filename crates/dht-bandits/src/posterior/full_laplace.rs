//! Bayesian logistic regressions, one per arm, under a Laplace approximation with a full covariance.

use serde::{Deserialize, Serialize};

use super::beliefs::{Beliefs, posterior, scored_by_factors};
use super::logistic::{check_unit_reward, curvature, mode_step, sigmoid};
use crate::arm_set::Slots;
use crate::error::Result;
use crate::gaussian::{
    FactoredGaussian, Factors, Information, NaturalParameters, Score, check_dimension, information_of, parts_of,
};
use crate::options::options;
use crate::validate::{check_bounded, check_context, check_factor, check_precision};

/// Logistic regressions P(r = 1) = σ(p'x), one per arm, with weights p ~ N(θ, P) and a full covariance P.
///
/// Each observation (x, r) with weight w moves θ to the exact mode of its posterior. This mode is on the line θ + c·Px,
/// and the observation adds the curvature at the mode: P⁻¹ ← P⁻¹ + w·σ(1 − σ)·xx'. A score and an update cost O(d²).
/// The observations of a batch are learned one by one. Means and widths are log-odds. For UCB and Thompson sampling,
/// log-odds rank the arms in the same order as probabilities.
///
/// The cost of O(d²) is worthwhile for correlated features. For many independent features,
/// [`DiagonalLaplace`](crate::posterior::DiagonalLaplace) costs O(d).
///
/// ```
/// use dht_bandits::posterior::{FullLaplace, sigmoid};
/// use dht_bandits::{ArmId, Policy, Ucb, policy::Disjoint};
///
/// let mut policy = Disjoint::<FullLaplace, _>::new(2, 2, FullLaplace::new(1.0), Ucb { alpha: 0.25 })?;
/// for _ in 0..20 {
///     policy.update(ArmId::new(0), &[1.0, 1.0], 1.0, 1.0)?; // clicks
/// }
/// let probability = |arm, context: &[f64]| Ok::<_, dht_bandits::Error>(sigmoid(policy.score(arm, context)?.mean));
/// assert!(probability(ArmId::new(0), &[1.0, 1.0])? > 0.8);
/// assert_eq!(probability(ArmId::new(1), &[1.0, 1.0])?, 0.5); // without rewards
/// # Ok::<(), dht_bandits::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct FullLaplace {
    /// Prior precision λ > 0: each weight is N(0, 1/λ).
    #[serde(alias = "precision")]
    pub prior_precision: f64,
}

options!(FullLaplace::new(prior_precision / with_prior_precision: f64 = 1.0) {});

/// Learned beliefs of [`FullLaplace`].
#[derive(Debug, Clone)]
pub struct FullLaplaceBeliefs {
    options: FullLaplace,
    factors: Factors,
}

/// Learned state of one arm of [`FullLaplace`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FullArmState {
    /// Posterior mean θ of the weights.
    pub mean: Vec<f64>,
    /// Diagonal D of the covariance P = U·D·Uᵀ.
    pub diagonal: Vec<f64>,
    /// Part of U above its unit diagonal, column by column, where the covariance is U·D·Uᵀ.
    pub upper: Vec<f64>,
}

/// Smallest curvature that an update adds, chosen so that its inverse is finite.
const LEAST_CURVATURE: f64 = 1e-300;

posterior!(FullLaplace, "full-laplace", FullLaplaceBeliefs);

impl Beliefs for FullLaplaceBeliefs {
    type Options = FullLaplace;
    type ArmState = FullArmState;

    fn empty(dimension: usize, options: &FullLaplace) -> Result<Self> {
        check_dimension(dimension)?;
        check_precision("prior_precision", options.prior_precision)?;
        Ok(Self { options: *options, factors: Factors::new(dimension) })
    }

    fn options(&self) -> &FullLaplace {
        &self.options
    }

    scored_by_factors!();

    fn reserve(&mut self, arms: usize) -> Result<()> {
        self.factors.reserve(arms)
    }

    fn push_prior(&mut self) {
        self.factors.push(1.0 / self.options.prior_precision);
    }

    fn reset(&mut self, slot: usize) {
        self.factors.reset(slot, 1.0 / self.options.prior_precision);
    }

    fn push_copy(&mut self, slot: usize) {
        self.factors.push_copy(slot);
    }

    fn copy(&mut self, from: usize, to: usize) {
        self.factors.copy(from, to);
    }

    fn swap_remove(&mut self, slot: usize) {
        self.factors.swap_remove(slot);
    }

    fn expected_reward(&self, mean: f64) -> f64 {
        sigmoid(mean)
    }

    fn check_reward(&self, reward: f64) -> Result<()> {
        check_unit_reward(reward)
    }

    fn update(&mut self, slot: usize, context: &[f64], reward: f64, weight: f64) -> Result<()> {
        check_context(context)?;
        let projected = self.factors.project(slot, context);
        let largest = self.factors.largest_projected();
        check_bounded("mean", projected.mean)?;
        check_bounded("variance", projected.variance)?;
        check_bounded("weight times variance", weight * projected.variance)?;
        check_bounded("factor times context", largest)?;
        check_bounded("weight times factor times context", weight * largest)?;
        let step = mode_step(projected.mean, projected.variance, reward, weight);
        let added = weight * curvature(projected.mean + step * projected.variance);
        self.factors.rank_one_update(slot, added.max(LEAST_CURVATURE), step);
        Ok(())
    }

    fn arm_state(&self, slot: usize) -> FullArmState {
        let FactoredGaussian { mean, diagonal, upper } = self.factors.parts(slot);
        FullArmState { mean, diagonal, upper }
    }

    fn natural_parameters(&self, slot: usize) -> NaturalParameters {
        information_of(&self.factors.parts(slot)).natural_parameters(0)
    }

    fn prior_parameters(&self) -> NaturalParameters {
        Information::prior(self.dimension(), self.options.prior_precision).natural_parameters(0)
    }

    fn state_with(&self, parameters: &NaturalParameters) -> Result<FullArmState> {
        let FactoredGaussian { mean, diagonal, upper } = parts_of(&parameters.precision, &parameters.moment)?;
        check_factor(0, &mean, &diagonal, &upper)?;
        Ok(FullArmState { mean, diagonal, upper })
    }

    fn replace(&mut self, slot: usize, state: &FullArmState) {
        self.factors.set(slot, &state.mean, &state.diagonal, &state.upper);
    }

    fn push_state(&mut self, index: usize, state: &FullArmState) -> Result<()> {
        crate::gaussian::check(self.dimension(), index, &state.mean, &state.diagonal, &state.upper)?;
        self.reserve(1)?;
        self.push_prior();
        self.replace(self.factors.len() - 1, state);
        Ok(())
    }
}
