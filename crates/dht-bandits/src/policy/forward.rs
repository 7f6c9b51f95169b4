//! Shared implementations of [`Policy`] methods: management of arms, and delegation to an inner policy.

use super::{Observation, Policy};
use crate::arm::ArmId;
use crate::decision::{Decision, Feedback, Slate};
use crate::error::Result;
use crate::log::LoggedDecision;

/// Generates the [`Policy`] methods that report a policy's arms, version, epoch and input types, by delegation to an
/// inner policy.
macro_rules! reports_as {
    ($self:ident => $inside:expr) => {
        fn arms(&$self) -> &$crate::policy::ArmSet {
            $crate::policy::Policy::arms($inside)
        }

        fn version(&$self) -> u64 {
            $crate::policy::Policy::version($inside)
        }

        fn epoch(&$self) -> u64 {
            $crate::policy::Policy::epoch($inside)
        }

        fn takes_sparse_contexts(&$self) -> bool {
            $crate::policy::Policy::takes_sparse_contexts($inside)
        }

        fn keeps_features(&$self) -> bool {
            $crate::policy::Policy::keeps_features($inside)
        }
    };
}
pub(crate) use reports_as;

/// Generates the [`Policy`] methods that choose arms or report a policy's state, by delegation to an inner policy.
macro_rules! chooses_as {
    ($self:ident => $inside:expr) => {
        $crate::policy::forward::reports_as!($self => $inside);

        fn select(
            &$self,
            request: &$crate::decision::Request<'_>,
            rng: &mut dyn rand::Rng,
        ) -> $crate::error::Result<$crate::decision::Choice> {
            $crate::policy::Policy::select($inside, request, rng)
        }

        fn decide(
            &$self,
            request: &$crate::decision::Request<'_>,
            rng: &mut dyn rand::Rng,
        ) -> $crate::error::Result<$crate::decision::Decision> {
            $crate::policy::Policy::decide($inside, request, rng)
        }

        fn propensities(
            &$self,
            request: &$crate::decision::Request<'_>,
        ) -> $crate::error::Result<Vec<$crate::decision::Propensity>> {
            $crate::policy::Policy::propensities($inside, request)
        }

        fn explain(&$self, decision: &$crate::decision::Decision) -> $crate::error::Result<$crate::policy::Explanation> {
            $crate::policy::Policy::explain($inside, decision)
        }

        fn select_slate(
            &$self,
            k: usize,
            request: &$crate::decision::Request<'_>,
            rng: &mut dyn rand::Rng,
            slate: &mut $crate::decision::Slate,
        ) -> $crate::error::Result<()> {
            $crate::policy::Policy::select_slate($inside, k, request, rng, slate)
        }

        fn decide_slate(
            &$self,
            k: usize,
            request: &$crate::decision::Request<'_>,
            rng: &mut dyn rand::Rng,
        ) -> $crate::error::Result<$crate::decision::Slate> {
            $crate::policy::Policy::decide_slate($inside, k, request, rng)
        }

        fn slate_propensities(
            &$self,
            k: usize,
            request: &$crate::decision::Request<'_>,
        ) -> $crate::error::Result<Vec<$crate::decision::Propensity>> {
            $crate::policy::Policy::slate_propensities($inside, k, request)
        }
    };
}
pub(crate) use chooses_as;

/// Generates the [`Policy`] methods that add, copy or remove arms or expire decisions, by delegation to an inner
/// policy.
macro_rules! changes_arms_as {
    ($self:ident => $inside:expr) => {
        fn add_arm(&mut $self) -> $crate::error::Result<$crate::policy::ArmId> {
            $crate::policy::Policy::add_arm($inside)
        }

        fn insert_arm(&mut $self, arm: $crate::policy::ArmId) -> $crate::error::Result<()> {
            $crate::policy::Policy::insert_arm($inside, arm)
        }

        fn add_arm_like(
            &mut $self,
            like: $crate::policy::ArmId,
        ) -> $crate::error::Result<$crate::policy::ArmId> {
            $crate::policy::Policy::add_arm_like($inside, like)
        }

        fn warm_start(
            &mut $self,
            to: $crate::policy::ArmId,
            from: $crate::policy::ArmId,
        ) -> $crate::error::Result<()> {
            $crate::policy::Policy::warm_start($inside, to, from)
        }

        fn remove_arm(&mut $self, arm: $crate::policy::ArmId) -> $crate::error::Result<()> {
            $crate::policy::Policy::remove_arm($inside, arm)
        }

        fn expire_decisions(&mut $self) -> $crate::error::Result<()> {
            $crate::policy::Policy::expire_decisions($inside)
        }
    };
}
pub(crate) use changes_arms_as;

