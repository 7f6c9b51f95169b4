//! Semi-bandit: state, settings, learning.

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
use serde::{Deserialize, Serialize};

/// Sharing of weights between candidates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sharing {
    /// Each arm has separate weights; arms are fixed and few, and each learns only from its own feedback.
    PerArm,
    /// All candidates share one vector of weights and differ by their features: they may change freely.
    Shared,
}

/// Draw of a shared model for a slate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Draw {
    /// One draw of the weights scores every candidate: Thompson sampling proper.
    PerSlate,
    /// Each candidate's score is drawn independently, as if their errors were uncorrelated: more diverse slates.
    PerCandidate,
}

/// Computation of a propensity if one draw of shared weights scores every candidate, since there is no closed form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SharedPropensity {
    /// Integral for all candidates together, scaled so that they sum to the number of positions: O(N²) for each of
    /// 2,048 lines. For up to about fifty candidates.
    Integral,
    /// Estimate for the chosen candidates only: O(N·d) for each line. Its standard error
    /// ([`Choice::propensity_error`](crate::Choice::propensity_error)) decreases with the number of lines.
    Estimated {
        /// Number of lines, from 64 to 65,536, in multiples of 32.
        lines: u32,
    },
    /// No propensity: for decisions that are only learned from. Estimators that need propensities refuse them by name.
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

/// Combinatorial semi-bandit: selects the K candidates of the highest value, in addition to the pinned ones.
///
/// The algorithm is that of Wang & Chen (2018), "Thompson sampling for combinatorial semi-bandits", with contexts as in
/// Chapelle & Li (2011). Because σ is monotone, ranking by σ(p'x) equals ranking by p'x.
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
    // Of the observation that is being learned: context, features and their products.
    pub(super) expanded: Vec<f64>,
}

impl<P: Posterior, E: Exploration> TopK<P, E> {
    /// Creates a semi-bandit over the arms 0 to `arms` − 1, each with separate weights.
    ///
    /// # Errors
    /// A dimension of zero or too large; more than 16,777,216 arms; a setting out of its range; [`Error::Memory`]: more
    /// memory than there is, or than 1 TiB.
    pub fn per_arm(dimension: usize, arms: usize, options: P, exploration: E) -> Result<Self> {
        Self::make(dimension, arms, options, exploration, Sharing::PerArm)
    }

    /// Creates a semi-bandit whose candidates share their weights and differ by their features. A context has an effect
    /// only through its products with the features: [`with_interactions`](Self::with_interactions).
    ///
    /// Any arm may be a candidate, whether or not it was added, unless it was removed. What was learned from a removed
    /// arm stays in the shared weights.
    ///
    /// # Errors
    /// A dimension of zero or too large; a setting out of its range; memory that cannot be allocated.
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

    /// Draws each candidate's score independently, as if their errors were uncorrelated, instead of one draw of the
    /// shared weights for the whole slate: slates are more diverse. With weights per arm both are equivalent.
    #[must_use]
    pub fn with_independent_draws(mut self) -> Self {
        self.draw = Draw::PerCandidate;
        self
    }

    /// Appends products of context and features to the row that the weights are multiplied with. The policy must have
    /// been created for rows of length [`Interactions::dimension`]; requests, decisions and slates hold only context
    /// and features.
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
    /// # Ok::<(), dht_bandits::Error>(())
    /// ```
    ///
    /// # Errors
    /// A policy of another dimension; interactions without features; rewards that were learned already.
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

    /// Products of context and features, if there are any.
    pub fn interactions(&self) -> Option<&Interactions> {
        self.interactions.as_ref()
    }

    /// Sets the computation of propensities if one draw of shared weights scores every candidate. With weights per arm,
    /// and with rules that draw no weights, propensities are exact in any case.
    ///
    /// # Errors
    /// A number of lines out of its range.
    pub fn with_shared_propensity(mut self, method: SharedPropensity) -> Result<Self> {
        method.check()?;
        self.shared_propensity = method;
        Ok(self)
    }

    /// Pins arms: they are in every slate for which they are candidates, in addition to the K chosen ones, and take no
    /// feedback. To keep the policy after an error, use [`set_pinned`](Self::set_pinned).
    ///
    /// # Errors
    /// A removed arm; with weights per arm, an unknown one; an arm listed twice.
    pub fn with_pinned(mut self, pinned: &[ArmId]) -> Result<Self> {
        self.set_pinned(pinned)?;
        Ok(self)
    }

