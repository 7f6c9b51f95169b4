//! The trait of policies.

use super::explanation::Explanation;
use crate::arm::ArmId;
use crate::arm_set::ArmSet;
use crate::clock::check_epoch;
use crate::decision::{Choice, Decision, Feedback, Propensity, Request, Slate};
use crate::error::{Error, Result};
use crate::log::LoggedDecision;
use rand::Rng;
use serde::{Deserialize, Serialize};

/// Contextual bandit: chooses one of its arms in a context, and learns from the reward.
///
/// Choosing takes `&self`: many readers may choose from one policy simultaneously. The learned state does not depend on
/// the generator; the same state, request and generator give the same choice, bit for bit.
///
/// `Box<dyn Policy>` is also a policy: it is cloned with its learned state, sent between threads, and its arms can be
/// added and removed. A custom policy needs `Clone`, and the methods without a default.
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

    /// Existing arms.
    fn arms(&self) -> &ArmSet;

    /// Number of updates that this policy has learned from.
    fn version(&self) -> u64;

    /// Number of times that this policy has expired decisions; it learns only from decisions of its current epoch.
    fn epoch(&self) -> u64 {
        0
    }

    /// Returns whether contexts, or the features of arms, are [sparse](crate::features::SparseContext). All other policies
    /// refuse sparse contexts ([`Error::Unsupported`]); [`Uniform`](crate::policy::Uniform),
    /// [`Fixed`](crate::policy::Fixed) and [`ContextFree`](crate::policy::ContextFree), which read no context, take both.
    fn takes_sparse_contexts(&self) -> bool {
        false
    }

    /// Returns whether a decision stores the features of the chosen arm, after the context.
    fn keeps_features(&self) -> bool {
        false
    }

    /// Chooses one of the arms of a request, without storing the context. The choice may lack its propensity if that is
    /// an integral.
    ///
    /// # Errors
    /// A context of the wrong length or not finite; an unknown or removed arm; no available arm; missing features.
    fn select(&self, request: &Request<'_>, rng: &mut dyn Rng) -> Result<Choice>;

    /// Chooses, and stores with the choice what learning needs later: the context, followed by the features of the
    /// chosen arm if arms have features. The choice contains its propensity.
    ///
    /// # Errors
    /// Errors of [`select`](Self::select).
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

    /// Probability of choosing each available arm; the sum is 1. It does not depend on a generator.
    ///
    /// # Errors
    /// Errors of [`select`](Self::select).
    fn propensities(&self, request: &Request<'_>) -> Result<Vec<Propensity>>;

    /// Explains the score of a decision's arm in its context: the parts of the largest features. The policy's state is
    /// that of now, which may have learned since the decision.
    ///
    /// # Errors
    /// [`Error::Unsupported`], the default: a policy without a linear score. A context of the wrong length; an arm that
    /// is unknown or removed.
    fn explain(&self, _: &Decision) -> Result<Explanation> {
        Err(Error::Unsupported { what: "explanations of choices" })
    }

    /// Chooses `k` arms at once into a slate with reused memory, without their propensities.
    ///
    /// # Errors
    /// [`Error::Unsupported`], the default: a policy of single choices. Missing or wrong parts of the request; fewer
    /// than `k` arms. The slate is empty then.
    fn select_slate(&self, _k: usize, _: &Request<'_>, _: &mut dyn Rng, slate: &mut Slate) -> Result<()> {
        slate.clear();
        Err(Error::Unsupported { what: SLATES })
    }

    /// Chooses `k` arms at once, each with the probability of being shown.
    ///
    /// # Errors
    /// Errors of [`select_slate`](Self::select_slate).
    fn decide_slate(&self, _k: usize, _: &Request<'_>, _: &mut dyn Rng) -> Result<Slate> {
        Err(Error::Unsupported { what: SLATES })
    }

    /// Probability that each available arm is in a slate of `k`; the sum is `k`.
    ///
    /// # Errors
    /// Errors of [`select_slate`](Self::select_slate).
    fn slate_propensities(&self, _k: usize, _: &Request<'_>) -> Result<Vec<Propensity>> {
        Err(Error::Unsupported { what: SLATES })
    }

    /// Learns the feedback on a slate, one for each of its chosen arms.
    ///
    /// # Errors
    /// [`Error::Unsupported`], the default; a slate of another epoch; feedback that does not fit it. The policy is
    /// unchanged then.
    fn learn_slate(&mut self, _: &Slate, _: &[Feedback]) -> Result<()> {
        Err(Error::Unsupported { what: SLATES })
    }

    /// Learns that `arm` gave `reward` in `context`, as stored by [`decide`](Self::decide); a weight of 2 counts the
    /// observation twice.
    ///
    /// # Errors
    /// Errors of `select`; a reward outside the model's range; a weight that is not positive. The policy is unchanged
    /// then.
    fn update(&mut self, arm: ArmId, context: &[f64], reward: f64, weight: f64) -> Result<()>;

    /// Returns whether [`update`](Self::update) is known to accept this observation, without learning it: `Ok(true)` if
    /// it would, and `Ok(false)`, the default, if only learning can show this.
    /// [`Normalised`](crate::policy::Normalised) calls it, and after `Ok(false)` tries the update on a copy.
    ///
    /// # Errors
    /// Errors of [`update`](Self::update).
    fn check_update(&self, _arm: ArmId, _context: &[f64], _reward: f64, _weight: f64) -> Result<bool> {
        Ok(false)
    }

    /// Learns the reward of a decision, made now or long ago.
    ///
    /// # Errors
    /// Errors of [`update`](Self::update); a decision of another epoch.
    fn learn(&mut self, decision: &Decision, reward: f64) -> Result<()> {
        check_epoch(decision.choice.epoch, self.epoch())?;
        self.update(decision.choice.arm, &decision.context, reward, 1.0)
    }

    /// Learns rewards that arrived together: all of them, or none if one is refused. The default learns them one by one
    /// on a copy of the policy.
    ///
    /// # Errors
    /// Errors of [`learn`](Self::learn), for the first observation that is refused. The policy is unchanged then.
    fn learn_batch(&mut self, observations: &[Observation]) -> Result<()> {
        self.learn_in_order(observations)
    }

    /// Learns the rows of a log, such as a warm start before the policy's first decision, in their order: all of them, or
    /// none if one is refused. A row counts as often as its [weight](LoggedDecision::row_weight) says; its propensity is
    /// not used.
    ///
    /// It equals an [`update`](Self::update) for each row; a test for change
    /// ([`ResetOnChange`](crate::policy::ResetOnChange)) does not look at the rows.
    ///
    /// # Errors
    /// [`Error::InRound`]: a row that [`LoggedDecision::check`] or the policy refuses, as of an arm that it lacks. The
    /// policy is unchanged then.
    fn fit(&mut self, log: &[LoggedDecision]) -> Result<()> {
        self.fit_in_order(log)
    }

    /// Learns one row of a log.
    ///
    /// # Errors
    /// Errors of [`update`](Self::update); a row without the features that the policy needs. The policy is unchanged then.
    fn fit_row(&mut self, row: &LoggedDecision) -> Result<()> {
        if !self.keeps_features() {
            return self.update(row.arm, &row.context, row.reward, row.row_weight());
        }
        let features = row.features_of(row.arm).ok_or(Error::NeedsFeatures { width: 1 })?;
        self.update(row.arm, &[&row.context, features].concat(), row.reward, row.row_weight())
    }

    /// Adds an untrained arm, under the number after the largest that was ever used.
    ///
    /// # Errors
    /// [`Error::Unsupported`], the default: a policy whose arms do not change. No number is left; memory that cannot be
    /// allocated.
    fn add_arm(&mut self) -> Result<ArmId> {
        Err(Error::Unsupported { what: "adding arms" })
    }

    /// Adds an untrained arm under an id of the caller's, which may be any that was never used. Workers that add the
    /// same arm independently must agree on its id to merge later.
    ///
    /// # Errors
    /// Errors of [`add_arm`](Self::add_arm); the id exists, belongs to a removed arm, or has a number that is not below
    /// 2⁶³.
    fn insert_arm(&mut self, _arm: ArmId) -> Result<()> {
        Err(Error::Unsupported { what: "adding arms" })
    }

    /// Adds an arm with a copy of the learned state of `like`, under the number after the largest that was ever used.
    ///
    /// # Errors
    /// Errors of [`add_arm`](Self::add_arm); `like` is unknown or removed.
    fn add_arm_like(&mut self, _like: ArmId) -> Result<ArmId> {
        Err(Error::Unsupported { what: "adding arms" })
    }

    /// Replaces the learned state of the arm `to` by a copy of that of `from`.
    ///
    /// # Errors
    /// [`Error::Unsupported`], the default; either arm is unknown or removed. The policy is unchanged then.
    fn warm_start(&mut self, _to: ArmId, _from: ArmId) -> Result<()> {
        Err(Error::Unsupported { what: "copying what was learned of an arm" })
    }

    /// Removes an arm for good: its id is never reused, and policies that are merged with this one lose it too. Later
    /// rewards of its decisions are refused with [`Error::RemovedArm`], and so is a whole
    /// [`learn_batch`](Self::learn_batch) that contains one of them. Filter them by [`ArmSet::contains`].
    ///
    /// # Errors
    /// [`Error::Unsupported`], the default; the arm is unknown or removed already.
    fn remove_arm(&mut self, _arm: ArmId) -> Result<()> {
        Err(Error::Unsupported { what: "removing arms" })
    }

    /// Begins the next epoch: decisions made before are refused from now on. Save the policy afterwards.
    ///
    /// # Errors
    /// [`Error::Unsupported`], the default: a policy whose decisions do not expire.
    fn expire_decisions(&mut self) -> Result<()> {
        Err(Error::Unsupported { what: "expiring decisions" })
    }
}

/// Unsupported operation of policies of single choices.
const SLATES: &str = "slates of several arms";

/// Reward in a batch that arrived together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// Decision of the reward.
    pub decision: Decision,
    /// The reward.
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

/// Cloning of every policy that implements `Clone`.
pub trait ClonePolicy {
    /// Returns a boxed copy.
    fn clone_box(&self) -> Box<dyn Policy>;

    /// Learns rewards one by one on a copy: all of them, or none.
    ///
    /// # Errors
    /// Errors of [`Policy::learn`], for the first observation that is refused.
    fn learn_in_order(&mut self, observations: &[Observation]) -> Result<()>;

    /// Learns rows of a log one by one on a copy: all of them, or none.
    ///
    /// # Errors
    /// Errors of [`Policy::fit`].
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
                // From a decision some learn more than from a bare update.
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
