//! Semi-bandits, which choose slates: state, settings and learning.

use serde::{Deserialize, Serialize};

use crate::arm::ArmId;
use crate::arm_set::ArmSet;
use crate::clock::{Clock, check_epoch};
use crate::decision::{ArmFeedback, Feedback, Slate};
use crate::error::{Error, Result};
use crate::exploration::Exploration;
use crate::features::Interactions;
use crate::gaussian::Score;
use crate::policy::Policy;
use crate::posterior::{Beliefs, Posterior, Sample, UpdateBatch};
use crate::validate::{check_finite, check_length, check_parameter, check_weight};

/// Choice between separate weights for each arm and weights shared by all candidates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sharing {
    /// Separate weights for each arm. This suits a small, stable set of arms; each arm learns only from its own
    /// feedback.
    PerArm,
    /// One vector of weights for all candidates, which differ by their features. The candidates may change from request
    /// to request.
    Shared,
}

/// Scope of one random draw of the shared weights in Thompson sampling: the whole slate or one candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Draw {
    /// One draw of the weights scores every candidate. This is the definition of Thompson sampling.
    PerSlate,
    /// Each candidate's score is drawn independently, as if the errors of their estimates were uncorrelated. Slates are
    /// then more diverse.
    PerCandidate,
}

/// Method of computing a propensity if one draw of shared weights scores every candidate. No closed form exists.
///
/// ```
/// use dht_bandits::policy::{SharedPropensity, TopK};
/// use dht_bandits::{ArmId, Request, Ridge, Thompson};
/// use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
///
/// let policy = TopK::shared(2, Ridge::default(), Thompson { alpha: 0.5 })?;
/// let policy = policy.with_shared_propensity(SharedPropensity::Integral)?;
/// let (items, features) = ([4, 9].map(ArmId::new), [1.0, 0.0, 0.0, 1.0]);
/// let request = Request::new(&[]).featured(&items, &features, 2)?;
/// let slate = policy.decide_slate(1, &request, &mut ChaCha8Rng::seed_from_u64(7))?;
/// let propensity = slate.choices()[0].propensity.unwrap_or_default();
/// assert!((propensity - 0.5).abs() < 1e-9);
/// # Ok::<(), dht_bandits::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SharedPropensity {
    /// Integral for all candidates together, scaled so that the probabilities sum to the number of positions in the
    /// slate. Its cost is O(N²) for N candidates on each of 2,048 random lines through the space of weights. It suits
    /// up to about fifty candidates.
    Integral,
    /// Estimate for the chosen candidates only, at a cost of O(N·d) for each random line through the space of weights,
    /// for N candidates of d features. The standard error
    /// ([`Choice::propensity_error`](crate::Choice::propensity_error)) decreases with the number of lines.
    Estimated {
        /// Number of random lines through the space of weights over which a propensity is averaged, from 64 to 65,536.
        /// It is rounded up to a multiple of 32.
        lines: u32,
    },
    /// Computes no propensity. This suits decisions that are used only for learning, because off-policy estimators that
    /// need propensities return an error for them.
    Omitted,
}

impl Default for SharedPropensity {
    fn default() -> Self {
        Self::Estimated { lines: 2048 }
    }
}

impl SharedPropensity {
    pub(super) fn check(self) -> Result<()> {
        match self {
            Self::Estimated { lines } => {
                check_parameter("lines", f64::from(lines), (64..=1 << 16).contains(&lines), "from 64 to 65536")
            }
            Self::Integral | Self::Omitted => Ok(()),
        }
    }
}

