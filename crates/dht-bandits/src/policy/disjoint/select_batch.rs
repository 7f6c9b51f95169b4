//! Batched selection: one choice for each of several contexts.

use rand::Rng;

use super::Disjoint;
use crate::arm_set::{SlotSpace, Slots};
use crate::decision::{Choice, Request};
use crate::error::Result;
use crate::exploration::Exploration;
use crate::gaussian::Score;
use crate::policy::Policy;
use crate::policy::choose::{ScoredArms, choose, drawn_value};
use crate::posterior::{Beliefs, Posterior};
use crate::validate::check_finite;

/// Reusable buffer for the choices of [`Disjoint::select_batch`].
#[derive(Debug, Clone, Default)]
pub struct ChoiceBatch {
    choices: Vec<Choice>,
    scores: Vec<Score>,
}

impl ChoiceBatch {
    /// Choices, one for each context, in the order of the contexts.
    pub fn choices(&self) -> &[Choice] {
        &self.choices
    }
}

/// Number of contexts that are scored together in one block.
const CONTEXTS: usize = 96;

impl<P: Posterior, E: Exploration> Disjoint<P, E> {
    /// Chooses an arm for each of n contexts, which the request holds row-major with shape (n, d). The choices equal
    /// those of [`select`](Self::select) called row by row with the same generator, bit for bit.
    ///
    /// The covariance factor of each arm is multiplied with all contexts in one matrix product, and so is read from
    /// memory once for many contexts. Batching is faster from a few contexts on, and most if the policy does not fit
    /// into the cache. A call does not allocate if `batch` has already held results of this size.
    ///
    /// # Errors
    /// Fails as [`select`](Self::select) does; `batch` is empty then.
    ///
    /// # Examples
    /// ```
    /// use dht_bandits::{LinUcb, Request, Ridge, Ucb, policy::ChoiceBatch};
    /// use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
    ///
    /// let policy = LinUcb::new(2, 3, Ridge::default(), Ucb { alpha: 0.5 })?;
    /// let contexts = [1.0, 0.2, 1.0, 0.7, 1.0, -0.4];
    /// let mut batch = ChoiceBatch::default();
    /// policy.select_batch(&Request::new(&contexts), &mut ChaCha8Rng::seed_from_u64(7), &mut batch)?;
    /// assert_eq!(batch.choices().len(), 3);
    /// # Ok::<(), dht_bandits::Error>(())
    /// ```
    pub fn select_batch<R: Rng + ?Sized>(
        &self,
        request: &Request<'_>,
        rng: &mut R,
        batch: &mut ChoiceBatch,
    ) -> Result<()> {
        batch.choices.clear();
        let Request { context: contexts, actions } = *request;
        let dimension = self.dimension();
        check_finite("contexts", contexts, contexts.len() / dimension * dimension)?;
        let mut space = SlotSpace::default();
        let slots = self.arms.resolve(actions.available(), &mut space)?;
        let width = slots.count();
        for contexts in contexts.chunks(CONTEXTS * dimension) {
            batch.scores.resize(contexts.len() / dimension * width, Score { mean: 0.0, width: 0.0 });
            self.posterior.score_batch(slots, contexts, &mut batch.scores);
            for scores in batch.scores.chunks_exact(width) {
                let arms = ComputedScores { posterior: &self.posterior, slots, scores };
                match choose::<false, _, _, _>(&arms, self.exploration(), self.version(), rng)
                    .map(|choice| self.choice(choice))
                {
                    Ok(choice) => batch.choices.push(choice),
                    Err(error) => {
                        batch.choices.clear();
                        return Err(error);
                    }
                }
            }
        }
        Ok(())
    }
}

/// Available arms of a policy with precomputed scores, one for each slot.
struct ComputedScores<'a, B> {
    posterior: &'a B,
    slots: Slots<'a>,
    scores: &'a [Score],
}

impl<B: Beliefs> ScoredArms for ComputedScores<'_, B> {
    fn count(&self) -> usize {
        self.scores.len()
    }

    fn fold<T>(&self, first: T, mut gather: impl FnMut(T, usize, Score) -> T) -> T {
        self.slots.iter().zip(self.scores).fold(first, |folded, (slot, &score)| gather(folded, slot, score))
    }

    #[inline(always)]
    fn value<E: Exploration, R: Rng + ?Sized>(
        &self,
        rule: &E,
        learned: u64,
        slot: usize,
        score: Score,
        rng: &mut R,
    ) -> f64 {
        drawn_value(self.posterior, rule, learned, slot, score, rng)
    }

    fn at(&self, position: usize) -> (usize, Score) {
        (self.slots.iter().nth(position).unwrap_or_default(), self.scores[position])
    }
}
