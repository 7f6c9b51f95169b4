//! Implementation of the `Policy` trait for hybrid policies, which have shared weights and weights of each arm.

use rand::Rng;

use super::Hybrid;
use crate::arm::ArmId;
use crate::decision::{Choice, Decision, Propensity, Request};
use crate::error::{Error, Result};
use crate::exploration::Exploration;
use crate::policy::forward::manages_arms;
use crate::policy::propensity::independent_propensities;
use crate::policy::{Explanation, Policy, Term};

/// Decisions, and the context argument of `update`, contain the request's context followed by the features of the
/// chosen arm.
impl<E: Exploration> Policy for Hybrid<E> {
    manages_arms!(self);

    fn dimension(&self) -> usize {
        self.own.dimension()
    }

    /// Probability of choosing each arm, in the order of the request. Probabilities are exact up to the quadrature
    /// error that [`Propensity`] states. An arm that is listed twice has two entries.
    ///
    /// # Errors
    /// Fails as [`select`](Self::select) does.
    fn propensities(&self, request: &Request<'_>) -> Result<Vec<Propensity>> {
        let candidates = self.candidates(request)?;
        let scores = candidates.scores();
        independent_propensities(&self.exploration, self.clock.version, candidates.featured.ids(), &scores)
    }

    fn keeps_features(&self) -> bool {
        true
    }

    fn select(&self, request: &Request<'_>, rng: &mut dyn Rng) -> Result<Choice> {
        self.select(request, rng)
    }

    fn decide(&self, request: &Request<'_>, rng: &mut dyn Rng) -> Result<Decision> {
        self.decide(request, rng)
    }

    fn update(&mut self, arm: ArmId, context: &[f64], reward: f64, weight: f64) -> Result<()> {
        let (expected, got) = (self.dimension() + self.shared_dimension(), context.len());
        if got != expected {
            return Err(Error::Dimension { what: "context and features", expected, got });
        }
        let (context, features) = context.split_at(self.dimension());
        self.update(arm, context, features, reward, weight)
    }

    fn explain(&self, decision: &Decision) -> Result<Explanation> {
        let (d, expected, got) = (self.dimension(), self.dimension() + self.shared_dimension(), decision.context.len());
        if got != expected {
            return Err(Error::Dimension { what: "context and features", expected, got });
        }
        Explanation::linear(&decision.context, Term::Column, |row| self.score(decision.arm(), &row[..d], &row[d..]))
    }

    /// Checks an observation by learning it on a copy of its arm and of the shared weights.
    fn check_update(&self, arm: ArmId, context: &[f64], reward: f64, weight: f64) -> Result<bool> {
        let mut copy = self.with_one_arm(self.arms.slot(arm)?)?;
        Policy::update(&mut copy, ArmId::new(0), context, reward, weight)?;
        Ok(true)
    }
}
