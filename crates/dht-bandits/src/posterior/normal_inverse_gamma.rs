//! Ridge regressions that learn the variance of the noise: a normal-inverse-gamma posterior for each arm.

use rand::Rng;
use rand_distr::{Distribution, Gamma};
use serde::{Deserialize, Serialize};

use super::beliefs::{Beliefs, posterior};
use super::ridge::{Ridge, RidgeArmState, RidgeBeliefs};
use crate::arm_set::Slots;
use crate::error::{Error, Result};
use crate::gaussian::{NaturalParameters, Score};
use crate::options::options;
use crate::validate::{LARGEST_SUM, check_bounded, check_parameter, check_sum, reserve};

/// Ridge regressions that learn the variance σ² of their noise: weights θ | σ² ~ N(m, σ²A⁻¹), σ² ~ IG(a, b), one per
/// arm.
///
/// The mean m and precision A of the weights are learned as in [`Ridge`]. For an observation x with reward r and weight
/// w, the inverse-gamma parameters become a ← a + w/2 and b ← b + ½w(r − m'x)²/(1 + w·x'A⁻¹x), with m and A before the
/// update. This is exact (Bishop 2006, section 2.3.6; Riquelme, Tucker & Snoek 2018, section 3.1, "linear methods").
///
/// The width is √(b/a · x'A⁻¹x), so that the exploration factor α need not be matched to the scale of rewards. Under
/// [`Thompson`](crate::Thompson), σ² is drawn first, so that an arm's value has Student's t distribution with 2a
/// degrees of freedom. The cost is O(d²). Shared weights, merging and forgetting are refused, since the sum of squares
/// that they need is not stored.
///
/// ```
/// use dht_bandits::posterior::NormalInverseGamma;
/// use dht_bandits::{ArmId, Policy, Thompson, policy::Disjoint};
///
/// // Width of an arm after 100 rewards of ±noise.
/// let width = |noise: f64| -> dht_bandits::Result<f64> {
///     let options = NormalInverseGamma::default();
///     let mut policy = Disjoint::<NormalInverseGamma, _>::new(1, 1, options, Thompson { alpha: 1.0 })?;
///     for round in 0..100 {
///         let reward = if round % 2 == 0 { noise } else { -noise };
///         policy.update(ArmId::new(0), &[1.0], reward, 1.0)?;
///     }
///     Ok(policy.score(ArmId::new(0), &[1.0])?.width)
/// };
/// assert!(width(10.0)? > 5.0 * width(1.0)?);
/// # Ok::<(), dht_bandits::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct NormalInverseGamma {
    /// Prior precision λ > 0 of the weights, relative to the precision of the noise: θ ~ N(0, (σ²/λ)·I).
    pub prior_precision: f64,
    /// Shape a₀ ≥ 1 of the inverse-gamma prior σ² ~ IG(a₀, b₀) of the noise variance. This prior counts as much as 2a₀
    /// observations.
    pub shape: f64,
    /// Rate b₀ > 0 of the inverse-gamma prior of the noise variance; b₀/a₀ is the initial estimate of the variance.
    pub rate: f64,
}

options!(NormalInverseGamma::new(prior_precision / with_prior_precision: f64 = 1.0) {
    shape / with_shape: f64 = 1.0,
    rate / with_rate: f64 = 1.0,
});

/// Learned beliefs of [`NormalInverseGamma`].
#[derive(Debug, Clone)]
pub struct NormalInverseGammaBeliefs {
    options: NormalInverseGamma,
    ridge: RidgeBeliefs,
    // Shape a and rate b by slot.
    noise: Vec<(f64, f64)>,
}

/// Learned state of one arm of [`NormalInverseGamma`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NormalInverseGammaArmState {
    /// State of the arm's ridge regression: the posterior of its weights.
    pub ridge: RidgeArmState,
    /// Shape a of the inverse-gamma posterior of the noise variance.
    pub shape: f64,
    /// Rate b of the inverse-gamma posterior of the noise variance.
    pub rate: f64,
}

impl NormalInverseGammaBeliefs {
    /// Multiplies the width of a score by √(b/a), the estimated standard deviation of the noise.
    fn scaled(&self, slot: usize, score: Score) -> Score {
        let (shape, rate) = self.noise[slot];
        Score { mean: score.mean, width: score.width * (rate / shape).sqrt() }
    }

    fn refused() -> Error {
        Error::Settings { problem: "learned noise does not merge: the sum of squares is missing".to_owned() }
    }
}

posterior!(NormalInverseGamma, "normal-inverse-gamma", NormalInverseGammaBeliefs);

impl Beliefs for NormalInverseGammaBeliefs {
    type Options = NormalInverseGamma;
    type ArmState = NormalInverseGammaArmState;

    const LEARNS_NOISE: bool = true;

    fn empty(dimension: usize, options: &NormalInverseGamma) -> Result<Self> {
        check_parameter("shape", options.shape, (1.0..=1e100).contains(&options.shape), "from 1 to 1e100")?;
        check_parameter("rate", options.rate, (1e-100..=1e100).contains(&options.rate), "from 1e-100 to 1e100")?;
        let prior_precision = options.prior_precision;
        let ridge = Ridge { prior_precision, decay: 1.0, keep_information: false };
        Ok(Self { options: *options, ridge: RidgeBeliefs::empty(dimension, &ridge)?, noise: Vec::new() })
    }

