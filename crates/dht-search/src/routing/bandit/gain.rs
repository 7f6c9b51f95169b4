//! Sequential router, which decides at every exit whether a sample continues. Not in the paper.
//!
//! At exit e the exit's classifier reads the sample, and a linear bandit predicts the gain loss(e) − loss(e′) of each
//! deeper exit e′. The sample continues while the gain of some e′ exceeds its price, λ·(cost(e′) − cost(e)). FastBERT
//! and PABEE compare one signal with a threshold. Here the decision is learned from signals and the hidden state, and λ
//! sets the speed at run time.

use rand::Rng;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::contexts::contexts;
use super::linear::LinearBandit;
use super::setup::Setup;
use super::stored::{check_arm_features, of_state, to_state};
use crate::error::{Error, Result};
use crate::features::{ArmFeatures, PoolingPyramid};
use crate::routing::mode::Mode;
use crate::routing::router::{Router, StageView};
use crate::routing::state::{Preparation, RouterState};
use crate::routing::trace::{Decisions, ExitContexts, GroupTrace, Losses};

/// The name of this router's state in errors.
const STATE: &str = "depth bandit";

/// Router that decides at every exit.
#[derive(Debug, Clone)]
pub(crate) struct GainRouter {
    setup: Setup,
    learned: Learned,
}

/// The learned state of the bandit.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Learned {
    bandit: GainBandit,
    arm_features: Option<ArmFeatures>,
}

impl GainRouter {
    pub(crate) fn new(setup: Setup) -> Result<Self> {
        let learned = Learned { bandit: GainBandit::new(&setup)?, arm_features: None };
        Ok(Self { setup, learned })
    }
}

impl Router for GainRouter {
    fn reads(&self, exit: usize, last: usize) -> bool {
        exit < last && self.setup.settings.context.has_signals()
    }

    /// Draws all random routes at the start; [`at_exit`](Router::at_exit) does not change them.
    fn start(&self, view: &StageView<'_>, last: usize, mode: Mode, rng: &mut dyn Rng) -> Result<Decisions> {
        let random = mode == Mode::Random || (mode == Mode::Explore && !self.is_warm());
        let depths = self.setup.depths();
        let exit = |_| if random { self.setup.random_by_depth(&depths, rng) } else { last };
        Ok(Decisions::leaving_at((0..view.members.len()).map(exit).collect()))
    }

    fn at_exit(&self, view: &StageView<'_>, decisions: &mut Decisions, mode: Mode, _: &mut dyn Rng) -> Result<()> {
        let Self { setup, learned } = self;
        let (contexts, signals) = contexts(setup, view)?;
        if !signals.is_empty() {
            decisions.signals.resize(decisions.exits.len(), Vec::new());
            for (member, signals) in view.members.iter().zip(signals) {
                decisions.signals[*member] = signals;
            }
        }
        if self.is_warm() && mode != Mode::Random {
            let features = learned.arm_features.as_ref();
            for ((member, context), tokens) in view.members.iter().zip(&contexts).zip(view.hidden.spans().lengths()) {
                if !learned.bandit.continues(setup, features, view.exit, context, tokens, mode)? {
                    decisions.exits[*member] = view.exit;
                }
            }
        }
        decisions.at_exits.push(ExitContexts { exit: view.exit, members: view.members.to_vec(), contexts });
        Ok(())
    }

    fn flops(&self, exit: usize) -> u64 {
        self.learned.bandit.at.iter().take(exit + 1).map(LinearBandit::flops).sum()
    }

    fn state(&self) -> Option<&dyn RouterState> {
        Some(self)
    }

    fn state_mut(&mut self) -> Option<&mut dyn RouterState> {
        Some(self)
    }

    fn box_clone(&self) -> Box<dyn Router> {
        Box::new(self.clone())
    }
}

impl RouterState for GainRouter {
    fn prepare(&mut self, preparation: &Preparation) -> Result<()> {
        self.learned.arm_features.clone_from(&preparation.arm_features);
        Ok(())
    }

    fn learn(&mut self, decisions: &Decisions, _: &[GroupTrace], losses: &Losses) -> Result<u64> {
        let warm = self.is_warm();
        let Self { setup, learned: Learned { bandit, arm_features } } = self;
        if warm {
            bandit.learn(setup, arm_features.as_ref(), decisions, losses)?;
            return Ok(bandit.at.iter_mut().map(LinearBandit::take_learning_flops).sum());
        }
        for seen in &decisions.at_exits {
            bandit.at[seen.exit].observe(&seen.contexts)?;
        }
        if bandit.at[0].observed() >= setup.settings.warm_up_contexts as f64 {
            bandit.at.iter_mut().for_each(LinearBandit::freeze);
        }
        Ok(0)
    }

    fn is_warm(&self) -> bool {
        self.learned.bandit.at.iter().all(LinearBandit::is_frozen)
    }

    fn speed(&self) -> Option<f64> {
        self.setup.settings.speed()
    }

    fn set_speed(&mut self, lambda: f64) -> Result<()> {
        self.setup.set_lambda(lambda)
    }

    fn stored(&self) -> Result<Value> {
        to_state(STATE, &self.learned)
    }

    fn restore(&mut self, state: Value) -> Result<()> {
        let stored: Learned = of_state(STATE, state)?;
        let names = ["depth bandit's dimension", "depth bandit's arms", "depth norm's dimension"];
        let (own, found) = (&self.learned.bandit.at, &stored.bandit.at);
        if own.len() != found.len() {
            return Err(Error::state("depth bandit", format!("one for each of {} exits", own.len()), found.len()));
        }
        own.iter().zip(found).try_for_each(|(own, found)| own.check_like(found, names))?;
        let warm = found.iter().all(LinearBandit::is_frozen);
        check_arm_features(&self.setup, stored.arm_features.as_ref(), warm)?;
        self.learned = stored;
        Ok(())
    }
}

/// One bandit for each exit before the last, each with its own context scaling and an arm for each deeper exit.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GainBandit {
    pub(super) at: Vec<LinearBandit>,
}

impl GainBandit {
    pub(crate) fn new(setup: &Setup) -> Result<Self> {
        let (raw, exits) = (setup.raw_size(PoolingPyramid::DEPTH), setup.space.exits().len());
        let alpha = setup.settings.exploration.depth;
        let at =
            (0..exits - 1).map(|exit| LinearBandit::new(setup, raw, setup.constant().len(), exits - 1 - exit, alpha));
        Ok(Self { at: at.collect::<Result<_>>()? })
    }

    /// The features of an exit's arms, that is, of the deeper exits.
    fn features(features: Option<&ArmFeatures>, exit: usize) -> Option<&[Vec<f64>]> {
        features.map(|features| &features.depth[exit + 1..])
    }

    /// Returns whether a sample continues from an exit.
    pub(crate) fn continues(
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

    /// Updates the bandits with the gain between every pair of exits that a sample reached.
    pub(crate) fn learn(
        &mut self,
        setup: &Setup,
        features: Option<&ArmFeatures>,
        depth: &Decisions,
        losses: &Losses,
    ) -> Result<()> {
        for seen in &depth.at_exits {
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
