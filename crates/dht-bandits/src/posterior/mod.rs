//! Posteriors: Gaussian beliefs about the weights of each arm, updated by rewards.
//!
//! | posterior | score of an arm | update | source |
//! |---|---|---|---|
//! | [`Ridge`] | O(d²) | O(d²) | θ = A⁻¹b, A = λI + Σwxx', Li et al. (2010); factored after Bierman (1977) |
//! | [`DiscountedRidge`] | O(d²) | O(d²), now and then O(d³) | ridge regression with evidence that decays by one clock for all arms, Russac et al. (2019) |
//! | [`NormalInverseGamma`] | O(d²) | O(d²) | ridge regression with learned variance of the noise, Bishop (2006), section 2.3.6 |
//! | [`FullLaplace`] | O(d²) | O(d²) | mode and curvature of a logistic regression |
//! | [`DiagonalLaplace`] | O(d) | O(d) | Chapelle & Li (2011), Algorithm 3 |

mod batch;
mod diagonal_kernel;
mod diagonal_laplace;
mod discounted_ridge;
mod dual_newton;
mod full_laplace;
mod logistic;
mod newton;
mod normal_inverse_gamma;
mod prior;
mod ridge;

use crate::arm_set::Slots;
use crate::error::Result;
use crate::gaussian::NaturalParameters;
use rand::Rng;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use crate::clock::Forgetting;
pub use crate::gaussian::Score;
pub(crate) use batch::{Sample, UpdateBatch};
pub use diagonal_laplace::{DiagonalLaplace, DiagonalLaplaceOptions};
pub use discounted_ridge::{DecayClock, DiscountedRidge, DiscountedRidgeOptions};
pub use full_laplace::{FullLaplace, FullLaplaceOptions};
#[doc(hidden)]
pub use logistic::sigmoid;
pub use normal_inverse_gamma::{NormalInverseGamma, NormalInverseGammaOptions};
pub use prior::TsPrior;
pub(crate) use ridge::RidgeArmState;
pub use ridge::{Ridge, RidgeOptions};

