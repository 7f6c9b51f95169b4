//! `Policy` for hybrid policies, and scoring of their arms.

use super::Hybrid;
use crate::arm::ArmId;
use crate::error::{Error, Result};
use crate::exploration::Exploration;
use crate::gaussian::Score;
use crate::policy::choose::ScoredArms;
use crate::policy::forward::manages_arms;
use crate::policy::propensity::{FreeScore, of_independent};
use crate::policy::{Choice, Decision, Featured, Policy, Propensity, Request};
use rand::Rng;

/// Arms with features, scored in a context. The arms must exist.
pub(super) struct Candidates<'a, E: Exploration> {
    pub(super) policy: &'a Hybrid<E>,
    pub(super) context: &'a [f64],
    pub(super) featured: Featured<'a>,
}

impl<E: Exploration> Candidates<'_, E> {
    /// Scores and degrees of freedom of the arms.
    pub(super) fn scores(&self) -> Vec<FreeScore> {
        (0..self.count()).map(|position| (self.at(position).1, f64::INFINITY)).collect()
    }
}

impl<E: Exploration> ScoredArms for Candidates<'_, E> {
    fn count(&self) -> usize {
        self.featured.ids().len()
    }

    fn fold<T>(&self, first: T, mut gather: impl FnMut(T, usize, Score) -> T) -> T {
        (0..self.count()).fold(first, |folded, position| gather(folded, position, self.at(position).1))
    }

    fn at(&self, position: usize) -> (usize, Score) {
        let slot = self.policy.arms.slot(self.featured.ids()[position]).unwrap_or_default();
        (position, self.policy.score_slot(slot, self.context, self.featured.at(position)))
    }
}

/// Policy interface: a decision stores the context followed by the features of the chosen arm, and `update` takes both
/// in one slice.
impl<E: Exploration> Policy for Hybrid<E> {
    manages_arms!(self);

    /// Length of a context x.
    fn dimension(&self) -> usize {
        self.own.dimension()
    }

    /// Probability of choosing each of the arms of a request, in their order: exact up to the quadrature error stated
    /// by [`Propensity`]. An arm that is listed twice has two entries.
    ///
    /// # Errors
    /// Errors of [`select`](Self::select).
    fn propensities(&self, request: &Request<'_>) -> Result<Vec<Propensity>> {
        let candidates = self.candidates(request)?;
        let scores = candidates.scores();
        of_independent(&self.exploration, self.clock.version, candidates.featured.ids(), &scores)
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

    /// Checks the update on a copy of this arm and the shared weights.
    fn check_update(&self, arm: ArmId, context: &[f64], reward: f64, weight: f64) -> Result<bool> {
        let mut copy = self.of_one_arm(self.arms.slot(arm)?)?;
        Policy::update(&mut copy, ArmId::new(0), context, reward, weight)?;
        Ok(true)
    }
}
