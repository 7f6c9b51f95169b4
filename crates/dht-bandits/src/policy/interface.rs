//! Trait that all policies implement, and observations for learning in batches.

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::explanation::Explanation;
use crate::arm::ArmId;
use crate::arm_set::ArmSet;
use crate::clock::check_epoch;
use crate::decision::{Choice, Decision, Feedback, Propensity, Request, Slate};
use crate::error::{Error, Result};
use crate::log::LoggedDecision;

/// Contextual bandit: chooses one of its arms in a context, and learns from the reward.
///
/// Choosing takes `&self`, so that many threads can choose from one policy at once. The learned state does not depend
/// on the random generator. The same state, request and generator give the same choice, bit for bit.
///
/// `Box<dyn Policy>` is also a policy: it can be cloned with its learned state and sent to other threads, and its arms
/// can be added and removed. A policy of your own needs `Clone`, and the methods without a default.
///
/// ```
/// use dht_bandits::{LinUcb, Policy, Request, Ridge, Ucb, policy::Uniform};
/// use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
///
/// let mut rng = ChaCha8Rng::seed_from_u64(7);
/// let mut policies: Vec<Box<dyn Policy>> = vec![
///     Box::new(LinUcb::new(2, 3, Ridge::default(), Ucb { alpha: 0.5 })?),
///     Box::new(Uniform::new(2, 3)?),
/// ];
/// for policy in &mut policies {
///     let decision = policy.decide(&Request::new(&[1.0, 0.2]), &mut rng)?;
///     assert_eq!(decision.choice.propensity, Some(1.0 / 3.0)); // the ties of a new LinUCB
///     policy.learn(&decision, 1.0)?;
///     let added = policy.clone().add_arm()?; // a copy has a fourth arm
///     assert_eq!((added.number(), policy.arms().len()), (3, 3));
/// }
/// # Ok::<(), dht_bandits::Error>(())
/// ```
pub trait Policy: Send + Sync + ClonePolicy {
    /// Length of a context.
    fn dimension(&self) -> usize;

    /// Arms that exist now.
    fn arms(&self) -> &ArmSet;

    /// Number of updates that this policy has learned from. Decisions contain this number, which shows their age.
    fn version(&self) -> u64;

    /// Number of times that this policy has expired its decisions. The policy learns only from decisions of its current
    /// epoch.
    fn epoch(&self) -> u64 {
        0
    }

    /// Returns whether this policy expects [sparse](crate::features::SparseContext) contexts or sparse features of
    /// arms. Policies that return `false` refuse sparse contexts with [`Error::Unsupported`].
    /// [`Uniform`](crate::policy::Uniform), [`Fixed`](crate::policy::Fixed) and
    /// [`ContextFree`](crate::policy::ContextFree) read no context, and so accept dense and sparse ones.
    fn takes_sparse_contexts(&self) -> bool {
        false
    }

    /// Returns whether a decision stores the features of its arm behind the context.
    fn keeps_features(&self) -> bool {
        false
    }

