//! UCB_cp: behind the base, which depth and how many heads at once? (Paper, 4.2.2: the integrated search.)

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::Losses;
use super::linear::{Lesson, Ucb};
use super::setup::Setup;
use crate::error::Result;
use crate::features::{ArmFeatures, DEPTH_PYRAMID};
use crate::reward::{Delta, RewardReference};
use crate::routing::{DepthChoices, Mode};
use crate::space::{Route, SearchSpace};

/// One arm for each route of the space; contexts \[x ; z\] or \[x ; 1\].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ArmBandit {
    pub(crate) ucb: Ucb,
    pub(crate) reference: RewardReference,
}

impl ArmBandit {
    pub(crate) fn new(setup: &Setup) -> Result<Self> {
        let (raw, arms) = (setup.raw_size(DEPTH_PYRAMID), setup.space.integrated_arms().len());
        let ucb = Ucb::new(setup, raw, setup.constant().len(), arms, setup.settings.exploration.arms)?;
        Ok(Self { ucb, reference: RewardReference::default() })
    }

    pub(crate) fn choose(
        &self,
        setup: &Setup,
        features: Option<&ArmFeatures>,
        raw: &[f64],
        tokens: usize,
        mode: Mode,
        rng: &mut ChaCha8Rng,
    ) -> Result<usize> {
        let (alpha, costs) = (setup.settings.exploration.arms, setup.arm_costs(tokens)?);
        self.ucb.choose(setup, raw, features.map(|features| &*features.arms), alpha, &costs, mode, rng)
    }

    /// A sample teaches its arm and, with nested feedback, the arms that keep as many heads and leave where it passed.
    pub(crate) fn learn(
        &mut self,
        setup: &Setup,
        features: Option<&ArmFeatures>,
        depth: &DepthChoices,
        losses: &Losses,
    ) -> Result<()> {
        let arms = setup.space.integrated_arms();
        let mut lessons = Vec::new();
        let mut teach = |sample: usize, exit: usize, arm: usize| -> Result<()> {
            let delta = Delta::of_depth_and_heads(losses.by_exit[exit][sample], arms[arm].depth(), kept(&arms[arm]))?;
            lessons.push(Lesson { sample, arm, delta: delta.with_gain(losses.gain(sample, 0, exit)) });
            Ok(())
        };
        for (sample, (&own, &arm)) in depth.exits.iter().zip(&depth.arms).enumerate() {
            let passed = if setup.settings.nested_feedback { 0..own } else { 0..0 };
            for exit in passed {
                if let Some(passed) = arm_leaving_at(&setup.space, exit, &arms[arm]) {
                    teach(sample, exit, passed)?;
                }
            }
            teach(sample, own, arm)?;
        }
        let (features, rule) = (features.map(|features| &*features.arms), setup.settings.arm_rewards());
        self.ucb.learn(setup, &depth.contexts, features, &lessons, rule, &mut self.reference)
    }
}

/// The heads an arm keeps in its dynamic groups; all, where it has none.
pub(crate) fn kept(arm: &Route) -> usize {
    arm.uniform_heads().unwrap_or(arm.stack().heads)
}

/// The arm that runs the first part of `route` and leaves at an earlier exit.
fn arm_leaving_at(space: &SearchSpace, exit: usize, route: &Route) -> Option<usize> {
    let heads = vec![kept(route); space.groups_before(exit).len()];
    let shorter = space.route_keeping(exit, &heads).ok()?;
    space.integrated_arms().iter().position(|arm| *arm == shorter)
}