/// Policy that chooses slates: the K candidates with the highest values, in addition to pinned arms, which the caller
/// sets (a combinatorial semi-bandit).
///
/// The algorithm is Thompson sampling for combinatorial semi-bandits (Wang & Chen 2018), with contexts as in Chapelle &
/// Li (2011). Because the logistic function σ is monotone, ranking by the probability σ(p'x) equals ranking by the
/// log-odds p'x.
///
/// ```
/// use dht_bandits::policy::{Feedback, TopK};
/// use dht_bandits::{Request, Ridge, Ucb};
/// use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
///
/// let mut policy = TopK::per_arm(1, 3, Ridge::default(), Ucb { alpha: 0.5 })?;
/// let slate = policy.decide_slate(2, &Request::new(&[1.0]), &mut ChaCha8Rng::seed_from_u64(7))?;
/// // The first arm was clicked, and the second was not observed.
/// policy.learn_slate(&slate, &[Feedback::Observed(1.0), Feedback::Unobserved])?;
/// assert!(policy.score(slate.choices()[0].arm, &[1.0])?.mean > 0.0);
/// # Ok::<(), dht_bandits::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct TopK<P: Posterior, E: Exploration> {
    pub(super) arms: ArmSet,
    pub(super) posterior: P::Beliefs,
    pub(super) exploration: E,
    pub(super) sharing: Sharing,
    pub(crate) draw: Draw,
    pub(super) interactions: Option<Interactions>,
    pub(super) shared_propensity: SharedPropensity,
    pub(super) pinned: Vec<ArmId>,
    pub(super) clock: Clock,
    pub(super) update_batch: UpdateBatch,
    // Context, features and products of the observation that is being learned, in reused memory.
    pub(super) expanded: Vec<f64>,
}

impl<P: Posterior, E: Exploration> TopK<P, E> {
    /// Creates a semi-bandit over the arms 0 to `arms` − 1, each with separate weights.
    ///
    /// # Errors
    /// Fails if the dimension is zero or too large, if there are more than 16,777,216 arms, or if a setting is out of
    /// its range. [`Error::Memory`] if the policy needs more memory than is available, or more than 1 TiB.
    pub fn per_arm(dimension: usize, arms: usize, options: P, exploration: E) -> Result<Self> {
        Self::make(dimension, arms, options, exploration, Sharing::PerArm)
    }

    /// Creates a semi-bandit whose candidates share their weights and differ by their features. A context has an effect
    /// only through its products with the features: [`with_interactions`](Self::with_interactions).
    ///
    /// Candidates may have any ids, except ids of removed arms, and need not be added first. Evidence from a removed
    /// arm stays in the shared weights.
    ///
    /// # Errors
    /// Fails if the dimension is zero or too large, if a setting is out of its range, or if memory cannot be allocated.
    pub fn shared(dimension: usize, options: P, exploration: E) -> Result<Self> {
        Self::make(dimension, 0, options, exploration, Sharing::Shared)
    }

    pub(super) fn make(dimension: usize, arms: usize, options: P, exploration: E, sharing: Sharing) -> Result<Self> {
        exploration.check()?;
        if P::Beliefs::LEARNS_NOISE && sharing == Sharing::Shared {
            let problem = "learned noise: expected weights per arm, not shared ones".to_owned();
            return Err(Error::Settings { problem });
        }
        let mut posterior = P::Beliefs::empty(dimension, &options)?;
        let set = ArmSet::new(arms)?;
        let slots = if sharing == Sharing::Shared { 1 } else { arms };
        posterior.reserve(slots)?;
        (0..slots).for_each(|_| posterior.push_prior());
        Ok(Self {
            arms: set,
            posterior,
            exploration,
            sharing,
            draw: Draw::PerSlate,
            interactions: None,
            shared_propensity: SharedPropensity::default(),
            pinned: Vec::new(),
            clock: Clock::default(),
            update_batch: UpdateBatch::default(),
            expanded: Vec::new(),
        })
    }

    /// Draws each candidate's score independently, as if the errors of their estimates were uncorrelated. By default,
    /// the shared weights are drawn once for the whole slate. Independent draws make slates more diverse. With weights
    /// per arm, both methods are equivalent.
    #[must_use]
    pub fn with_independent_draws(mut self) -> Self {
        self.draw = Draw::PerCandidate;
        self
    }

