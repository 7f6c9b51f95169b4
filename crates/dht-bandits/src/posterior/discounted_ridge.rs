//! Ridge regressions whose evidence decays by a shared clock, so that the uncertainty of unused arms grows as well.

use serde::{Deserialize, Serialize};

use super::beliefs::{Beliefs, posterior};
use crate::arm_set::Slots;
use crate::clock::{add_counts, check_saved_count};
use crate::clock::{check_decay, read_decay};
use crate::error::{Error, Result};
use crate::gaussian::{Factors, NaturalParameters, Score, check_dimension, information_of, parts_of};
use crate::options::options;
use crate::validate::{
    check_bounded, check_context, check_factor, check_parameter, check_precision, check_scalar, reserve,
};

/// Event that advances the decay clock of a [`DiscountedRidge`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecayClock {
    /// Every update of any arm advances the clock by one step.
    #[default]
    Updates,
    /// Only [`Disjoint::elapse`](crate::policy::Disjoint::elapse) advances the clock, by the elapsed time in any unit.
    Time,
}

/// Ridge regressions whose evidence decays by one clock for all arms (D-LinUCB; Russac, Vernade & Cappé 2019, "Weighted
/// linear bandits for non-stationary environments"). An observation that is n steps old has the weight γⁿ. At step t,
/// with observation i learned at step t_i:
///
/// A = λI + Σ_i w_i γ^(t − t_i) x_i x_i', b = Σ_i w_i γ^(t − t_i) r_i x_i, θ = A⁻¹b, width² = x'A⁻¹x.
///
/// [`Ridge::decay`](crate::Ridge::decay) is another decay, by which the evidence of an arm decays only at the arm's own
/// updates. There, the uncertainty of an arm that is not chosen stays the same.
///
/// Only the updated arm is written to, in O(d²). After n steps without an update, an arm's width is its width at the
/// last update divided by γ^(n/2), but at most the prior's width |x|/√λ. The mean of the arm is its mean at the last
/// update.
///
/// The prior decays with the evidence, by half at most, until an update restores it in full in O(d³). This happens once
/// in ln 2/−ln γ steps for each arm that is still chosen, and allocates.
/// [`Disjoint::forget`](crate::policy::Disjoint::forget) with a decay of 1 restores the prior in all arms.
///
/// ```
/// use dht_bandits::posterior::DiscountedRidge;
/// use dht_bandits::{ArmId, Policy, Ucb, policy::Disjoint};
///
/// let rule = Ucb { alpha: 1.0 };
/// let mut policy = Disjoint::<DiscountedRidge, _>::new(1, 2, DiscountedRidge::new(0.9), rule)?;
/// policy.update(ArmId::new(0), &[1.0], 1.0, 1.0)?;
/// let certain = policy.score(ArmId::new(0), &[1.0])?;
/// for _ in 0..5 {
///     policy.update(ArmId::new(1), &[1.0], 0.0, 1.0)?;
/// }
/// // Arm 0 was idle: it is less certain, with the same mean.
/// let idle = policy.score(ArmId::new(0), &[1.0])?;
/// assert!(idle.width > certain.width && (idle.mean - certain.mean).abs() < 1e-12);
/// # Ok::<(), dht_bandits::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct DiscountedRidge {
    /// Prior precision λ > 0 of each weight.
    pub prior_precision: f64,
    /// Decay γ of evidence in one step of the clock. It applies to all arms, whether or not they are chosen.
    #[serde(deserialize_with = "read_decay")]
    pub decay: f64,
    /// Event that advances the decay clock by one step.
    #[serde(default)]
    pub clock: DecayClock,
}

options!(DiscountedRidge::new(decay / with_decay: f64 = 1.0) {
    prior_precision / with_prior_precision: f64 = 1.0,
    clock / with_clock: DecayClock = DecayClock::Updates,
});

/// Learned beliefs of [`DiscountedRidge`].
#[derive(Debug, Clone)]
pub struct DiscountedRidgeBeliefs {
    options: DiscountedRidge,
    factors: Factors,
    arms: Vec<Times>,
    now: f64,
    unit: Vec<f64>,
}

/// Readings of the decay clock at the last changes of an arm.
#[derive(Debug, Clone, Copy, Default)]
struct Times {
    /// Clock reading at the arm's last update. The stored covariance factor is discounted to this time.
    updated: f64,
    /// Reading of the decay clock when the arm's prior, which decays with the evidence, last had its full weight.
    restored: f64,
    updates: u64,
}

