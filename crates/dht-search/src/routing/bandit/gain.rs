//! Sequential router: at every exit it decides whether a sample continues. Not in the DHT paper.
//!
//! At exit e a linear bandit predicts the gain loss(e) − loss(e′) of each deeper exit e′, from the hidden state and the
//! answer of the exit's classifier. The sample continues while some gain exceeds the price λ·(cost(e′) − cost(e)) of
//! that exit. By contrast, FastBERT and PABEE compare one signal with a threshold: the entropy, or the number of exits
//! that agree. λ can be changed at run time.

use std::sync::Arc;

use dht_dynamic::Router;
use dht_dynamic::passage::Trace;
use dht_dynamic::router::{Decisions, ExitView, Mode};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::contexts::contexts;
use super::linear::LinearBandit;
use super::setup::{Setup, at_random, exploring};
use super::stored::{check_arm_features, of_state, to_state};
use crate::error::{Error, Result};
use crate::features::{ArmFeatures, PoolingPyramid, Rows};
use crate::routing::learner::{Learner, Preparation};
use crate::routing::losses::Losses;

const STATE: &str = "depth bandit";

/// Sequential router: at every exit it decides whether a sample continues.
#[derive(Debug, Clone)]
pub(crate) struct GainRouter {
    setup: Setup,
    learned: Learned,
}

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

    /// Draws a random exit for each sample if decisions are random. [`at_exit`](Router::at_exit) does not change these
    /// exits.
    fn begin(
        &self,
        _: &ExitView<'_>,
        decisions: &mut Decisions,
        _last: usize,
        mode: &mut Mode<'_>,
    ) -> dht_dynamic::Result<()> {
        if let Some(rng) = at_random(mode, self.is_warm()) {
            self.setup.draw_exits(&mut decisions.exits, rng);
        }
        Ok(())
    }

    /// Decides which samples stop at an exit. Appends the context (input vector) of each sample to the sample's notes,
    /// from which the bandits learn later.
    fn at_exit(&self, view: &ExitView<'_>, decisions: &mut Decisions, mode: &mut Mode<'_>) -> dht_dynamic::Result<()> {
        let Self { setup, learned } = self;
        let contexts = contexts(setup, view)?;
        if self.is_warm() && !matches!(mode, Mode::Random(_)) {
            let features = learned.arm_features.as_ref();
            for ((member, context), tokens) in view.members.iter().zip(&contexts).zip(view.lengths()) {
                if !learned.bandit.continues(setup, features, view.exit, context, tokens, mode)? {
                    decisions.exits[*member] = view.exit;
                }
            }
        }
        let notes = decisions.notes_mut();
        view.members.iter().zip(contexts).for_each(|(member, context)| notes[*member].extend(context));
        Ok(())
    }

    fn flops(&self, exit: usize) -> u64 {
        self.learned.bandit.at.iter().take(exit + 1).map(LinearBandit::flops).sum()
    }

    fn speed(&self) -> Option<f64> {
        self.setup.settings.speed()
    }

    fn at_speed(&self, speed: f64) -> dht_dynamic::Result<Arc<dyn Router>> {
        let mut other = self.clone();
        other.set_speed(speed)?;
        Ok(Arc::new(other))
    }

    fn state(&self) -> dht_dynamic::Result<Value> {
        Ok(to_state(STATE, &self.learned)?)
    }
}

impl Learner for GainRouter {
    fn prepare(&mut self, preparation: &Preparation) -> Result<()> {
        self.learned.arm_features.clone_from(&preparation.arm_features);
        Ok(())
    }

