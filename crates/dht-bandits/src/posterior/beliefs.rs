//! Traits of posteriors: settings, and the learned beliefs about many arms.

use rand::Rng;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::arm_set::Slots;
use crate::error::Result;
use crate::gaussian::{NaturalParameters, Score};

/// Model of an arm's reward with a Gaussian posterior over its weights. The type selects the model, and a value holds
/// its settings: `Disjoint::new(dimension, arms, Ridge::new(1.0), rule)`. The trait is sealed.
pub trait Posterior:
    Clone + std::fmt::Debug + PartialEq + Send + Sync + Serialize + DeserializeOwned + sealed::Sealed + 'static
{
    /// Learned beliefs about the arms.
    #[doc(hidden)]
    type Beliefs: Beliefs<Options = Self>;

    /// Name of the posterior in saved states.
    const NAME: &'static str;
}

/// Implements [`Posterior`] and its sealing trait for a settings type.
macro_rules! posterior {
    ($settings:ident, $name:literal, $beliefs:ident) => {
        impl $crate::posterior::beliefs::sealed::Sealed for $settings {}

        impl $crate::posterior::Posterior for $settings {
            type Beliefs = $beliefs;

            const NAME: &'static str = $name;
        }
    };
}
pub(super) use posterior;

/// Gaussian beliefs about the weights of many arms: the learned state of a [`Posterior`]. Beliefs score arms in a
/// context and are updated by rewards.
///
/// Arms are numbered by slots, their positions in memory; policies map arm ids to slots. Callers must check that slots
/// exist, and that contexts are finite and have the right length.
pub trait Beliefs: Clone + std::fmt::Debug + Send + Sync + 'static {
    /// Settings of the posterior.
    type Options: Posterior<Beliefs = Self>;

    /// Learned state of one arm, independent of the memory layout.
    type ArmState: Clone + std::fmt::Debug + PartialEq + Serialize + DeserializeOwned;

    /// `true` if the variance of the noise is learned, so that Thompson sampling draws from Student's t distributions.
    const LEARNS_NOISE: bool = false;

    fn empty(dimension: usize, options: &Self::Options) -> Result<Self>;

    fn options(&self) -> &Self::Options;

    fn dimension(&self) -> usize;

    /// Reserves memory for `arms` more arms, so that adding them cannot fail.
    ///
    /// # Errors
    /// Fails if memory cannot be allocated.
    fn reserve(&mut self, arms: usize) -> Result<()>;

    fn push_prior(&mut self);

    /// Resets the arm in a slot to the prior.
    fn reset(&mut self, slot: usize);

    fn push_copy(&mut self, slot: usize);

    fn copy(&mut self, from: usize, to: usize);

    fn swap_remove(&mut self, slot: usize);

    fn score(&self, slot: usize, context: &[f64]) -> Score;

    /// Folds a function over the scores of several slots, in ascending order of the slots. The accumulator is passed by
    /// value, so that it stays in registers. A reference would cost a read and a write per arm.
    fn fold<T>(&self, slots: Slots<'_>, context: &[f64], first: T, gather: impl FnMut(T, usize, Score) -> T) -> T;

    /// Computes the mean and width of each slot in each context. Contexts are row-major. Scores have the shape
    /// (contexts, slots), row-major.
    fn score_batch(&self, slots: Slots<'_>, contexts: &[f64], scores: &mut [Score]) {
        for (context, row) in contexts.chunks_exact(self.dimension()).zip(scores.chunks_exact_mut(slots.count())) {
            self.fold(slots, context, 0, |position, _, score| {
                row[position] = score;
                position + 1
            });
        }
    }

    /// Converts the mean of a score to an expected reward, ignoring the width: σ(mean) for logistic models.
    fn expected_reward(&self, mean: f64) -> f64 {
        mean
    }

    /// Draws a variance of the noise at random, and replaces the width of a score by the width under this variance.
    /// Without learned noise, the score is returned unchanged.
    #[inline(always)]
    fn drawn<R: Rng + ?Sized>(&self, _slot: usize, score: Score, _rng: &mut R) -> Score {
        score
    }

    /// Degrees of freedom of a score drawn by Thompson sampling; infinite for a Gaussian.
    fn freedom(&self, _slot: usize) -> f64 {
        f64::INFINITY
    }

    fn check_reward(&self, reward: f64) -> Result<()>;

    fn update(&mut self, slot: usize, context: &[f64], reward: f64, weight: f64) -> Result<()>;

    /// Learns several rewards of one arm. `contexts` is row-major. After an error the arm may be partly updated, and
    /// the caller restores it.
    fn update_batch(&mut self, slot: usize, contexts: &[f64], rewards: &[f64], weights: &[f64]) -> Result<()> {
        let rows = contexts.chunks_exact(self.dimension());
        for ((context, &reward), &weight) in rows.zip(rewards).zip(weights) {
            self.update(slot, context, reward, weight)?;
        }
        Ok(())
    }

    /// Returns whether updates advance a clock that all arms share. A batch is then learned in the order of arrival.
    fn counts_updates(&self) -> bool {
        false
    }

    /// Reading of the clock that all arms share, for restoring it after a failed batch.
    fn now(&self) -> f64 {
        0.0
    }

    fn set_now(&mut self, _now: f64) {}

    /// Draws weights θ̃ ~ N(θ, scale²·P) from the posterior of one slot, with mean θ and covariance P, and writes them
    /// to `out`.
    fn draw(&self, slot: usize, scale: f64, normal: &mut dyn FnMut() -> f64, out: &mut [f64]);

    /// Writes coefficients g to `out` such that a posterior [`draw`](Self::draw) with this scale gives the context the
    /// score mean + g'z. The vector z ~ N(0, I) contains the normal numbers of the draw.
    fn deviations(&self, slot: usize, scale: f64, context: &[f64], out: &mut [f64]);

    fn arm_state(&self, slot: usize) -> Self::ArmState;

    /// Fails if evidence decays, since decayed evidence is not a sum and cannot be merged.
    fn check_sums(&self) -> Result<()> {
        Ok(())
    }

    /// Natural parameters of one slot's posterior, for merging independent evidence by addition.
    fn natural_parameters(&self, slot: usize) -> NaturalParameters;

    /// Natural parameters of the prior.
    fn prior_parameters(&self) -> NaturalParameters;

    /// Converts natural parameters to the learned state of an arm.
    fn state_with(&self, parameters: &NaturalParameters) -> Result<Self::ArmState>;

    /// Learned state of a slot after its evidence is multiplied by `decay`. The prior keeps its weight.
    fn decayed_state(&self, slot: usize, decay: f64) -> Result<Self::ArmState> {
        self.state_with(&self.natural_parameters(slot).decayed(decay, &self.prior_parameters()))
    }

    /// Replaces the posterior of a slot by a state that the caller has checked.
    fn replace(&mut self, slot: usize, state: &Self::ArmState);

    fn push_state(&mut self, index: usize, state: &Self::ArmState) -> Result<()>;
}