/// Learned state of one arm of [`DiscountedRidge`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiscountedArmState {
    /// Posterior mean θ of the weights.
    pub mean: Vec<f64>,
    /// Diagonal D of the covariance A⁻¹ = U·D·Uᵀ.
    pub diagonal: Vec<f64>,
    /// Part of U above its unit diagonal, column by column, where A⁻¹ = U·D·Uᵀ.
    pub upper: Vec<f64>,
    /// Reading of the decay clock when the state was saved, equal in all arms.
    pub now: f64,
    /// Reading of the decay clock at the arm's last update.
    pub updated: f64,
    /// Reading of the decay clock when the arm's prior, which decays with the evidence, last had its full weight.
    pub restored: f64,
    /// Number of updates of the arm.
    pub updates: u64,
}

/// Smallest fraction of the prior's weight that may remain before the prior is restored.
const LEAST_PRIOR: f64 = 0.5;

/// Smallest fraction of an arm's evidence that may remain. Below this fraction, the arm is reset to the prior.
const LEAST_LEFT: f64 = 1e-100;

/// Largest accepted variance of a weight, relative to its variance under the remaining prior: 1, with a tolerance for
/// rounding.
const LARGEST_VARIANCE: f64 = 1.005;

/// Largest accepted reading of the clock. Beyond it, rounding would lose single steps.
const LATEST: f64 = 4_503_599_627_370_496.0;

impl DiscountedRidgeBeliefs {
    /// Factor by which evidence decays in `steps` steps.
    fn decay_over(&self, steps: f64) -> f64 {
        self.options.decay.powf(steps)
    }

    /// Converts a score from the time of the arm's last update to the current reading of the decay clock. `prior` is
    /// the width |x|/√λ of the score under the prior, the largest possible width.
    #[inline]
    fn faded(&self, slot: usize, score: Score, prior: f64) -> Score {
        let steps = self.now - self.arms[slot].updated;
        if steps == 0.0 {
            return score;
        }
        Score { width: (score.width / self.decay_over(0.5 * steps)).min(prior.max(score.width)), ..score }
    }

    /// Width of a score under the prior, |x|/√λ.
    fn prior_width(&self, context: &[f64]) -> f64 {
        (context.iter().map(|value| value * value).sum::<f64>() / self.options.prior_precision).sqrt()
    }

    /// Computes an arm's precision A and moment b at a clock reading, with the full weight of the prior.
    fn information_at(&self, slot: usize, step: f64) -> NaturalParameters {
        let times = self.arms[slot];
        let mut parameters = information_of(&self.factors.parts(slot)).natural_parameters(times.updates);
        let decay = self.decay_over(step - times.updated);
        let missing = (1.0 - self.decay_over(step - times.restored)) * self.options.prior_precision;
        parameters.precision.iter_mut().chain(&mut parameters.moment).for_each(|value| *value *= decay);
        for coordinate in 0..self.factors.dimension() {
            parameters.precision[coordinate * (coordinate + 3) / 2] += missing;
        }
        parameters
    }

    /// Advances the clock by an elapsed time.
    ///
    /// # Errors
    /// * Fails if the time is negative or not finite.
    /// * Fails if the clock counts updates, or if its reading would exceed 2⁵².
    pub(crate) fn elapse(&mut self, time: f64) -> Result<()> {
        check_parameter("elapsed time", time, time >= 0.0, "at least 0")?;
        let by_time = self.options.clock == DecayClock::Time;
        check_parameter("elapsed time", time, by_time, "given to ridges whose clock is the time only")?;
        self.now = self.after(time)?;
        Ok(())
    }

    fn after(&self, steps: f64) -> Result<f64> {
        let now = self.now + steps;
        check_parameter("clock", now, now <= LATEST, "at most 2⁵²")?;
        Ok(now)
    }

    /// Discounts an arm's evidence to a step of the clock and restores the full weight of its prior. One rank-one
    /// update per coordinate loses no digits, however badly conditioned the precision A is.
    fn restore_prior(&mut self, slot: usize, step: f64) {
        let (times, prior_precision) = (self.arms[slot], self.options.prior_precision);
        let decay = self.decay_over(step - times.updated);
        if decay < LEAST_LEFT {
            self.factors.reset(slot, 1.0 / prior_precision);
            return;
        }
        self.factors.scale_projected(slot, 1.0 / decay);
        let missing = (1.0 - self.decay_over(step - times.restored)) * prior_precision;
        for coordinate in 0..self.unit.len() {
            self.unit[coordinate] = 1.0;
            let projected = self.factors.project(slot, &self.unit);
            let change = -missing * projected.mean / (1.0 + missing * projected.variance);
            self.factors.rank_one_update(slot, missing, change);
            self.unit[coordinate] = 0.0;
        }
    }