    /// Pins arms as [`with_pinned`](Self::with_pinned) does, for a policy that is kept after an error.
    ///
    /// # Errors
    /// Errors of [`with_pinned`](Self::with_pinned). The policy is unchanged then.
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

    /// Pinned arms, which are always chosen.
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

    /// Adds the weights of an arm; with shared weights an arm is only an id.
    pub(super) fn push_arm(&mut self, _arm: ArmId, like: Option<usize>) {
        match like {
            _ if self.sharing == Sharing::Shared => {}
            Some(slot) => self.posterior.push_copy(slot),
            None => self.posterior.push_prior(),
        }
    }

    /// Copies the weights of an arm; shared weights are those of both.
    pub(super) fn copy_slot(&mut self, from: usize, to: usize) -> Result<()> {
        if self.sharing == Sharing::PerArm {
            self.posterior.copy(from, to);
        }
        Ok(())
    }

    /// Removes the learned state of an arm, and its pin.
    pub(super) fn remove_slot(&mut self, arm: ArmId, slot: usize) {
        if self.sharing == Sharing::PerArm {
            self.posterior.swap_remove(slot);
        }
        self.pinned.retain(|&pinned| pinned != arm);
    }

    pub(super) fn slot(&self, arm: ArmId) -> Result<usize> {
        match self.sharing {
            Sharing::PerArm => self.arms.slot(arm),
            // Any arm may be a candidate, unless it was removed.
            Sharing::Shared if self.arms.removed().contains(arm) => Err(Error::RemovedArm { arm }),
            Sharing::Shared => Ok(0),
        }
    }

    /// Mean (log-odds for a logistic model) and width of an arm with this context.
    ///
    /// # Errors
    /// A context of the wrong length or not finite; an unknown or removed arm; a score that overflows.
    pub fn score(&self, arm: ArmId, context: &[f64]) -> Result<Score> {
        check_finite("context", context, self.dimension())?;
        let slot = self.slot(arm)?;
        match &self.interactions {
            None => self.posterior.score(slot, context).checked(),
            Some(_) => self.posterior.score(slot, &self.expand(context, Vec::new())).checked(),
        }
    }

    /// Learns the feedback on a slate: one for each of its chosen arms, in order. Rewards of 0 count less at positions that
    /// are [rarely examined](Slate::with_examination).
    ///
    /// # Errors
    /// A slate of another epoch, or whose contexts are missing or of another length; a number of feedbacks that differs
    /// from the number of chosen arms; errors of [`update_batch`](Self::update_batch).
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

    /// Probability that a position was examined, given that it was not clicked; 1 for an arm that an update refuses.
    fn probability_of_examination(&self, arm: ArmId, context: &[f64], examination: f64) -> f64 {
        let Ok(Score { mean, .. }) = self.score(arm, context) else { return 1.0 };
        // Something is left of every reward of 0, whatever the policy expected.
        let expected = self.posterior.expected_reward(mean).clamp(0.0, 0.999);
        examination * (1.0 - expected) / (1.0 - examination * expected)
    }

    /// Learns a batch of feedback: all of it, or none if one is refused. [`Feedback::Unobserved`] changes nothing.
    ///
    /// The observations of one arm (with shared weights: all of them) are learned jointly. It does not allocate after a
    /// batch of at least this size was learned.
    ///
    /// # Errors
    /// A context of the wrong length or not finite; an unknown, removed or pinned arm; a reward that is not finite or
    /// outside the model's range; a weight that is not positive; values that overflow; more than 2⁶³ − 1 updates.
    pub fn update_batch(&mut self, batch: &[ArmFeedback<'_>]) -> Result<()> {
        self.update_observed(batch.iter().copied())
    }

    /// Row that the weights are multiplied with, in reused memory.
    pub(super) fn expand(&self, context: &[f64], mut row: Vec<f64>) -> Vec<f64> {
        row.clear();
        row.extend_from_slice(context);
        if let Some(interactions) = &self.interactions {
            interactions.append_products(&mut row, 0);
        }
        row
    }

    /// Slot whose weights learn from an arm. Refuses a removed arm.
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
                // Nothing is learned of it, so that it may have been removed since.
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
