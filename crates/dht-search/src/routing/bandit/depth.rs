//! Router that decides the depth of each sample once, from the hidden state after the base layers.
//!
//! In a tree search the depth bandit (UCB_L in the DHT paper, section 4.2.1) selects an exit. In an integrated search
//! the joint bandit (UCB_cp, section 4.2.2) selects depth and heads at once.

use std::sync::Arc;

use dht_dynamic::passage::Trace;
use dht_dynamic::router::{Decisions, ExitView, Mode};
use dht_dynamic::{Route, Router};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::contexts::contexts;
use super::linear::{LinearBandit, RewardSample};
use super::setup::{Setup, at_random};
use super::stored::{check_arm_features, of_state, to_state};
use crate::error::{Error, Result};
use crate::features::{ArmFeatures, PoolingPyramid};
use crate::reward::{CostWeightedLoss, RewardReference};
use crate::routing::learner::{Learner, Preparation, kept, kept_by, taking_arms};
use crate::routing::losses::Losses;
use crate::space::SearchSpace;

const STATE: &str = "depth bandit";

/// Router that decides the depth of each sample once, from the hidden state after the base layers.
#[derive(Debug, Clone)]
pub(crate) struct DepthRouter {
    pub(super) setup: Setup,
    pub(super) learned: Learned,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Learned {
    pub(super) bandit: DepthBandit,
    pub(super) arm_features: Option<ArmFeatures>,
}

impl DepthRouter {
    pub(crate) fn new(setup: Setup) -> Result<Self> {
        let learned = Learned { bandit: DepthBandit::new(&setup)?, arm_features: None };
        Ok(Self { setup, learned })
    }
}

impl Router for DepthRouter {
    fn reads(&self, exit: usize, _: usize) -> bool {
        exit == 0 && self.setup.settings.context.has_signals()
    }

    fn begin(
        &self,
        view: &ExitView<'_>,
        decisions: &mut Decisions,
        last: usize,
        mode: &mut Mode<'_>,
    ) -> dht_dynamic::Result<()> {
        let Self { setup, learned } = self;
        let contexts = contexts(setup, view)?;
        let linear = learned.bandit.linear.choosing(setup, &contexts, mode)?;
        let warm = linear.is_warm(setup);
        let features = learned.arm_features.as_ref();
        let (tree, arms) = (setup.space.is_tree(), setup.space.integrated_arms());
        let depths = if tree { setup.depths() } else { arms.iter().map(Route::depth).collect() };
        // During the warm-up, inference runs the full model.
        let full = match tree {
            true => last,
            false => (0..arms.len()).max_by_key(|arm| (depths[*arm], kept(&arms[*arm]))).unwrap_or_default(),
        };
        let mut selected = Vec::with_capacity(contexts.len());
        for (context, tokens) in contexts.iter().zip(view.lengths()) {
            selected.push(if let Some(rng) = at_random(mode, warm) {
                setup.random_by_depth(&depths, rng)
            } else if warm {
                choose(&linear, setup, features, context, tokens, mode)?
            } else {
                full
            });
        }
        *decisions = if tree { Decisions::leaving_at(selected) } else { taking_arms(&setup.space, &selected)? };
        decisions.notes = contexts;
        Ok(())
    }