    /// Chooses one of the arms of a request, without storing the context. The choice lacks its propensity if that takes
    /// an integral to compute; [`decide`](Self::decide) always computes it.
    ///
    /// # Errors
    /// Fails if the context has the wrong length or is not finite, if an arm is unknown or removed, if no arm is
    /// available, or if features are missing.
    fn select(&self, request: &Request<'_>, rng: &mut dyn Rng) -> Result<Choice>;

    /// Chooses one of the arms of a request, and returns all that learning needs later: the choice with its propensity,
    /// and the context. If arms have features, the features of the chosen arm follow the context.
    ///
    /// # Errors
    /// Fails as [`select`](Self::select) does.
    fn decide(&self, request: &Request<'_>, rng: &mut dyn Rng) -> Result<Decision> {
        let mut choice = self.select(request, rng)?;
        if choice.propensity.is_none() {
            let propensities = self.propensities(request)?;
            if let Some(entry) = propensities.iter().find(|entry| entry.arm == choice.arm) {
                (choice.propensity, choice.propensity_error) = (Some(entry.probability), entry.standard_error);
            }
        }
        Ok(choice.with_context(request.context))
    }

    /// Probability of choosing each available arm; the probabilities sum to 1. They do not depend on a random
    /// generator.
    ///
    /// # Errors
    /// Fails as [`select`](Self::select) does.
    fn propensities(&self, request: &Request<'_>) -> Result<Vec<Propensity>>;

    /// Explains the score of a decision's arm: the contribution of each feature of the decision, largest first. The
    /// score is computed from the policy's current state, which may have learned since the decision.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the policy has no linear score, which is the default. Also fails if the context has
    /// the wrong length, or if the arm is unknown or removed.
    fn explain(&self, _: &Decision) -> Result<Explanation> {
        Err(Error::Unsupported { what: "explanations of choices" })
    }

    /// Chooses `k` arms at once, without their propensities, and writes them to a slate whose memory is reused.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the policy makes only single choices, which is the default. Also fails if parts of the
    /// request are missing or wrong, or if fewer than `k` arms are available. The slate is empty then.
    fn select_slate(&self, _k: usize, _: &Request<'_>, _: &mut dyn Rng, slate: &mut Slate) -> Result<()> {
        slate.clear();
        Err(Error::Unsupported { what: SLATES })
    }

    /// Chooses `k` arms at once, and computes for each the probability that a slate shows it.
    ///
    /// # Errors
    /// Fails as [`select_slate`](Self::select_slate) does.
    fn decide_slate(&self, _k: usize, _: &Request<'_>, _: &mut dyn Rng) -> Result<Slate> {
        Err(Error::Unsupported { what: SLATES })
    }

    /// Probability that each available arm is in a slate of `k` arms; the probabilities sum to `k`.
    ///
    /// # Errors
    /// Fails as [`select_slate`](Self::select_slate) does.
    fn slate_propensities(&self, _k: usize, _: &Request<'_>) -> Result<Vec<Propensity>> {
        Err(Error::Unsupported { what: SLATES })
    }

    /// Learns the feedback on a slate: one feedback for each of its chosen arms.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the policy makes only single choices, which is the default. Also fails if the slate is
    /// of another epoch or the feedback does not fit it. The policy is unchanged then.
    fn learn_slate(&mut self, _: &Slate, _: &[Feedback]) -> Result<()> {
        Err(Error::Unsupported { what: SLATES })
    }

    /// Learns that `arm` gave `reward` in `context`, where `context` is the one that [`decide`](Self::decide) stored. A
    /// weight of 2 counts the observation twice.
    ///
    /// # Errors
    /// Fails as [`select`](Self::select) does, and if the reward is outside the model's range or the weight is not
    /// positive. The policy is unchanged then.
    fn update(&mut self, arm: ArmId, context: &[f64], reward: f64, weight: f64) -> Result<()>;

    /// Checks an observation without learning it. Returns `Ok(true)` if [`update`](Self::update) would accept it, and
    /// `Ok(false)`, the default, if only learning can show this. [`Normalised`](crate::policy::Normalised) calls this
    /// method, and after `Ok(false)` tries the update on a copy.
    ///
    /// # Errors
    /// Fails as [`update`](Self::update) does.
    fn check_update(&self, _arm: ArmId, _context: &[f64], _reward: f64, _weight: f64) -> Result<bool> {
        Ok(false)
    }

    /// Learns the reward of a decision, whenever the decision was made.
    ///
    /// # Errors
    /// Fails as [`update`](Self::update) does, and if the decision is of another epoch.
    fn learn(&mut self, decision: &Decision, reward: f64) -> Result<()> {
        check_epoch(decision.choice.epoch, self.epoch())?;
        self.update(decision.choice.arm, &decision.context, reward, 1.0)
    }

    /// Learns rewards that arrived together: all of them, or none if one is refused. The default implementation learns
    /// them one by one on a copy of the policy.
    ///
    /// # Errors
    /// Returns the error of [`learn`](Self::learn) for the first observation that is refused. The policy is unchanged
    /// then.
    fn learn_batch(&mut self, observations: &[Observation]) -> Result<()> {
        self.learn_in_order(observations)
    }

    /// Learns the rows of a log in their order: all of them, or none if one is refused. Use it for a warm start before
    /// the policy's first decision. A row counts as often as its [weight](LoggedDecision::row_weight) says.
    /// Propensities are not used.
    ///
    /// The result equals calling [`update`](Self::update) for each row. A change test
    /// ([`ResetOnChange`](crate::policy::ResetOnChange)) does not see the rows.
    ///
    /// ```
    /// use dht_bandits::log::LoggedDecision;
    /// use dht_bandits::{ArmId, LinUcb, Policy, Request, Ridge, Ucb};
    /// use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
    ///
    /// // A context, the chosen arm, its propensity, and its reward.
    /// let log = [LoggedDecision::new(vec![1.0], ArmId::new(1), 0.5, 1.0)];
    /// let mut policy = LinUcb::new(1, 2, Ridge::default(), Ucb { alpha: 0.5 })?;
    /// policy.fit(&log)?;
    /// let choice = policy.select(&Request::new(&[1.0]), &mut ChaCha8Rng::seed_from_u64(7))?;
    /// assert_eq!(choice.arm, ArmId::new(1));
    /// # Ok::<(), dht_bandits::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::InRound`] if [`LoggedDecision::check`] or the policy refuses a row, for example a row with an arm that
    /// the policy lacks. The policy is unchanged then.
    fn fit(&mut self, log: &[LoggedDecision]) -> Result<()> {
        self.fit_in_order(log)
    }

    /// Learns one row of a log, with the row's weight.
    ///
    /// # Errors
    /// Fails as [`update`](Self::update) does, and if the row lacks features that the policy needs. The policy is
    /// unchanged then.
    fn fit_row(&mut self, row: &LoggedDecision) -> Result<()> {
        if !self.keeps_features() {
            return self.update(row.arm, &row.context, row.reward, row.row_weight());
        }
        let features = row.features_of(row.arm).ok_or(Error::NeedsFeatures { width: 1 })?;
        self.update(row.arm, &[&row.context, features].concat(), row.reward, row.row_weight())
    }

    /// Adds an untrained arm. Its number is one above the largest number that was ever used.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the arms of the policy are fixed, which is the default. Also fails if every number is
    /// used or memory cannot be allocated.
    fn add_arm(&mut self) -> Result<ArmId> {
        Err(Error::Unsupported { what: "adding arms" })
    }

    /// Adds an untrained arm under an id that the caller selects. Any id that was never used is allowed. Workers that
    /// add the same arm independently must agree on its id to merge later.
    ///
    /// # Errors
    /// Fails as [`add_arm`](Self::add_arm) does, and if the id exists, belongs to a removed arm, or has a number of 2⁶³
    /// or more.
    fn insert_arm(&mut self, _arm: ArmId) -> Result<()> {
        Err(Error::Unsupported { what: "adding arms" })
    }

    /// Adds an arm with a copy of the learned state of the arm `like`. Its number is one above the largest number that
    /// was ever used.
    ///
    /// # Errors
    /// Fails as [`add_arm`](Self::add_arm) does, and if `like` is unknown or removed.
    fn add_arm_like(&mut self, _like: ArmId) -> Result<ArmId> {
        Err(Error::Unsupported { what: "adding arms" })
    }

    /// Replaces the learned state of the arm `to` by a copy of the learned state of the arm `from`.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the policy cannot copy arms, which is the default. Also fails if either arm is unknown
    /// or removed. The policy is unchanged then.
    fn warm_start(&mut self, _to: ArmId, _from: ArmId) -> Result<()> {
        Err(Error::Unsupported { what: "copying the learned state of an arm" })
    }

    /// Removes an arm for good: its id is never reused, and policies that are merged with this one lose the arm too.
    /// Later rewards of its decisions are refused with [`Error::RemovedArm`], and so is a whole
    /// [`learn_batch`](Self::learn_batch) that contains one of them. Filter such rewards out with [`ArmSet::contains`].
    ///
    /// ```
    /// use dht_bandits::{Error, LinUcb, Policy, Request, Ridge, Ucb};
    /// use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
    ///
    /// let mut policy = LinUcb::new(1, 2, Ridge::default(), Ucb { alpha: 0.5 })?;
    /// let decision = policy.decide(&Request::new(&[1.0]), &mut ChaCha8Rng::seed_from_u64(7))?;
    /// policy.remove_arm(decision.arm())?;
    /// assert_eq!(policy.learn(&decision, 1.0), Err(Error::RemovedArm { arm: decision.arm() }));
    /// # Ok::<(), dht_bandits::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the arms of the policy are fixed, which is the default. Also fails if the arm is
    /// unknown or already removed.
    fn remove_arm(&mut self, _arm: ArmId) -> Result<()> {
        Err(Error::Unsupported { what: "removing arms" })
    }

    /// Begins the next epoch: the policy no longer learns from decisions made before. Save the policy afterwards.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if decisions of the policy do not expire, which is the default.
    fn expire_decisions(&mut self) -> Result<()> {
        Err(Error::Unsupported { what: "expiring decisions" })
    }
}

/// Name of the unsupported operation in errors of policies that make only single choices.
const SLATES: &str = "slates of several arms";

/// Reward of one decision, for learning several at once with [`Policy::learn_batch`].
///
/// ```
/// use dht_bandits::{LinUcb, Observation, Policy, Request, Ridge, Ucb};
/// use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
///
/// let mut rng = ChaCha8Rng::seed_from_u64(7);
/// let mut policy = LinUcb::new(1, 2, Ridge::default(), Ucb { alpha: 0.5 })?;
/// let mut batch = Vec::new();
/// for value in [1.0, 0.5] {
///     let decision = policy.decide(&Request::new(&[value]), &mut rng)?;
///     batch.push(Observation::new(decision, 1.0));
/// }
/// policy.learn_batch(&batch)?;
/// assert_eq!(policy.version(), 2);
/// # Ok::<(), dht_bandits::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// Decision that earned the reward.
    pub decision: Decision,
    /// Reward that was observed.
    pub reward: f64,
    /// Weight of the observation; 1 counts it once.
    pub weight: f64,
}

impl Observation {
    /// Creates an observation with weight 1.
    pub fn new(decision: Decision, reward: f64) -> Self {
        Self { decision, reward, weight: 1.0 }
    }
}

/// Cloning of boxed policies, and learning that changes all or nothing. Every policy that implements `Clone` has this
/// trait.
pub trait ClonePolicy {
    /// Returns a copy of the policy in a box.
    fn clone_box(&self) -> Box<dyn Policy>;

