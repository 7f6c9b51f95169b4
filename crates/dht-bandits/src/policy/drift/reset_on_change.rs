//! Policy that starts again when its predictions become worse.

use super::{ChangeDetector, ChangeTest};
use crate::arm::ArmId;
use crate::clock::check_epoch;
use crate::decision::Decision;
use crate::error::Result;
use crate::exploration::Exploration;
use crate::policy::forward::{changes_arms_as, chooses_as};
use crate::policy::{Disjoint, Policy};
use crate::posterior::Posterior;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

/// Policy with a change test of |reward − mean|, the error of its prediction for the decision. When the error
/// increases, the policy is [reset](Disjoint::reset) and learns again. A decrease, as is normal while it learns, has no
/// effect.
///
/// The error is known if a reward is learned with its decision ([`learn`](Policy::learn)); bare updates are not tested.
/// Use it with posteriors whose mean is on the scale of the rewards, such as ridges.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, bound(serialize = "", deserialize = ""))]
pub struct ResetOnChange<P: Posterior, E: Exploration> {
    policy: Disjoint<P, E>,
    detector: ChangeDetector,
    resets: u64,
}

impl<P: Posterior, E: Exploration> ResetOnChange<P, E> {
    /// Creates a policy with a test.
    ///
    /// # Errors
    /// A setting of the test out of its range.
    pub fn new(policy: Disjoint<P, E>, test: ChangeTest) -> Result<Self> {
        Ok(Self { policy, detector: ChangeDetector::new(test)?, resets: 0 })
    }

    /// Number of resets.
    pub fn resets(&self) -> u64 {
        self.resets
    }

    /// Policy under the test.
    pub fn policy(&self) -> &Disjoint<P, E> {
        &self.policy
    }

    /// Policy under the test, to add and remove arms.
    pub fn policy_mut(&mut self) -> &mut Disjoint<P, E> {
        &mut self.policy
    }

    /// Number of learned decisions since the last detected change.
    pub fn window(&self) -> usize {
        self.detector.window()
    }

    /// Mean prediction error |reward − mean| of these decisions; 0 if there are none.
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

    /// Learns the reward of a decision, after a reset if predictions have become worse with it.
    fn learn(&mut self, decision: &Decision, reward: f64) -> Result<()> {
        check_epoch(decision.choice.epoch, self.epoch())?;
        self.policy.update(decision.arm(), &decision.context, reward, 1.0)?;
        // An error too large to be tested is no less learned from.
        let change = self.detector.push((reward - decision.choice.mean).abs()).unwrap_or(None);
        if change == Some(Ordering::Greater) {
            self.detector.reset();
            self.resets += 1;
            self.policy.reset();
            // One reward is one update, whatever is forgotten with it. What the prior alone cannot learn is forgotten too.
            let _ = self.policy.relearn(decision.arm(), &decision.context, reward, 1.0);
        }
        Ok(())
    }
}