    fn flops(&self, _: usize) -> u64 {
        self.learned.bandit.linear.flops()
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

impl Learner for DepthRouter {
    fn prepare(&mut self, preparation: &Preparation) -> Result<()> {
        self.learned.arm_features.clone_from(&preparation.arm_features);
        Ok(())
    }

    fn learn(&mut self, Trace { decisions, .. }: &Trace, losses: &Losses) -> Result<u64> {
        let Self { setup, learned: Learned { bandit, arm_features } } = self;
        if setup.is_rolling() {
            bandit.linear.observe(&decisions.notes)?;
        }
        if bandit.linear.is_warm(setup) {
            bandit.learn(setup, arm_features.as_ref(), decisions, losses)?;
            return Ok(bandit.linear.take_learning_flops());
        }
        bandit.linear.observe(&decisions.notes)?;
        if bandit.linear.observed() >= setup.settings.warm_up_contexts as f64 {
            bandit.linear.freeze();
        }
        Ok(0)
    }

    fn is_warm(&self) -> bool {
        self.learned.bandit.linear.is_warm(&self.setup)
    }

    fn set_speed(&mut self, lambda: f64) -> Result<()> {
        self.setup.set_lambda(lambda)
    }

    /// Changes to another search space of an integrated search, where one bandit selects depth and heads at once. Each
    /// new arm starts from the nearest old arm if the contexts (inputs) come from the same layers as before. Otherwise
    /// the bandit starts from scratch.
    fn enter(&mut self, space: &SearchSpace) -> Result<()> {
        if self.setup.space.is_tree() {
            return Err(Error::argument("space", "an integrated search", "a tree search"));
        }
        let from = space.closest_arms(&self.setup.space);
        let setup = self.setup.in_space(space)?;
        if space.base_layers() == self.setup.space.base_layers() {
            self.learned.bandit.linear.replace_arms(&from)?;
        } else {
            self.learned.bandit = DepthBandit::new(&setup)?;
        }
        if let Some(features) = &mut self.learned.arm_features {
            *features = features.of_arms(&from);
        }
        self.setup = setup;
        Ok(())
    }

    fn check_queued(&self, exit: usize, heads: Option<usize>, context: &[f64]) -> Result<()> {
        let refuse = |expected: String, got: String| Err(Error::state("queued sample", expected, got));
        let (space, raw) = (&self.setup.space, self.learned.bandit.linear.raw_size());
        let possible = match heads {
            None => space.is_tree(),
            Some(heads) => arm_of(space, exit, heads).is_some_and(|arm| kept(&space.integrated_arms()[arm]) == heads),
        };
        if !possible {
            return refuse(format!("one whose arm leaves at exit {exit}"), format!("one of {heads:?} heads"));
        }
        if context.len() != raw {
            return refuse(format!("one of {raw} values"), format!("one of {}", context.len()));
        }
        match context.iter().find(|value| !value.is_finite()) {
            Some(value) => refuse("one of finite values".into(), format!("one with {value}")),
            None => Ok(()),
        }
    }

    fn restore(&mut self, state: Value) -> Result<()> {
        let stored: Learned = of_state(STATE, state)?;
        let names = ["depth bandit's dimension", "depth bandit's arms", "depth norm's dimension"];
        self.learned.bandit.linear.check_like(&stored.bandit.linear, names)?;
        let reference = &stored.bandit.reference;
        if !reference.is_possible() {
            return Err(Error::state("reward reference", "finite numbers, 0 or more", format!("{reference:?}")));
        }
        let warm = stored.bandit.linear.is_warm(&self.setup);
        check_arm_features(&self.setup, stored.arm_features.as_ref(), warm)?;
        self.learned = stored;
        Ok(())
    }

    fn box_clone(&self) -> Box<dyn Learner> {
        Box::new(self.clone())
    }
}

/// Bandit with one arm for each exit of a tree search, or for each route of an integrated search. Its contexts are \[x
/// ; z\] or \[x ; 1\]: the pooled hidden state x, then the arm's feature z or, without arm features, 1.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DepthBandit {
    pub(crate) linear: LinearBandit,
    pub(crate) reference: RewardReference,
}

impl DepthBandit {
    pub(crate) fn new(setup: &Setup) -> Result<Self> {
        let space = &setup.space;
        let arms = if space.is_tree() { space.exits().len() } else { space.integrated_arms().len() };
        let linear = LinearBandit::new(
            setup,
            setup.raw_size(PoolingPyramid::DEPTH),
            setup.constant().len(),
            arms,
            alpha(setup),
        )?;
        Ok(Self { linear, reference: RewardReference::default() })
    }

    /// Updates the arm that was selected for each sample, from the reward of the sample.
    ///
    /// With the setting `nested_feedback`, each sample also updates the exits that it passed. In a tree search, these
    /// are the arms of the passed exits. In an integrated search, they are the arms that lead to a passed exit with the
    /// same number of heads.
    pub(crate) fn learn(
        &mut self,
        setup: &Setup,
        features: Option<&ArmFeatures>,
        depth: &Decisions,
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
                    let Some(arm) = arm_of(&setup.space, exit, kept_by(depth, sample)?) else { continue };
                    (arm, CostWeightedLoss::of_depth_and_heads(loss, arms[arm].depth(), kept(&arms[arm]))?)
                };
                samples.push(RewardSample { sample, arm, delta: delta.with_gain(losses.gain(sample, 0, exit)) });
            }
        }
        let rule = if tree { setup.settings.depth_rewards() } else { setup.settings.arm_rewards() };
        self.linear.learn(setup, &depth.notes, of_arms(setup, features), &samples, rule, &mut self.reference)
    }
}

pub(super) fn choose(
    linear: &LinearBandit,
    setup: &Setup,
    features: Option<&ArmFeatures>,
    raw: &[f64],
    tokens: usize,
    mode: &mut Mode<'_>,
) -> Result<usize> {
    let costs = if setup.space.is_tree() { setup.exit_costs(tokens)? } else { setup.arm_costs(tokens)? };
    linear.choose(setup, raw, of_arms(setup, features), alpha(setup), &costs, mode)
}

fn alpha(setup: &Setup) -> f64 {
    let exploration = setup.settings.exploration;
    if setup.space.is_tree() { exploration.depth } else { exploration.arms }
}

fn of_arms<'a>(setup: &Setup, features: Option<&'a ArmFeatures>) -> Option<&'a [Vec<f64>]> {
    features.map(|features| if setup.space.is_tree() { &*features.depth } else { &*features.arms })
}

/// Index of the arm whose route stops at `exit` and keeps `heads` heads in every group of layers with a choice of
/// heads; `None` if no arm does.
fn arm_of(space: &SearchSpace, exit: usize, heads: usize) -> Option<usize> {
    let groups = space.groups_before(exit).len();
    let route = space.route_keeping(exit, &vec![heads; groups]).ok()?;
    space.integrated_arms().iter().position(|arm| *arm == route)
}