/// Gaussian beliefs about the weights of many arms, scored in a context and updated by rewards.
///
/// Arms are slots here; [`Disjoint`](crate::policy::Disjoint) and [`TopK`](crate::policy::TopK) map their ids to slots.
/// The trait is sealed: its methods trust that slots exist and contexts are finite and of the right length.
pub trait Posterior: Clone + std::fmt::Debug + Send + Sync + sealed::Sealed + 'static {
    /// The settings.
    type Options: Clone + std::fmt::Debug + PartialEq + Serialize + DeserializeOwned;

    /// The learned state of one arm, independent of the memory layout.
    type ArmState: Clone + std::fmt::Debug + PartialEq + Serialize + DeserializeOwned;

    /// The name in saved states.
    const NAME: &'static str;

    /// `true` if the variance of the noise is learned, so that draws are Student's t.
    #[doc(hidden)]
    const LEARNS_NOISE: bool = false;

    #[doc(hidden)]
    fn empty(dimension: usize, options: &Self::Options) -> Result<Self>;

    #[doc(hidden)]
    fn options(&self) -> &Self::Options;

    #[doc(hidden)]
    fn dimension(&self) -> usize;

    /// Reserves memory for `arms` more arms, so that adding them cannot fail; refuses memory that cannot be allocated.
    #[doc(hidden)]
    fn reserve(&mut self, arms: usize) -> Result<()>;

    #[doc(hidden)]
    fn push_prior(&mut self);

    /// Resets a slot to the prior.
    #[doc(hidden)]
    fn reset(&mut self, slot: usize);

    #[doc(hidden)]
    fn push_copy(&mut self, slot: usize);

    #[doc(hidden)]
    fn copy(&mut self, from: usize, to: usize);

    #[doc(hidden)]
    fn swap_remove(&mut self, slot: usize);

    #[doc(hidden)]
    fn score(&self, slot: usize, context: &[f64]) -> Score;

    /// Folds over the scores of slots in ascending order. The accumulator is passed by value, so that it stays in
    /// registers; a reference would cost a read and a write per arm.
    #[doc(hidden)]
    fn fold<T>(&self, slots: Slots<'_>, context: &[f64], first: T, gather: impl FnMut(T, usize, Score) -> T) -> T;

    /// Computes mean and width of each slot in each context; contexts and scores, shape (contexts, slots), are
    /// row-major.
    #[doc(hidden)]
    fn score_batch(&self, slots: Slots<'_>, contexts: &[f64], scores: &mut [Score]) {
        for (context, row) in contexts.chunks_exact(self.dimension()).zip(scores.chunks_exact_mut(slots.count())) {
            self.fold(slots, context, 0, |position, _, score| {
                row[position] = score;
                position + 1
            });
        }
    }

    /// Score with a width from drawn noise, if the noise is learned.
    #[doc(hidden)]
    #[inline(always)]
    fn drawn<R: Rng + ?Sized>(&self, _slot: usize, score: Score, _rng: &mut R) -> Score {
        score
    }

    /// Degrees of freedom of a drawn score: infinite for a Gaussian.
    #[doc(hidden)]
    fn freedom(&self, _slot: usize) -> f64 {
        f64::INFINITY
    }

    #[doc(hidden)]
    fn check_reward(&self, reward: f64) -> Result<()>;

    #[doc(hidden)]
    fn update(&mut self, slot: usize, context: &[f64], reward: f64, weight: f64) -> Result<()>;

    /// Learns several rewards of one arm; after an error the caller restores it. `contexts` is row-major.
    #[doc(hidden)]
    fn update_batch(&mut self, slot: usize, contexts: &[f64], rewards: &[f64], weights: &[f64]) -> Result<()> {
        let rows = contexts.chunks_exact(self.dimension());
        for ((context, &reward), &weight) in rows.zip(rewards).zip(weights) {
            self.update(slot, context, reward, weight)?;
        }
        Ok(())
    }

    /// Returns whether updates move a clock shared by all arms, so that a batch is learned in the order of arrival.
    #[doc(hidden)]
    fn counts_updates(&self) -> bool {
        false
    }

    /// Reading of a clock shared by all arms, to be restored after a failed batch.
    #[doc(hidden)]
    fn now(&self) -> f64 {
        0.0
    }

    #[doc(hidden)]
    fn set_now(&mut self, _now: f64) {}

    /// Draws θ̃ ~ N(θ, scale²·P) of one slot into `out`.
    #[doc(hidden)]
    fn draw(&self, slot: usize, scale: f64, normal: &mut dyn FnMut() -> f64, out: &mut [f64]);

    /// Writes to `out` the coefficients g of a draw's normals in the score of a context: score = mean + g'z with z ~
    /// N(0, I), where [`draw`](Self::draw) draws with this scale.
    #[doc(hidden)]
    fn deviations(&self, slot: usize, scale: f64, context: &[f64], out: &mut [f64]);

    #[doc(hidden)]
    fn arm_state(&self, slot: usize) -> Self::ArmState;

    /// Refuses to add evidence that decays, since it is not a sum.
    #[doc(hidden)]
    fn check_sums(&self) -> Result<()> {
        Ok(())
    }

    /// Natural parameters of one slot, which add when independent evidence is merged.
    #[doc(hidden)]
    fn natural_parameters(&self, slot: usize) -> NaturalParameters;

    /// Natural parameters of the prior.
    #[doc(hidden)]
    fn prior_parameters(&self) -> NaturalParameters;

    /// Learned state with these natural parameters.
    #[doc(hidden)]
    fn state_with(&self, parameters: &NaturalParameters) -> Result<Self::ArmState>;

    /// Replaces the posterior of a slot by a state that was checked to fit.
    #[doc(hidden)]
    fn replace(&mut self, slot: usize, state: &Self::ArmState);

    #[doc(hidden)]
    fn push_state(&mut self, index: usize, state: &Self::ArmState) -> Result<()>;
}

/// Copies the posterior of one slot, to try operations that may be refused.
///
/// # Errors
/// Memory that cannot be allocated.
pub(crate) fn copy_of_slot<P: Posterior>(posterior: &P, slot: usize) -> Result<P> {
    let mut copy = P::empty(posterior.dimension(), posterior.options())?;
    copy.reserve(1)?;
    copy.set_now(posterior.now());
    copy.push_prior();
    copy.replace(0, &posterior.arm_state(slot));
    Ok(copy)
}

/// Generates the methods of a [`Posterior`] that score and draw, for types whose field `factors` does both.
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
use scored_by_factors;

mod sealed {
    /// Sealing trait, implemented by the posteriors of this crate.
    pub trait Sealed {}
}
