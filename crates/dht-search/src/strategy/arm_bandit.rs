//! UCB_cp: behind the base, which depth and how many heads at once? (Paper, 4.2.2: the integrated search.)

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::setup::{Setup, best};
use super::ucb::Ucb;
use super::{DepthChoices, Losses, Mode};
use crate::arm_features::ArmFeatures;
use crate::{DEPTH_PYRAMID, Delta, Result, RewardReference, RewardShape, Route, SearchSpace};

/// One arm for each route of the space; contexts \[x ; z\] or \[x ; 1\].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ArmBandit {
    pub(super) ucb: Ucb,
    reference: RewardReference,
}

impl ArmBandit {
    pub(super) fn new(setup: &Setup) -> Result<Self> {
        let (raw, arms) = (setup.raw_size(DEPTH_PYRAMID), setup.space.integrated_arms().len());
        let ucb = Ucb::new(setup, raw, setup.constant().len(), arms, setup.settings.exploration.arms)?;
        Ok(Self { ucb, reference: RewardReference::default() })
    }

    pub(super) fn choose(
        &self,
        setup: &Setup,
        features: Option<&ArmFeatures>,
        raw: &[f64],
        tokens: usize,
        mode: Mode,
        rng: &mut ChaCha8Rng,
    ) -> Result<usize> {
        let scores = self.ucb.scores(setup, raw, features.map(|features| &*features.arms), setup.constant())?;
        let alpha = setup.settings.exploration.arms;
        let costs = setup.arm_costs(tokens)?;
        Ok(best(scores.into_iter().zip(costs).map(|(score, cost)| setup.value(score, alpha, cost, mode)), rng))
    }

    /// A sample teaches its arm and, with nested feedback, the arms that keep as many heads and leave where it passed.
    pub(super) fn learn(
        &mut self,
        setup: &Setup,
        features: Option<&ArmFeatures>,
        depth: &DepthChoices,
        losses: &Losses,
    ) -> Result<()> {
        let rule = setup.settings.arm_rewards();
        let arms = setup.space.integrated_arms();
        let mut taught = Vec::new();
        for (sample, (&own, &arm)) in depth.exits.iter().zip(&depth.arms).enumerate() {
            if setup.settings.nested_feedback {
                let passed = (0..own).filter_map(|exit| Some((exit, arm_leaving_at(&setup.space, exit, &arms[arm])?)));
                taught.extend(passed.map(|(exit, arm)| (sample, exit, arm)));
            }
            taught.push((sample, own, arm));
        }
        let delta = |&(sample, exit, arm): &(usize, usize, usize)| {
            let route: &Route = &arms[arm];
            Delta::of_depth_and_heads(losses.by_exit[exit][sample], route.depth(), kept(route))
        };
        let deltas = taught.iter().map(delta).collect::<Result<Vec<_>>>()?;
        let rewards = rule.rewards(&mut self.reference, &deltas);
        for (&(sample, exit, arm), reward) in taught.iter().zip(rewards) {
            let value = match rule.shape {
                RewardShape::Gain { .. } => losses.by_exit[0][sample] - losses.by_exit[exit][sample],
                _ => reward.value,
            };
            let feature = features.map(|features| &*features.arms[arm]);
            self.ucb.update(setup, arm, &depth.contexts[sample], feature, setup.constant(), value)?;
        }
        Ok(())
    }
}

/// The heads an arm keeps in its dynamic groups; all, where it has none.
pub(super) fn kept(arm: &Route) -> usize {
    arm.uniform_heads().unwrap_or(arm.stack().heads)
}

/// The arm that runs the first part of `route` and leaves at an earlier exit.
fn arm_leaving_at(space: &SearchSpace, exit: usize, route: &Route) -> Option<usize> {
    let heads = vec![kept(route); space.groups_before(exit).len()];
    let shorter = space.route_keeping(exit, &heads).ok()?;
    space.integrated_arms().iter().position(|arm| *arm == shorter)
}