    /// Adds products of context and features to the inputs of the model. The policy must have been created for inputs
    /// of length [`Interactions::dimension`]. Requests, decisions and slates contain only context and features.
    ///
    /// ```
    /// use dht_bandits::{ArmId, Policy, Request, Ridge, Ucb, features::Interactions, policy::TopK};
    /// use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
    ///
    /// let products = Interactions::new(2, 3)?;
    /// let policy = TopK::shared(products.dimension(), Ridge::default(), Ucb { alpha: 0.5 })?;
    /// let policy = policy.with_interactions(products)?;
    /// let (items, features) = ([4, 9].map(ArmId::new), [0.1, 0.2, 1.0, 0.7, 0.3, 1.0]);
    /// let request = Request::new(&[1.0, -0.5]).featured(&items, &features, 3)?;
    /// let slate = policy.decide_slate(1, &request, &mut ChaCha8Rng::seed_from_u64(7))?;
    /// assert!(items.contains(&slate.choices()[0].arm));
    /// # Ok::<(), dht_bandits::Error>(())
    /// ```
    ///
    /// # Errors
    /// Fails if the policy has another dimension, if the interactions have no features, or if the policy has already
    /// learned rewards.
    pub fn with_interactions(mut self, interactions: Interactions) -> Result<Self> {
        check_length("features of an arm", interactions.features())?;
        let (expected, got) = (interactions.dimension(), self.posterior.dimension());
        if got != expected {
            return Err(Error::Dimension { what: "weights of a policy with interactions", expected, got });
        }
        let learned = self.version() as f64;
        check_parameter("rewards learned", learned, learned == 0.0, "0 to add interactions")?;
        self.interactions = Some(interactions);
        Ok(self)
    }

    /// Products of context and features that are inputs of the model; `None` without products.
    pub fn interactions(&self) -> Option<&Interactions> {
        self.interactions.as_ref()
    }

    /// Sets the method of computing propensities for slates that one draw of shared weights scores. With weights per
    /// arm, and with rules that draw no weights, propensities do not depend on the method.
    ///
    /// # Errors
    /// Fails if the number of random lines in [`SharedPropensity::Estimated`] is out of its range.
    pub fn with_shared_propensity(mut self, method: SharedPropensity) -> Result<Self> {
        method.check()?;
        self.shared_propensity = method;
        Ok(self)
    }

    /// Pins arms: they appear in every slate for which they are candidates, in addition to the K chosen arms, and take
    /// no feedback. This method drops the policy after an error; [`set_pinned`](Self::set_pinned) does not.
    ///
    /// # Errors
    /// Fails if an arm is removed or listed twice or, with weights per arm, unknown.
    pub fn with_pinned(mut self, pinned: &[ArmId]) -> Result<Self> {
        self.set_pinned(pinned)?;
        Ok(self)
    }

    /// Pins arms, which then appear in every slate for which they are candidates, as [`with_pinned`](Self::with_pinned)
    /// does. The policy is kept after an error.
    ///
    /// # Errors
    /// Fails as [`with_pinned`](Self::with_pinned) does. After an error the policy is unchanged.
    pub fn set_pinned(&mut self, pinned: &[ArmId]) -> Result<()> {
        for (position, &arm) in pinned.iter().enumerate() {
            self.slot(arm)?;
            if pinned[..position].contains(&arm) {
                return Err(Error::DuplicateArm { arm });
            }
        }
        self.pinned = pinned.to_vec();
        Ok(())
    }

    /// Pinned arms, which appear in every slate for which they are candidates.
    pub fn pinned(&self) -> &[ArmId] {
        &self.pinned
    }

    /// Returns whether all candidates share their weights.
    pub fn is_shared(&self) -> bool {
        self.sharing == Sharing::Shared
    }