    /// Factor by which the standard deviations of an arm's weights have grown since its last update.
    fn growth(&self, slot: usize) -> f64 {
        let steps = self.now - self.arms[slot].updated;
        if steps <= 0.0 {
            return 1.0;
        }
        // A weight's variance must not exceed its variance under the prior.
        let most = self.factors.largest_variance(slot) * self.options.prior_precision;
        (1.0 / self.decay_over(0.5 * steps)).min(most.sqrt().recip().max(1.0))
    }

    /// Discounts an arm's evidence to a step of the clock, and learns an observation.
    fn learn(&mut self, slot: usize, step: f64, context: &[f64], reward: f64, weight: f64) -> Result<()> {
        let decay = self.decay_over(step - self.arms[slot].updated);
        let projected = self.factors.project(slot, context);
        let variance = projected.variance / decay;
        let (gain, largest) = (1.0 + weight * variance, self.factors.largest_projected());
        let change = weight * (reward - projected.mean) / gain;
        check_bounded("mean", projected.mean)?;
        check_bounded("variance", variance)?;
        check_bounded("weight times variance", weight * variance)?;
        check_bounded("factor times context", largest)?;
        check_bounded("weight times factor times context", weight * largest)?;
        check_bounded("step", change)?;
        if decay < 1.0 {
            self.factors.scale_projected(slot, 1.0 / decay);
        }
        self.factors.rank_one_update(slot, weight, change);
        Ok(())
    }
}

posterior!(DiscountedRidge, "discounted-ridge", DiscountedRidgeBeliefs);

impl Beliefs for DiscountedRidgeBeliefs {
    type Options = DiscountedRidge;
    type ArmState = DiscountedArmState;

    fn empty(dimension: usize, options: &DiscountedRidge) -> Result<Self> {
        check_dimension(dimension)?;
        check_precision("prior_precision", options.prior_precision)?;
        check_decay(options.decay)?;
        let (factors, unit) = (Factors::new(dimension), vec![0.0; dimension]);
        Ok(Self { options: *options, factors, arms: Vec::new(), now: 0.0, unit })
    }

    fn options(&self) -> &DiscountedRidge {
        &self.options
    }

    fn dimension(&self) -> usize {
        self.factors.dimension()
    }

    fn reserve(&mut self, arms: usize) -> Result<()> {
        reserve("clocks of the arms", &mut self.arms, Some(arms))?;
        self.factors.reserve(arms)
    }

    fn push_prior(&mut self) {
        self.factors.push(1.0 / self.options.prior_precision);
        self.arms.push(Times { updated: self.now, restored: self.now, updates: 0 });
    }

    fn reset(&mut self, slot: usize) {
        self.factors.reset(slot, 1.0 / self.options.prior_precision);
        self.arms[slot] = Times { updated: self.now, restored: self.now, updates: 0 };
    }

    fn push_copy(&mut self, slot: usize) {
        self.factors.push_copy(slot);
        self.arms.push(self.arms[slot]);
    }

    fn copy(&mut self, from: usize, to: usize) {
        self.factors.copy(from, to);
        self.arms[to] = self.arms[from];
    }

    fn swap_remove(&mut self, slot: usize) {
        self.factors.swap_remove(slot);
        self.arms.swap_remove(slot);
    }

    fn counts_updates(&self) -> bool {
        self.options.clock == DecayClock::Updates
    }

    fn now(&self) -> f64 {
        self.now
    }

    fn set_now(&mut self, now: f64) {
        self.now = now;
    }

    fn score(&self, slot: usize, context: &[f64]) -> Score {
        self.faded(slot, self.factors.score(slot, context), self.prior_width(context))
    }

    fn fold<T>(&self, slots: Slots<'_>, context: &[f64], first: T, mut gather: impl FnMut(T, usize, Score) -> T) -> T {
        let prior = self.prior_width(context);
        self.factors.fold(slots, context, first, |all, slot, score| gather(all, slot, self.faded(slot, score, prior)))
    }

    fn check_reward(&self, reward: f64) -> Result<()> {
        check_scalar("reward", reward)
    }