    /// Learns rewards one by one on a copy of the policy: all of them, or none if one is refused.
    ///
    /// # Errors
    /// Returns the error of [`Policy::learn`] for the first observation that is refused.
    fn learn_in_order(&mut self, observations: &[Observation]) -> Result<()>;

    /// Learns rows of a log one by one on a copy of the policy: all of them, or none if one is refused.
    ///
    /// # Errors
    /// Fails as [`Policy::fit`] does.
    fn fit_in_order(&mut self, log: &[LoggedDecision]) -> Result<()>;
}

impl<P: Policy + Clone + 'static> ClonePolicy for P {
    fn clone_box(&self) -> Box<dyn Policy> {
        Box::new(self.clone())
    }

    fn learn_in_order(&mut self, observations: &[Observation]) -> Result<()> {
        let mut learned = self.clone();
        for Observation { decision, reward, weight } in observations {
            if *weight == 1.0 {
                // Some policies learn more from a decision than from a bare update.
                learned.learn(decision, *reward)?;
            } else {
                check_epoch(decision.choice.epoch, learned.epoch())?;
                learned.update(decision.arm(), &decision.context, *reward, *weight)?;
            }
        }
        *self = learned;
        Ok(())
    }

    fn fit_in_order(&mut self, log: &[LoggedDecision]) -> Result<()> {
        let mut learned = self.clone();
        for (round, row) in log.iter().enumerate() {
            row.check(round)?;
            learned.fit_row(row).map_err(|source| Error::InRound { round, source: Box::new(source) })?;
        }
        *self = learned;
        Ok(())
    }
}

impl Clone for Box<dyn Policy> {
    fn clone(&self) -> Self {
        (**self).clone_box()
    }
}
