//! The sequential search: at every exit, is it worth going on? Ours; not in the paper.
//!
//! At exit e the sample is read by the classifier there, and for each deeper exit e′ a linear bandit tells what going
//! there would gain, loss(e) − loss(e′). The sample goes on while for some e′ the gain exceeds its price,
//! λ·(cost(e′) − cost(e)): the exits that FastBERT and PABEE take by a threshold on one signal are taken here by what
//! signals and state have turned out to mean, and the price is the run-time knob.

use serde::{Deserialize, Serialize};

use super::linear::Ucb;
use super::setup::Setup;
use crate::error::Result;
use crate::features::{ArmFeatures, DEPTH_PYRAMID};
use crate::routing::{DepthChoices, Losses, Mode};

/// For each exit but the last a bandit, with a scaling of its own and an arm for each deeper exit.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GainBandit {
    pub(crate) at: Vec<Ucb>,
}

impl GainBandit {
    pub(crate) fn new(setup: &Setup) -> Result<Self> {
        let (raw, exits) = (setup.raw_size(DEPTH_PYRAMID), setup.space.exits().len());
        let alpha = setup.settings.exploration.depth;
        let at = (0..exits - 1).map(|exit| Ucb::new(setup, raw, setup.constant().len(), exits - 1 - exit, alpha));
        Ok(Self { at: at.collect::<Result<_>>()? })
    }

    /// The features of the arms of an exit: those of the deeper exits.
    fn features(features: Option<&ArmFeatures>, exit: usize) -> Option<&[Vec<f64>]> {
        features.map(|features| &features.depth[exit + 1..])
    }

    /// Whether a sample goes on from an exit.
    pub(crate) fn goes_on(
        &self,
        setup: &Setup,
        features: Option<&ArmFeatures>,
        exit: usize,
        raw: &[f64],
        tokens: usize,
        mode: Mode,
    ) -> Result<bool> {
        let scores = self.at[exit].scores(setup, raw, Self::features(features, exit), setup.constant())?;
        let costs = setup.exit_costs(tokens)?;
        let alpha = setup.settings.exploration.depth;
        let worth = |(score, cost): (_, &f64)| setup.value(score, alpha, cost - costs[exit], mode);
        Ok(scores.into_iter().zip(&costs[exit + 1..]).map(worth).any(|worth| worth > 0.0))
    }

    /// A sample teaches every pair of exits on its way.
    pub(crate) fn learn(
        &mut self,
        setup: &Setup,
        features: Option<&ArmFeatures>,
        depth: &DepthChoices,
        losses: &Losses,
    ) -> Result<()> {
        for seen in &depth.seen {
            let here = seen.exit;
            for (&sample, raw) in seen.members.iter().zip(&seen.contexts) {
                let own = depth.exits[sample];
                let deepest = if setup.settings.nested_feedback { here + 1 } else { own.max(here + 1) };
                for exit in deepest..=own {
                    let gain = losses.gain(sample, here, exit);
                    let feature = Self::features(features, here).map(|features| &*features[exit - here - 1]);
                    self.at[here].update(setup, exit - here - 1, raw, feature, setup.constant(), gain)?;
                }
            }
        }
        Ok(())
    }
}