    fn update(&mut self, slot: usize, context: &[f64], reward: f64, weight: f64) -> Result<()> {
        check_context(context)?;
        let steps = if self.options.clock == DecayClock::Updates { 1.0 } else { 0.0 };
        let (now, times) = (self.after(steps)?, self.arms[slot]);
        let updates = add_counts("updates of the arm", times.updates, 1)?;
        if self.decay_over(now - times.restored) >= LEAST_PRIOR {
            self.learn(slot, now, context, reward, weight)?;
            self.arms[slot] = Times { updated: now, updates, ..times };
        } else {
            let before = self.factors.parts(slot);
            self.restore_prior(slot, now);
            self.arms[slot] = Times { updated: now, restored: now, updates };
            if let Err(error) = self.learn(slot, now, context, reward, weight) {
                self.factors.set(slot, &before.mean, &before.diagonal, &before.upper);
                self.arms[slot] = times;
                return Err(error);
            }
        }
        self.now = now;
        Ok(())
    }

    fn draw(&self, slot: usize, scale: f64, normal: &mut dyn FnMut() -> f64, out: &mut [f64]) {
        self.factors.draw(slot, scale * self.growth(slot), normal, out);
    }

    fn deviations(&self, slot: usize, scale: f64, context: &[f64], out: &mut [f64]) {
        self.factors.deviations(slot, scale * self.growth(slot), context, out);
    }

    fn arm_state(&self, slot: usize) -> DiscountedArmState {
        let (parts, Times { updated, restored, updates }) = (self.factors.parts(slot), self.arms[slot]);
        let (mean, diagonal, upper) = (parts.mean, parts.diagonal, parts.upper);
        DiscountedArmState { mean, diagonal, upper, now: self.now, updated, restored, updates }
    }

    fn check_sums(&self) -> Result<()> {
        let decay = self.options.decay;
        check_parameter("decay", decay, false, "that of a ridge without a clock where evidence is added or unlearned")
    }

    fn natural_parameters(&self, slot: usize) -> NaturalParameters {
        self.information_at(slot, self.now)
    }

    fn prior_parameters(&self) -> NaturalParameters {
        let dimension = self.dimension();
        crate::gaussian::Information::prior(dimension, self.options.prior_precision).natural_parameters(0)
    }

    fn state_with(&self, parameters: &NaturalParameters) -> Result<DiscountedArmState> {
        let parts = parts_of(&parameters.precision, &parameters.moment)?;
        check_factor(0, &parts.mean, &parts.diagonal, &parts.upper)?;
        let (now, updates) = (self.now, parameters.updates);
        let (mean, diagonal, upper) = (parts.mean, parts.diagonal, parts.upper);
        Ok(DiscountedArmState { mean, diagonal, upper, now, updated: now, restored: now, updates })
    }

    fn replace(&mut self, slot: usize, state: &DiscountedArmState) {
        self.factors.set(slot, &state.mean, &state.diagonal, &state.upper);
        self.arms[slot] = Times { updated: state.updated, restored: state.restored, updates: state.updates };
    }

    fn push_state(&mut self, index: usize, state: &DiscountedArmState) -> Result<()> {
        crate::gaussian::check(self.dimension(), index, &state.mean, &state.diagonal, &state.upper)?;
        check_saved_count("updates of arm", index, state.updates)?;
        let DiscountedArmState { now, updated, restored, .. } = *state;
        let ordered = 0.0 <= restored && restored <= updated && updated <= now && now <= LATEST;
        if !ordered || (!self.arms.is_empty() && now != self.now) {
            let problem = format!("now {now}, updated {updated}, restored {restored} are out of order, or now differs");
            return Err(Error::InvalidState { what: "clock of arm", index, problem });
        }
        let left = self.decay_over(updated - restored);
        if left < LEAST_PRIOR {
            let problem = format!("less than half of its prior is left at its last update, {updated} after {restored}");
            return Err(Error::InvalidState { what: "clock of arm", index, problem });
        }
        self.reserve(1)?;
        let (before, slot) = (self.now, self.arms.len());
        self.now = now;
        self.push_prior();
        self.replace(slot, state);
        // A larger variance could still be saved once it has decayed further, but not loaded again.
        let variance = self.factors.largest_variance(slot) * self.options.prior_precision;
        if variance * left > LARGEST_VARIANCE {
            self.swap_remove(slot);
            self.now = before;
            let most = 1.0 / left;
            let problem = format!("a weight's variance is {variance} times the prior's, expected at most {most}");
            return Err(Error::InvalidState { what: "covariance of arm", index, problem });
        }
        Ok(())
    }
}
