//! A policy behind a box or a reference is a policy.

use super::{ArmSet, Choice, Decision, Policy, Propensity, Request};
use crate::arm::ArmId;
use crate::error::Result;
use rand::Rng;

macro_rules! forward {
    ($type:ty) => {
        impl<P: Policy + ?Sized> Policy for $type {
            fn dimension(&self) -> usize {
                (**self).dimension()
            }

            fn arms(&self) -> &ArmSet {
                (**self).arms()
            }

            fn version(&self) -> u64 {
                (**self).version()
            }

            fn epoch(&self) -> u64 {
                (**self).epoch()
            }

            fn keeps_features(&self) -> bool {
                (**self).keeps_features()
            }

            fn select(&self, request: &Request<'_>, rng: &mut dyn Rng) -> Result<Choice> {
                (**self).select(request, rng)
            }

            fn decide(&self, request: &Request<'_>, rng: &mut dyn Rng) -> Result<Decision> {
                (**self).decide(request, rng)
            }

            fn propensities(&self, request: &Request<'_>) -> Result<Vec<Propensity>> {
                (**self).propensities(request)
            }

            fn update(&mut self, arm: ArmId, context: &[f64], reward: f64, weight: f64) -> Result<()> {
                (**self).update(arm, context, reward, weight)
            }

            fn learn(&mut self, decision: &Decision, reward: f64) -> Result<()> {
                (**self).learn(decision, reward)
            }
        }
    };
}

forward!(Box<P>);
forward!(&mut P);