    fn learn(&mut self, trace: &Trace, losses: &Losses) -> Result<u64> {
        let warm = self.is_warm();
        let Self { setup, learned: Learned { bandit, arm_features } } = self;
        let raw = setup.raw_size(PoolingPyramid::DEPTH);
        let context = |exit: usize, sample: usize| &trace.decisions.notes[sample][exit * raw..][..raw];
        let at_exits = || trace.at_exits.iter().enumerate();
        if warm {
            let seen = at_exits()
                .flat_map(|(exit, members)| members.iter().map(move |sample| (exit, *sample, context(exit, *sample))));
            bandit.learn(setup, arm_features.as_ref(), &trace.decisions.exits, seen, losses)?;
            return Ok(bandit.at.iter_mut().map(LinearBandit::take_learning_flops).sum());
        }
        for (exit, members) in at_exits() {
            let contexts: Rows = members.iter().map(|sample| context(exit, *sample).to_vec()).collect();
            bandit.at[exit].observe(&contexts)?;
        }
        if bandit.at[0].observed() >= setup.settings.warm_up_contexts as f64 {
            bandit.at.iter_mut().for_each(LinearBandit::freeze);
        }
        Ok(0)
    }

    fn is_warm(&self) -> bool {
        self.learned.bandit.at.iter().all(LinearBandit::is_frozen)
    }

    fn set_speed(&mut self, lambda: f64) -> Result<()> {
        self.setup.set_lambda(lambda)
    }

    fn restore(&mut self, state: Value) -> Result<()> {
        let stored: Learned = of_state(STATE, state)?;
        let names = ["depth bandit's dimension", "depth bandit's arms", "depth norm's dimension"];
        let (own, restored) = (&self.learned.bandit.at, &stored.bandit.at);
        if own.len() != restored.len() {
            return Err(Error::state("depth bandit", format!("one for each of {} exits", own.len()), restored.len()));
        }
        own.iter().zip(restored).try_for_each(|(own, restored)| own.check_like(restored, names))?;
        let warm = restored.iter().all(LinearBandit::is_frozen);
        check_arm_features(&self.setup, stored.arm_features.as_ref(), warm)?;
        self.learned = stored;
        Ok(())
    }

    fn box_clone(&self) -> Box<dyn Learner> {
        Box::new(self.clone())
    }
}

/// Bandits of the sequential router: one for each exit except the last. Each has its own context scaling and an arm for
/// each deeper exit.
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

    /// Features of the arms of the bandit at `exit`. Its arms are the deeper exits.
    fn features(features: Option<&ArmFeatures>, exit: usize) -> Option<&[Vec<f64>]> {
        features.map(|features| &features.depth[exit + 1..])
    }

    /// Returns whether a sample continues from an exit to deeper layers.
    pub(crate) fn continues(
        &self,
        setup: &Setup,
        features: Option<&ArmFeatures>,
        exit: usize,
        raw: &[f64],
        tokens: usize,
        mode: &Mode<'_>,
    ) -> Result<bool> {
        let scores = self.at[exit].scores(setup, raw, Self::features(features, exit), setup.constant())?;
        let costs = setup.exit_costs(tokens)?;
        let alpha = exploring(setup.settings.exploration.depth, mode);
        let worth = |(score, cost): (_, &f64)| setup.value(score, alpha, cost - costs[exit]);
        Ok(scores.into_iter().zip(&costs[exit + 1..]).map(worth).any(|worth| worth > 0.0))
    }

    /// Updates the bandits with the decrease of the loss between every pair of exits that a sample reached.
    ///
    /// `exits` has the exit at which each sample stopped. `seen` has an element for each visit of a sample to an exit
    /// except the last: exit, sample and context.
    pub(crate) fn learn<'a>(
        &mut self,
        setup: &Setup,
        features: Option<&ArmFeatures>,
        exits: &[usize],
        seen: impl Iterator<Item = (usize, usize, &'a [f64])>,
        losses: &Losses,
    ) -> Result<()> {
        for (here, sample, raw) in seen {
            let own = exits[sample];
            let deepest = if setup.settings.nested_feedback { here + 1 } else { own.max(here + 1) };
            for exit in deepest..=own {
                let gain = losses.gain(sample, here, exit);
                let feature = Self::features(features, here).map(|features| &*features[exit - here - 1]);
                self.at[here].update(setup, exit - here - 1, raw, feature, setup.constant(), gain)?;
            }
        }
        Ok(())
    }
}
