//! Trait [`Policy`], which all policies implement, and the observations that policies learn in batches.

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
/// can be added and removed. Your own type becomes a policy by implementing `Clone` and the methods without a default.
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
    /// Number of values in a context.
    fn dimension(&self) -> usize;

    /// Arms that the policy currently has.
    fn arms(&self) -> &ArmSet;

    /// Number of updates that the policy has learned. Each decision stores the version that made it, which shows the
    /// decision's age.
    fn version(&self) -> u64;

    /// Number of calls of [`expire_decisions`](Self::expire_decisions). The policy learns only from decisions of its
    /// current epoch.
    fn epoch(&self) -> u64 {
        0
    }

    /// Returns whether the policy accepts [sparse](crate::features::SparseContext) contexts or sparse features of arms.
    /// Policies that return `false` refuse sparse contexts with [`Error::Unsupported`].
    /// [`Uniform`](crate::policy::Uniform), [`Fixed`](crate::policy::Fixed) and
    /// [`ContextFree`](crate::policy::ContextFree) ignore the context, and so accept dense and sparse ones.
    fn takes_sparse_contexts(&self) -> bool {
        false
    }

    /// Returns whether a stored decision contains the features of the chosen arm, after the context.
    fn keeps_features(&self) -> bool {
        false
    }

    /// Chooses one of the arms of a request, without storing the context. The choice has no propensity if computing it
    /// takes an integral; [`decide`](Self::decide) always computes it.
    ///
    /// # Errors
    /// Fails if the context has the wrong length or is not finite, if an arm is unknown or removed, if no arm is
    /// available, or if features of arms are missing.
    fn select(&self, request: &Request<'_>, rng: &mut dyn Rng) -> Result<Choice>;

    /// Chooses one of the arms of a request, and returns all that learning needs later: the choice with its propensity,
    /// and the context. If arms have features, the features of the chosen arm are appended to the context.
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

    /// Probability of choosing each available arm. The probabilities sum to 1, and are computed rather than sampled.
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

    /// Chooses `k` arms at once, and writes them to `slate`, whose memory is reused. Propensities are not computed.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the policy makes only single choices, which is the default. Also fails if parts of the
    /// request are missing or wrong, or if fewer than `k` arms are available. After an error the slate is empty.
    fn select_slate(&self, _k: usize, _: &Request<'_>, _: &mut dyn Rng, slate: &mut Slate) -> Result<()> {
        slate.clear();
        Err(Error::Unsupported { what: SLATES })
    }

    /// Chooses `k` arms at once, and computes for each the probability of being in the slate.
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

    /// Learns the feedback on a slate, one entry for each of its arms.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the policy makes only single choices, which is the default. Also fails if the slate
    /// was made in another [epoch](Self::epoch), or if the feedback does not fit the slate, for example in the number
    /// of arms. After an error the policy is unchanged.
    fn learn_slate(&mut self, _: &Slate, _: &[Feedback]) -> Result<()> {
        Err(Error::Unsupported { what: SLATES })
    }

    /// Learns that `arm` earned `reward` in `context`. Pass the context as [`decide`](Self::decide) stored it. A weight
    /// of 2 counts the observation twice.
    ///
    /// # Errors
    /// Fails as [`select`](Self::select) does, and if the reward is outside the model's range or the weight is not
    /// positive. After an error the policy is unchanged.
    fn update(&mut self, arm: ArmId, context: &[f64], reward: f64, weight: f64) -> Result<()>;

    /// Checks an observation without learning it. Returns `Ok(true)` if [`update`](Self::update) would accept it, and
    /// `Ok(false)`, the default, if only an update can tell. [`Normalised`](crate::policy::Normalised) calls this
    /// method, and after `Ok(false)` tries the update on a copy.
    ///
    /// # Errors
    /// Fails as [`update`](Self::update) does.
    fn check_update(&self, _arm: ArmId, _context: &[f64], _reward: f64, _weight: f64) -> Result<bool> {
        Ok(false)
    }

    /// Learns the reward of an earlier decision, which may arrive at any later time.
    ///
    /// # Errors
    /// Fails as [`update`](Self::update) does, and if the decision was made in another [epoch](Self::epoch).
    fn learn(&mut self, decision: &Decision, reward: f64) -> Result<()> {
        check_epoch(decision.choice.epoch, self.epoch())?;
        self.update(decision.choice.arm, &decision.context, reward, 1.0)
    }

    /// Learns several rewards at once: all of them, or none if one is refused. The default implementation learns them
    /// one by one on a copy of the policy.
    ///
    /// # Errors
    /// Returns the error of [`learn`](Self::learn) for the first observation that is refused. After an error the policy
    /// is unchanged.
    fn learn_batch(&mut self, observations: &[Observation]) -> Result<()> {
        self.learn_in_order(observations)
    }

    /// Learns the rows of a log in their order: all of them, or none if one is refused. Use it for a warm start before
    /// the policy's first decision. Each row counts with its [weight](LoggedDecision::row_weight). Propensities are not
    /// used.
    ///
    /// The result equals calling [`update`](Self::update) for each row. The change test of
    /// [`ResetOnChange`](crate::policy::ResetOnChange) ignores the rows.
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
    /// the policy lacks. After an error the policy is unchanged.
    fn fit(&mut self, log: &[LoggedDecision]) -> Result<()> {
        self.fit_in_order(log)
    }

    /// Learns one row of a log, with the row's weight.
    ///
    /// # Errors
    /// Fails as [`update`](Self::update) does, and if the row lacks features that the policy needs. After an error the
    /// policy is unchanged.
    fn fit_row(&mut self, row: &LoggedDecision) -> Result<()> {
        if !self.keeps_features() {
            return self.update(row.arm, &row.context, row.reward, row.row_weight());
        }
        let features = row.features_of(row.arm).ok_or(Error::NeedsFeatures { width: 1 })?;
        self.update(row.arm, &[&row.context, features].concat(), row.reward, row.row_weight())
    }

    /// Adds an untrained arm. Its id is one above the largest id that was ever used.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the arms of the policy are fixed, which is the default. Also fails if every id is used
    /// or memory cannot be allocated.
    fn add_arm(&mut self) -> Result<ArmId> {
        Err(Error::Unsupported { what: "adding arms" })
    }

    /// Adds an untrained arm under an id chosen by the caller. The id must never have been used. Workers that add the
    /// same arm independently must agree on its id, so that their policies can be merged later.
    ///
    /// # Errors
    /// Fails as [`add_arm`](Self::add_arm) does, and if the id exists, belongs to a removed arm, or has a number of 2⁶³
    /// or more.
    fn insert_arm(&mut self, _arm: ArmId) -> Result<()> {
        Err(Error::Unsupported { what: "adding arms" })
    }

    /// Adds an arm with a copy of the learned state of the arm `like`. The new id is one above the largest id that was
    /// ever used.
    ///
    /// # Errors
    /// Fails as [`add_arm`](Self::add_arm) does, and if `like` is unknown or removed.
    fn add_arm_like(&mut self, _like: ArmId) -> Result<ArmId> {
        Err(Error::Unsupported { what: "adding arms" })
    }

    /// Replaces the learned state of the arm `to` with a copy of the learned state of the arm `from`.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the policy cannot copy arms, which is the default. Also fails if either arm is unknown
    /// or removed. After an error the policy is unchanged.
    fn warm_start(&mut self, _to: ArmId, _from: ArmId) -> Result<()> {
        Err(Error::Unsupported { what: "copying the learned state of an arm" })
    }

    /// Removes an arm permanently: its id is never reused, and merging removes the arm from other policies too. Later
    /// rewards for its decisions are refused with [`Error::RemovedArm`], and so is a whole
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

    /// Makes all earlier decisions invalid by beginning a new epoch: the policy no longer learns rewards of decisions
    /// from earlier epochs. Save the policy afterwards.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if decisions of the policy do not expire, which is the default.
    fn expire_decisions(&mut self) -> Result<()> {
        Err(Error::Unsupported { what: "expiring decisions" })
    }
}

/// Name of the refused operation in the errors of policies that choose only single arms.
const SLATES: &str = "slates of several arms";

/// Decision with its observed reward, for learning several at once with [`Policy::learn_batch`].
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

/// Cloning of boxed policies, and learning of several rewards all or nothing. Every policy that implements `Clone` has
/// this trait.
pub trait ClonePolicy {
    /// Returns a boxed copy of the policy.
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
