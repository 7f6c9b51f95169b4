//! UCB_L: behind the base layers, at which exit does a sample leave? (Paper, 4.2.1: the tree search.)

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::setup::{Setup, best};
use super::ucb::Ucb;
use super::{DepthChoices, Losses, Mode};
use crate::arm_features::ArmFeatures;
use crate::{DEPTH_PYRAMID, Delta, Result, RewardReference, RewardShape};

/// One arm for each exit; contexts \[x ; z\] or \[x ; 1\].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExitBandit {
    pub(super) ucb: Ucb,
    reference: RewardReference,
}

impl ExitBandit {
    pub(super) fn new(setup: &Setup) -> Result<Self> {
        let (raw, exits) = (setup.raw_size(DEPTH_PYRAMID), setup.space.exits().len());
        let ucb = Ucb::new(setup, raw, setup.constant().len(), exits, setup.settings.exploration.depth)?;
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
        let scores = self.ucb.scores(setup, raw, features.map(|features| &*features.depth), setup.constant())?;
        let alpha = setup.settings.exploration.depth;
        let costs = setup.exit_costs(tokens)?;
        Ok(best(scores.into_iter().zip(costs).map(|(score, cost)| setup.value(score, alpha, cost, mode)), rng))
    }

    /// A sample teaches the exit it left by and, with nested feedback, those it passed.
    pub(super) fn learn(
        &mut self,
        setup: &Setup,
        features: Option<&ArmFeatures>,
        depth: &DepthChoices,
        losses: &Losses,
    ) -> Result<()> {
        let rule = setup.settings.depth_rewards();
        let mut taught = Vec::new();
        for (sample, &own) in depth.exits.iter().enumerate() {
            let first = if setup.settings.nested_feedback { 0 } else { own };
            taught.extend((first..=own).map(|exit| (sample, exit)));
        }
        let deltas = taught
            .iter()
            .map(|&(sample, exit)| Delta::of_depth(losses.by_exit[exit][sample], setup.space.depth(exit)))
            .collect::<Result<Vec<_>>>()?;
        let rewards = rule.rewards(&mut self.reference, &deltas);
        for (&(sample, exit), reward) in taught.iter().zip(rewards) {
            let value = match rule.shape {
                RewardShape::Gain { .. } => losses.by_exit[0][sample] - losses.by_exit[exit][sample],
                _ => reward.value,
            };
            let feature = features.map(|features| &*features.depth[exit]);
            self.ucb.update(setup, exit, &depth.contexts[sample], feature, setup.constant(), value)?;
        }
        Ok(())
    }
}
