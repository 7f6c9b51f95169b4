//! What one policy leaves to another: written once for boxes, references, settings and wrappers.

use super::{Decision, Policy};
use crate::arm::ArmId;
use crate::error::Result;

/// The methods of a [`Policy`] that choose, of one that leaves them to a policy inside.
macro_rules! chooses_as {
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

        fn keeps_features(&$self) -> bool {
            $crate::policy::Policy::keeps_features($inside)
        }

        fn select(
            &$self,
            request: &$crate::policy::Request<'_>,
            rng: &mut dyn rand::Rng,
        ) -> $crate::error::Result<$crate::policy::Choice> {
            $crate::policy::Policy::select($inside, request, rng)
        }

        fn decide(
            &$self,
            request: &$crate::policy::Request<'_>,
            rng: &mut dyn rand::Rng,
        ) -> $crate::error::Result<$crate::policy::Decision> {
            $crate::policy::Policy::decide($inside, request, rng)
        }

        fn propensities(
            &$self,
            request: &$crate::policy::Request<'_>,
        ) -> $crate::error::Result<Vec<$crate::policy::Propensity>> {
            $crate::policy::Policy::propensities($inside, request)
        }
    };
}
pub(crate) use chooses_as;

macro_rules! forward {
    ($type:ty) => {
        impl<P: Policy + ?Sized> Policy for $type {
            chooses_as!(self => &**self);

            fn dimension(&self) -> usize {
                (**self).dimension()
            }

            fn update(&mut self, arm: ArmId, context: &[f64], reward: f64, weight: f64) -> Result<()> {
                (**self).update(arm, context, reward, weight)
            }

            fn check_update(&self, arm: ArmId, context: &[f64], reward: f64, weight: f64) -> Result<bool> {
                (**self).check_update(arm, context, reward, weight)
            }

            fn learn(&mut self, decision: &Decision, reward: f64) -> Result<()> {
                (**self).learn(decision, reward)
            }
        }
    };
}

forward!(Box<P>);
forward!(&mut P);