/// Learned state of one arm under the posterior `P`.
pub type ArmState<P> = <<P as Posterior>::Beliefs as Beliefs>::ArmState;

/// Copies the posterior of one slot, so that an operation that may fail can be tried on the copy.
///
/// # Errors
/// Fails if memory cannot be allocated.
pub(crate) fn copy_of_slot<B: Beliefs>(posterior: &B, slot: usize) -> Result<B> {
    let mut copy = B::empty(posterior.dimension(), posterior.options())?;
    copy.reserve(1)?;
    copy.set_now(posterior.now());
    copy.push_prior();
    copy.replace(0, &posterior.arm_state(slot));
    Ok(copy)
}

/// Generates the methods of a [`Posterior`] that score and draw, by delegation to the field `factors`.
macro_rules! scored_by_factors {
    () => {
        fn dimension(&self) -> usize {
            self.factors.dimension()
        }

        fn score(&self, slot: usize, context: &[f64]) -> Score {
            self.factors.score(slot, context)
        }

        fn fold<T>(&self, slots: Slots<'_>, context: &[f64], first: T, gather: impl FnMut(T, usize, Score) -> T) -> T {
            self.factors.fold(slots, context, first, gather)
        }

        fn score_batch(&self, slots: Slots<'_>, contexts: &[f64], scores: &mut [Score]) {
            self.factors.score_batch(slots, contexts, scores);
        }

        fn draw(&self, slot: usize, scale: f64, normal: &mut dyn FnMut() -> f64, out: &mut [f64]) {
            self.factors.draw(slot, scale, normal, out);
        }

        fn deviations(&self, slot: usize, scale: f64, context: &[f64], out: &mut [f64]) {
            self.factors.deviations(slot, scale, context, out);
        }
    };
}
pub(super) use scored_by_factors;

pub(super) mod sealed {
    /// Sealing trait, which only the posteriors of this crate implement.
    pub trait Sealed {}
}
