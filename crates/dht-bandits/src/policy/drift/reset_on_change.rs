//! Policy that is reset to its prior when its predictions become worse.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::{ChangeDetector, ChangeTest};
use crate::arm::ArmId;
use crate::clock::check_epoch;
use crate::decision::Decision;
use crate::error::Result;
use crate::exploration::Exploration;
use crate::policy::forward::{changes_arms_as, chooses_as};
use crate::policy::{Disjoint, Policy};
use crate::posterior::Posterior;

/// Policy that is [reset](Disjoint::reset) to its prior when a [`ChangeTest`] detects that its prediction error |reward
/// − mean| has increased. A decrease of the error, which is normal while the policy learns, has no effect.
///
/// Only rewards that are learned with their decisions ([`learn`](Policy::learn)) are tested, because a decision
/// contains the prediction. The mean of the posterior must be on the scale of the rewards, as with ridge regression.
///
/// ```
/// use dht_bandits::policy::{ChangeTest, ResetOnChange};
/// use dht_bandits::{LinUcb, Policy, Request, Ridge, Ucb};
/// use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
///
/// let mut rng = ChaCha8Rng::seed_from_u64(7);
/// let inner = LinUcb::new(1, 1, Ridge::default(), Ucb { alpha: 0.5 })?;
/// let test = ChangeTest::PageHinkley { tolerance: 0.1, threshold: 1.0 };
/// let mut policy = ResetOnChange::new(inner, test)?;
/// for round in 0..100 {
///     let decision = policy.decide(&Request::new(&[1.0]), &mut rng)?;
///     policy.learn(&decision, if round < 80 { 1.0 } else { 0.0 })?;
/// }
/// assert_eq!(policy.resets(), 1);
/// # Ok::<(), dht_bandits::Error>(())
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, bound(serialize = "", deserialize = ""))]
pub struct ResetOnChange<P: Posterior, E: Exploration> {
    policy: Disjoint<P, E>,
    detector: ChangeDetector,
    resets: u64,
}

impl<P: Posterior, E: Exploration> ResetOnChange<P, E> {
    /// Creates a policy that is reset when `test` detects a change.
    ///
    /// # Errors
    /// Fails if a setting of the test is out of its range.
    pub fn new(policy: Disjoint<P, E>, test: ChangeTest) -> Result<Self> {
        Ok(Self { policy, detector: ChangeDetector::new(test)?, resets: 0 })
    }

    /// Number of resets after detected changes.
    pub fn resets(&self) -> u64 {
        self.resets
    }

    /// Policy whose predictions are tested.
    pub fn policy(&self) -> &Disjoint<P, E> {
        &self.policy
    }

    /// Policy whose predictions are tested, with mutable access, for example for adding and removing arms.
    pub fn policy_mut(&mut self) -> &mut Disjoint<P, E> {
        &mut self.policy
    }

    /// Number of learned decisions since the last detected change.
    pub fn window(&self) -> usize {
        self.detector.window()
    }

    /// Mean prediction error |reward − mean| of the decisions since the last detected change; 0 if there are none.
    pub fn error(&self) -> f64 {
        self.detector.mean()
    }

    pub(crate) fn detector(&self) -> &ChangeDetector {
        &self.detector
    }
}

impl<P: Posterior, E: Exploration> Policy for ResetOnChange<P, E> {
    fn dimension(&self) -> usize {
        self.policy.dimension()
    }

    chooses_as!(self => &self.policy);
    changes_arms_as!(self => &mut self.policy);

    fn update(&mut self, arm: ArmId, context: &[f64], reward: f64, weight: f64) -> Result<()> {
        self.policy.update(arm, context, reward, weight)
    }

    fn check_update(&self, arm: ArmId, context: &[f64], reward: f64, weight: f64) -> Result<bool> {
        self.policy.check_update(arm, context, reward, weight)
    }

    /// Learns the reward of a decision. If the test then detects that predictions have become worse, the policy is
    /// reset and learns only this reward.
    fn learn(&mut self, decision: &Decision, reward: f64) -> Result<()> {
        check_epoch(decision.choice.epoch, self.epoch())?;
        self.policy.update(decision.arm(), &decision.context, reward, 1.0)?;
        // An error that is too large for the test is ignored by it; the policy has still learned the reward.
        let change = self.detector.push((reward - decision.choice.mean).abs()).unwrap_or(None);
        if change == Some(Ordering::Greater) {
            self.detector.reset();
            self.resets += 1;
            self.policy.reset();
            // The reward counts as one update, even though it is learned twice. A reward that the prior alone cannot
            // learn is forgotten too.
            let _ = self.policy.relearn(decision.arm(), &decision.context, reward, 1.0);
        }
        Ok(())
    }
}