    fn options(&self) -> &NormalInverseGamma {
        &self.options
    }

    fn dimension(&self) -> usize {
        self.ridge.dimension()
    }

    fn reserve(&mut self, arms: usize) -> Result<()> {
        reserve("noise of the arms", &mut self.noise, Some(arms))?;
        self.ridge.reserve(arms)
    }

    fn push_prior(&mut self) {
        self.ridge.push_prior();
        self.noise.push((self.options.shape, self.options.rate));
    }

    fn reset(&mut self, slot: usize) {
        self.ridge.reset(slot);
        self.noise[slot] = (self.options.shape, self.options.rate);
    }

    fn push_copy(&mut self, slot: usize) {
        self.ridge.push_copy(slot);
        self.noise.push(self.noise[slot]);
    }

    fn copy(&mut self, from: usize, to: usize) {
        self.ridge.copy(from, to);
        self.noise[to] = self.noise[from];
    }

    fn swap_remove(&mut self, slot: usize) {
        self.ridge.swap_remove(slot);
        self.noise.swap_remove(slot);
    }

    fn score(&self, slot: usize, context: &[f64]) -> Score {
        self.scaled(slot, self.ridge.score(slot, context))
    }

    fn fold<T>(&self, slots: Slots<'_>, context: &[f64], first: T, mut gather: impl FnMut(T, usize, Score) -> T) -> T {
        self.ridge.fold(slots, context, first, |folded, slot, score| gather(folded, slot, self.scaled(slot, score)))
    }

    fn drawn<R: Rng + ?Sized>(&self, slot: usize, score: Score, rng: &mut R) -> Score {
        // σ² is b/G with G ~ Gamma(a, 1), relative to the b/a in the width.
        let shape = self.noise[slot].0;
        let gamma = Gamma::new(shape, 1.0).map_or(f64::NAN, |gamma| gamma.sample(rng));
        Score { mean: score.mean, width: score.width * (shape / gamma).sqrt() }
    }

    fn freedom(&self, slot: usize) -> f64 {
        2.0 * self.noise[slot].0
    }

    fn check_reward(&self, reward: f64) -> Result<()> {
        self.ridge.check_reward(reward)
    }

    fn update(&mut self, slot: usize, context: &[f64], reward: f64, weight: f64) -> Result<()> {
        let score = self.ridge.score(slot, context).checked()?;
        let residual = reward - score.mean;
        check_bounded("residual", residual)?;
        let (shape, rate) = self.noise[slot];
        let after = (
            shape + 0.5 * weight,
            rate + 0.5 * weight * (residual * (residual / (1.0 + weight * score.width * score.width))),
        );
        check_sum("shape of the noise", after.0)?;
        check_sum("rate of the noise", after.1)?;
        self.ridge.update(slot, context, reward, weight)?;
        self.noise[slot] = after;
        Ok(())
    }

    fn draw(&self, slot: usize, scale: f64, normal: &mut dyn FnMut() -> f64, out: &mut [f64]) {
        let (shape, rate) = self.noise[slot];
        self.ridge.draw(slot, scale * (rate / shape).sqrt(), normal, out);
    }

    fn deviations(&self, slot: usize, scale: f64, context: &[f64], out: &mut [f64]) {
        let (shape, rate) = self.noise[slot];
        self.ridge.deviations(slot, scale * (rate / shape).sqrt(), context, out);
    }

    fn arm_state(&self, slot: usize) -> NormalInverseGammaArmState {
        let (shape, rate) = self.noise[slot];
        NormalInverseGammaArmState { ridge: self.ridge.arm_state(slot), shape, rate }
    }

    fn check_sums(&self) -> Result<()> {
        Err(Self::refused())
    }

    fn natural_parameters(&self, slot: usize) -> NaturalParameters {
        self.ridge.natural_parameters(slot)
    }

    fn prior_parameters(&self) -> NaturalParameters {
        self.ridge.prior_parameters()
    }

    fn state_with(&self, _: &NaturalParameters) -> Result<NormalInverseGammaArmState> {
        Err(Self::refused())
    }

    fn decayed_state(&self, slot: usize, decay: f64) -> Result<NormalInverseGammaArmState> {
        let (NormalInverseGamma { shape, rate, .. }, (a, b)) = (self.options, self.noise[slot]);
        let toward = |value: f64, prior: f64| prior + decay * (value - prior);
        let ridge = self.ridge.decayed_state(slot, decay)?;
        Ok(NormalInverseGammaArmState { ridge, shape: toward(a, shape), rate: toward(b, rate) })
    }

    fn replace(&mut self, slot: usize, state: &NormalInverseGammaArmState) {
        self.ridge.replace(slot, &state.ridge);
        self.noise[slot] = (state.shape, state.rate);
    }

    fn push_state(&mut self, index: usize, state: &NormalInverseGammaArmState) -> Result<()> {
        for (what, value, least) in [("shape", state.shape, 1.0), ("rate", state.rate, 1e-100)] {
            if !(least..=LARGEST_SUM).contains(&value) {
                let problem = format!("{what} is {value}, expected from {least:e} to {LARGEST_SUM:e}");
                return Err(Error::InvalidState { what: "noise of arm", index, problem });
            }
        }
        reserve("noise of the arms", &mut self.noise, Some(1))?;
        self.ridge.push_state(index, &state.ridge)?;
        self.noise.push((state.shape, state.rate));
        Ok(())
    }
}