/// Generates the [`Policy`](super::Policy) methods that manage arms and expire decisions. The type must have the fields
/// `arms` and `clock`, and four private methods:
///
/// - `reserve_arm` reserves memory for a new arm, which copies the arm in a slot or is untrained.
/// - `push_arm` adds the new arm, and cannot fail.
/// - `copy_slot` copies the learned state of one slot to another.
/// - `remove_slot` removes the learned state of a slot, and moves the last slot there.
macro_rules! manages_arms {
    ($self:ident) => {
        fn arms(&$self) -> &$crate::policy::ArmSet {
            &$self.arms
        }

        fn version(&$self) -> u64 {
            $self.clock.version
        }

        fn epoch(&$self) -> u64 {
            $self.clock.epoch
        }

        fn add_arm(&mut $self) -> $crate::error::Result<$crate::policy::ArmId> {
            $self.reserve_arm(None)?;
            let arm = $self.arms.add()?;
            $self.push_arm(arm, None);
            Ok(arm)
        }

        fn insert_arm(&mut $self, arm: $crate::policy::ArmId) -> $crate::error::Result<()> {
            $self.reserve_arm(None)?;
            $self.arms.insert(arm)?;
            $self.push_arm(arm, None);
            Ok(())
        }

        fn add_arm_like(&mut $self, like: $crate::policy::ArmId) -> $crate::error::Result<$crate::policy::ArmId> {
            let like = Some($self.arms.slot(like)?);
            $self.reserve_arm(like)?;
            let arm = $self.arms.add()?;
            $self.push_arm(arm, like);
            Ok(arm)
        }

        fn warm_start(
            &mut $self,
            to: $crate::policy::ArmId,
            from: $crate::policy::ArmId,
        ) -> $crate::error::Result<()> {
            let (from, to) = ($self.arms.slot(from)?, $self.arms.slot(to)?);
            $self.copy_slot(from, to)
        }

        fn remove_arm(&mut $self, arm: $crate::policy::ArmId) -> $crate::error::Result<()> {
            let slot = $self.arms.remove(arm)?;
            $self.remove_slot(arm, slot);
            Ok(())
        }

        fn expire_decisions(&mut $self) -> $crate::error::Result<()> {
            $self.clock.expire();
            Ok(())
        }
    };
}
pub(crate) use manages_arms;

impl Policy for Box<dyn Policy> {
    chooses_as!(self => &**self);
    changes_arms_as!(self => &mut **self);

    fn dimension(&self) -> usize {
        (**self).dimension()
    }

    fn update(&mut self, arm: ArmId, context: &[f64], reward: f64, weight: f64) -> Result<()> {
        (**self).update(arm, context, reward, weight)
    }

    fn learn(&mut self, decision: &Decision, reward: f64) -> Result<()> {
        (**self).learn(decision, reward)
    }

    fn learn_batch(&mut self, observations: &[Observation]) -> Result<()> {
        (**self).learn_batch(observations)
    }

    fn fit(&mut self, log: &[LoggedDecision]) -> Result<()> {
        (**self).fit(log)
    }

    fn fit_row(&mut self, row: &LoggedDecision) -> Result<()> {
        (**self).fit_row(row)
    }

    fn learn_slate(&mut self, slate: &Slate, feedback: &[Feedback]) -> Result<()> {
        (**self).learn_slate(slate, feedback)
    }

    fn check_update(&self, arm: ArmId, context: &[f64], reward: f64, weight: f64) -> Result<bool> {
        (**self).check_update(arm, context, reward, weight)
    }
}