    /// Settings of the posterior, such as the prior precision.
    pub fn options(&self) -> &P {
        self.posterior.options()
    }

    /// Exploration rule of the policy.
    pub fn exploration(&self) -> &E {
        &self.exploration
    }

    /// Replaces the exploration rule. Its parameters, such as α and ε, are settings, so the learned state stays.
    ///
    /// # Errors
    /// Fails if a setting is out of its range.
    pub fn set_exploration(&mut self, exploration: E) -> Result<()> {
        exploration.check()?;
        self.exploration = exploration;
        Ok(())
    }

    pub(super) fn reserve_arm(&mut self, _like: Option<usize>) -> Result<()> {
        if self.sharing == Sharing::PerArm { self.posterior.reserve(1) } else { Ok(()) }
    }

    /// Adds the weights of an arm. With shared weights nothing is added, since arms have no weights of their own.
    pub(super) fn push_arm(&mut self, _arm: ArmId, like: Option<usize>) {
        match like {
            _ if self.sharing == Sharing::Shared => {}
            Some(slot) => self.posterior.push_copy(slot),
            None => self.posterior.push_prior(),
        }
    }

    /// Copies the weights of one arm to another. With shared weights there is nothing to copy.
    pub(super) fn copy_slot(&mut self, from: usize, to: usize) -> Result<()> {
        if self.sharing == Sharing::PerArm {
            self.posterior.copy(from, to);
        }
        Ok(())
    }

    /// Removes the weights of an arm, and unpins it.
    pub(super) fn remove_slot(&mut self, arm: ArmId, slot: usize) {
        if self.sharing == Sharing::PerArm {
            self.posterior.swap_remove(slot);
        }
        self.pinned.retain(|&pinned| pinned != arm);
    }

    pub(super) fn slot(&self, arm: ArmId) -> Result<usize> {
        match self.sharing {
            Sharing::PerArm => self.arms.slot(arm),
            // With shared weights, any arm may be a candidate unless it was removed.
            Sharing::Shared if self.arms.removed().contains(arm) => Err(Error::RemovedArm { arm }),
            Sharing::Shared => Ok(0),
        }
    }

    /// Posterior mean and standard deviation (width) of an arm's score in a context. For a logistic model, both are
    /// log-odds.
    ///
    /// # Errors
    /// Fails if the context has the wrong length or is not finite, if the arm is unknown or removed, or if the score
    /// overflows.
    pub fn score(&self, arm: ArmId, context: &[f64]) -> Result<Score> {
        check_finite("context", context, self.dimension())?;
        let slot = self.slot(arm)?;
        match &self.interactions {
            None => self.posterior.score(slot, context).checked(),
            Some(_) => self.posterior.score(slot, &self.expand(context, Vec::new())).checked(),
        }
    }

    /// Learns the feedback on a slate, one entry for each of its chosen arms, in their order. Rewards of 0 count less
    /// at positions that are [rarely examined](Slate::with_examination).
    ///
    /// # Errors
    /// Fails if the slate was made in another [epoch](Policy::epoch), if its contexts are missing or have another
    /// length, or if the number of feedbacks differs from the number of chosen arms. Also fails as
    /// [`update_batch`](Self::update_batch) does.
    pub fn learn_slate(&mut self, slate: &Slate, feedback: &[Feedback]) -> Result<()> {
        check_epoch(slate.epoch, self.clock.epoch)?;
        let chosen = slate.choices.len();
        for (what, expected, got) in [
            ("feedback", chosen, feedback.len()),
            ("contexts of the slate", chosen * self.dimension(), slate.contexts.len()),
        ] {
            if got != expected {
                return Err(Error::Dimension { what, expected, got });
            }
        }
        if slate.examination.is_empty() {
            return self.update_observed(slate.feedback(feedback));
        }
        if slate.examination.len() != chosen {
            let (expected, got) = (chosen, slate.examination.len());
            return Err(Error::Dimension { what: "examination of the slate", expected, got });
        }
        let weighted = |(entry, &examination): (ArmFeedback<'_>, &f64)| match entry.feedback {
            Feedback::Observed(0.0) => self.probability_of_examination(entry.arm, entry.context, examination),
            _ => 1.0,
        };
        let weights: Vec<f64> = slate.feedback(feedback).zip(&slate.examination).map(weighted).collect();
        self.update_observed(
            slate.feedback(feedback).zip(weights).map(|(entry, weight)| ArmFeedback { weight, ..entry }),
        )
    }

