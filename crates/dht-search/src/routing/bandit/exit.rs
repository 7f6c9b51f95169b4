//! UCB_L: behind the base layers, at which exit does a sample leave? (Paper, 4.2.1: the tree search.)

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::Losses;
use super::linear::{Lesson, Ucb};
use super::setup::Setup;
use crate::error::Result;
use crate::features::{ArmFeatures, DEPTH_PYRAMID};
use crate::reward::{Delta, RewardReference};
use crate::routing::{DepthChoices, Mode};

/// One arm for each exit; contexts \[x ; z\] or \[x ; 1\].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExitBandit {
    pub(crate) ucb: Ucb,
    pub(crate) reference: RewardReference,
}

impl ExitBandit {
    pub(crate) fn new(setup: &Setup) -> Result<Self> {
        let (raw, exits) = (setup.raw_size(DEPTH_PYRAMID), setup.space.exits().len());
        let ucb = Ucb::new(setup, raw, setup.constant().len(), exits, setup.settings.exploration.depth)?;
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
        let (alpha, costs) = (setup.settings.exploration.depth, setup.exit_costs(tokens)?);
        self.ucb.choose(setup, raw, features.map(|features| &*features.depth), alpha, &costs, mode, rng)
    }

    /// A sample teaches the exit it left by and, with nested feedback, those it passed.
    pub(crate) fn learn(
        &mut self,
        setup: &Setup,
        features: Option<&ArmFeatures>,
        depth: &DepthChoices,
        losses: &Losses,
    ) -> Result<()> {
        let mut lessons = Vec::new();
        for (sample, &own) in depth.exits.iter().enumerate() {
            let first = if setup.settings.nested_feedback { 0 } else { own };
            for exit in first..=own {
                let delta = Delta::of_depth(losses.by_exit[exit][sample], setup.space.depth(exit))?;
                lessons.push(Lesson { sample, arm: exit, delta: delta.with_gain(losses.gain(sample, 0, exit)) });
            }
        }
        let (features, rule) = (features.map(|features| &*features.depth), setup.settings.depth_rewards());
        self.ucb.learn(setup, &depth.contexts, features, &lessons, rule, &mut self.reference)
    }
}
