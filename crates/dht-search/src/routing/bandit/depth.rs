//! How deep does a sample go, decided once, at the base? UCB_L of a tree search chooses an exit (paper, 4.2.1); UCB_cp of an
//! integrated search chooses depth and heads at once (4.2.2).

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::linear::{RewardSample, Ucb};
use super::setup::Setup;
use crate::error::Result;
use crate::features::{ArmFeatures, DEPTH_PYRAMID};
use crate::reward::{CostWeightedLoss, RewardReference};
use crate::routing::{DepthChoices, Losses, Mode};
use crate::space::{Route, SearchSpace};

/// One arm for each exit of a tree search, or for each route of an integrated one; contexts \[x ; z\] or \[x ; 1\].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DepthBandit {
    pub(crate) ucb: Ucb,
    pub(crate) reference: RewardReference,
}

impl DepthBandit {
    pub(crate) fn new(setup: &Setup) -> Result<Self> {
        let space = &setup.space;
        let arms = if space.is_tree() { space.exits().len() } else { space.integrated_arms().len() };
        let ucb = Ucb::new(setup, setup.raw_size(DEPTH_PYRAMID), setup.constant().len(), arms, alpha(setup))?;
        Ok(Self { ucb, reference: RewardReference::default() })
    }

    /// The arm for a sample: an exit or a route.
    pub(crate) fn choose(
        &self,
        setup: &Setup,
        features: Option<&ArmFeatures>,
        raw: &[f64],
        tokens: usize,
        mode: Mode,
        rng: &mut ChaCha8Rng,
    ) -> Result<usize> {
        let costs = if setup.space.is_tree() { setup.exit_costs(tokens)? } else { setup.arm_costs(tokens)? };
        self.ucb.choose(setup, raw, of_arms(setup, features), alpha(setup), &costs, mode, rng)
    }

    /// A sample teaches its arm and, with nested feedback, those it passed: the exits before its own, or the routes that keep
    /// as many heads and leave there.
    pub(crate) fn learn(
        &mut self,
        setup: &Setup,
        features: Option<&ArmFeatures>,
        depth: &DepthChoices,
        losses: &Losses,
    ) -> Result<()> {
        let (tree, arms) = (setup.space.is_tree(), setup.space.integrated_arms());
        let mut samples = Vec::new();
        for (sample, &own) in depth.exits.iter().enumerate() {
            let first = if setup.settings.nested_feedback { 0 } else { own };
            for exit in first..=own {
                let loss = losses.by_exit[exit][sample];
                let (arm, delta) = if tree {
                    (exit, CostWeightedLoss::of_depth(loss, setup.space.depth(exit))?)
                } else {
                    let route = &arms[depth.arms[sample]];
                    let arm =
                        if exit == own { Some(depth.arms[sample]) } else { arm_leaving_at(&setup.space, exit, route) };
                    let Some(arm) = arm else { continue };
                    (arm, CostWeightedLoss::of_depth_and_heads(loss, arms[arm].depth(), kept(&arms[arm]))?)
                };
                samples.push(RewardSample { sample, arm, delta: delta.with_gain(losses.gain(sample, 0, exit)) });
            }
        }
        let rule = if tree { setup.settings.depth_rewards() } else { setup.settings.arm_rewards() };
        self.ucb.learn(setup, &depth.contexts, of_arms(setup, features), &samples, rule, &mut self.reference)
    }
}

fn alpha(setup: &Setup) -> f64 {
    let exploration = setup.settings.exploration;
    if setup.space.is_tree() { exploration.depth } else { exploration.arms }
}

fn of_arms<'a>(setup: &Setup, features: Option<&'a ArmFeatures>) -> Option<&'a [Vec<f64>]> {
    features.map(|features| if setup.space.is_tree() { &*features.depth } else { &*features.arms })
}

/// The heads an arm keeps in its dynamic groups; all, where it has none.
pub(crate) fn kept(arm: &Route) -> usize {
    arm.uniform_heads().unwrap_or(arm.model_shape().heads)
}

/// The arm that runs the first part of `route` and leaves at an earlier exit.
fn arm_leaving_at(space: &SearchSpace, exit: usize, route: &Route) -> Option<usize> {
    let heads = vec![kept(route); space.groups_before(exit).len()];
    let shorter = space.route_keeping(exit, &heads).ok()?;
    space.integrated_arms().iter().position(|arm| *arm == shorter)
}