    /// Probability that the user saw an arm that was not clicked. `examination` is the probability of seeing its
    /// position, without knowledge of clicks. Returns 1 for an arm or context that an update would refuse.
    fn probability_of_examination(&self, arm: ArmId, context: &[f64], examination: f64) -> f64 {
        let Ok(Score { mean, .. }) = self.score(arm, context) else { return 1.0 };
        // The bound of 0.999 keeps a part of every reward of 0, whatever reward the policy expected.
        let expected = self.posterior.expected_reward(mean).clamp(0.0, 0.999);
        examination * (1.0 - expected) / (1.0 - examination * expected)
    }

    /// Learns a batch of feedback: all of it, or none if one entry is refused. [`Feedback::Unobserved`] changes
    /// nothing.
    ///
    /// The observations of one arm are learned jointly. With shared weights, the observations of all arms are learned
    /// jointly. The call does not allocate after a batch of at least this size was learned.
    ///
    /// # Errors
    /// Fails if a context has the wrong length or is not finite, or if an arm is unknown, removed or pinned. Also fails
    /// if a reward is not finite or outside the model's range, if a weight is not positive, if a value overflows, or
    /// beyond 2⁶³ − 1 updates.
    pub fn update_batch(&mut self, batch: &[ArmFeedback<'_>]) -> Result<()> {
        self.update_observed(batch.iter().copied())
    }

    /// Input row of the model: context, features and products. `row` provides the memory.
    pub(super) fn expand(&self, context: &[f64], mut row: Vec<f64>) -> Vec<f64> {
        row.clear();
        row.extend_from_slice(context);
        if let Some(interactions) = &self.interactions {
            interactions.append_products(&mut row, 0);
        }
        row
    }

    /// Checks an observation of an arm. Returns the slot of the weights that learn from it.
    pub(super) fn check(&self, arm: ArmId, context: &[f64], weight: f64) -> Result<usize> {
        check_finite("context", context, self.dimension())?;
        check_weight(weight)?;
        let slot = self.slot(arm)?;
        if self.pinned.contains(&arm) { Err(Error::PinnedArm { arm }) } else { Ok(slot) }
    }

    pub(super) fn update_observed<'a>(&mut self, batch: impl Iterator<Item = ArmFeedback<'a>>) -> Result<()> {
        self.update_batch.clear();
        for ArmFeedback { arm, context, feedback, weight } in batch {
            let slot = match self.check(arm, context, weight) {
                // An unobserved arm teaches nothing, so it may have been removed since.
                Err(Error::RemovedArm { .. }) if feedback == Feedback::Unobserved => continue,
                checked => checked?,
            };
            if let Feedback::Observed(reward) = feedback {
                self.posterior.check_reward(reward)?;
                if self.interactions.is_some() {
                    let space = std::mem::take(&mut self.expanded);
                    self.expanded = self.expand(context, space);
                    self.update_batch.push(Sample { slot, context: &self.expanded, reward, weight });
                } else {
                    self.update_batch.push(Sample { slot, context, reward, weight });
                }
            }
        }
        let clock = self.clock.after(self.update_batch.len() as u64)?;
        let slots = self.slots();
        self.update_batch.learn(&mut self.posterior, slots)?;
        self.clock = clock;
        Ok(())
    }
}
