//! Hybrid policies behind the one trait, and their arms as what is chosen from.

use super::Hybrid;
use crate::arm::ArmId;
use crate::arm_set::ArmSet;
use crate::error::{Error, Result};
use crate::exploration::Exploration;
use crate::gaussian::Score;
use crate::policy::choose::ScoredArms;
use crate::policy::propensity::FreeScore;
use crate::policy::{Choice, Decision, Featured, Policy, Propensity, Request};
use rand::Rng;

/// Arms with features, scored in a context. The arms are known to exist.
pub(super) struct Candidates<'a, E: Exploration> {
    pub(super) policy: &'a Hybrid<E>,
    pub(super) context: &'a [f64],
    pub(super) featured: Featured<'a>,
}

impl<E: Exploration> Candidates<'_, E> {
    /// Scores and degrees of freedom.
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

/// A decision keeps the context and, after it, the features of the chosen arm: `update` takes both in one.
impl<E: Exploration> Policy for Hybrid<E> {
    fn dimension(&self) -> usize {
        self.dimension()
    }

    fn arms(&self) -> &ArmSet {
        &self.arms
    }

    fn version(&self) -> u64 {
        self.clock.version
    }

    fn epoch(&self) -> u64 {
        self.clock.epoch
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

    fn add_arm(&mut self) -> Result<ArmId> {
        self.add_arm()
    }

    fn insert_arm(&mut self, arm: ArmId) -> Result<()> {
        self.insert_arm(arm)
    }

    fn remove_arm(&mut self, arm: ArmId) -> Result<()> {
        self.remove_arm(arm)
    }

    fn expire_decisions(&mut self) -> Result<()> {
        self.expire_decisions();
        Ok(())
    }

    fn update(&mut self, arm: ArmId, context: &[f64], reward: f64, weight: f64) -> Result<()> {
        let (expected, got) = (self.dimension() + self.shared_dimension(), context.len());
        if got != expected {
            return Err(Error::Dimension { what: "context and features", expected, got });
        }
        let (context, features) = context.split_at(self.dimension());
        self.update(arm, context, features, reward, weight)
    }

    /// Learns it on a copy of this arm and the shared weights.
    fn check_update(&self, arm: ArmId, context: &[f64], reward: f64, weight: f64) -> Result<bool> {
        let mut copy = self.of_one_arm(self.arms.slot(arm)?)?;
        Policy::update(&mut copy, ArmId::new(0), context, reward, weight)?;
        Ok(true)
    }

    fn propensities(&self, request: &Request<'_>) -> Result<Vec<Propensity>> {
        self.propensities(request)
    }
}
