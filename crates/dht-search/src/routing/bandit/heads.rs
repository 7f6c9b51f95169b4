//! Head router with bandits: the head-count bandit selects the number of heads that a sample keeps, and the head-set
//! bandit selects which heads.

use std::sync::Arc;

use dht_dynamic::Router;
use dht_dynamic::passage::{GroupTrace, Trace};
use dht_dynamic::router::{GroupDecisions, GroupView, HeadSetGroup, Mode};
use dht_transformer::HeadSet;
use rand::RngExt;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::head_counts::{self, HeadCounts};
use super::head_rewards::{head_rewards, route_rewards};
use super::head_sets::HeadSets;
use super::setup::{Setup, at_random};
use super::stored::{check_arm_features, of_state, to_state};
use crate::error::{Error, Result};
use crate::features::{ArmFeatures, pooled, signals_of};
use crate::reward::RewardReference;
use crate::routing::learner::{Learner, Preparation, kept_by};
use crate::routing::losses::Losses;
use crate::settings::HeadDraws;
use crate::space::SearchSpace;

const STATE: &str = "head bandits";

#[derive(Debug, Clone)]
pub(crate) struct BanditHeads {
    setup: Setup,
    learned: Learned,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Learned {
    /// Head-count bandit of a tree search. `None` in an integrated search, where the route's arm defines the number of
    /// heads.
    counts: Option<HeadCounts>,
    sets: HeadSets,
    /// Mean cost-weighted losses, relative to which rewards are computed, by group of layers and exit.
    references: Vec<Vec<RewardReference>>,
    arm_features: Option<ArmFeatures>,
    /// Number of samples observed during the warm-up.
    observed: u64,
}

impl Learned {
    /// Counts samples of the warm-up. When enough are observed, freezes the statistics that scale contexts, which ends
    /// the warm-up.
    fn count(&mut self, samples: usize, setup: &Setup) {
        self.observed += samples as u64;
        if self.observed >= setup.settings.warm_up_contexts as u64 {
            if let Some(counts) = &mut self.counts {
                counts.linear.freeze();
            }
            self.sets.norm.freeze();
        }
    }
}

impl Learned {
    /// Returns the FLOPs of both bandits' updates since the last call.
    fn take_learning_flops(&mut self) -> u64 {
        let counts = self.counts.as_mut().map_or(0, |counts| counts.linear.take_learning_flops());
        counts + self.sets.take_learning_flops()
    }
}

impl BanditHeads {
    pub(crate) fn new(setup: Setup) -> Result<Self> {
        let learned = Learned {
            counts: if setup.space.is_tree() { Some(HeadCounts::new(&setup)?) } else { None },
            sets: HeadSets::new(&setup)?,
            references: references(&setup),
            arm_features: None,
            observed: 0,
        };
        Ok(Self { setup, learned })
    }

    /// Adds the contexts of a batch to the statistics that scale contexts.
    fn observe(&mut self, groups: &[GroupTrace]) -> Result<()> {
        let Learned { counts, sets, .. } = &mut self.learned;
        for trace in groups {
            if let Some(counts) = counts {
                counts.linear.observe(&trace.decisions.notes)?;
            }
            for context in &trace.decisions.set_notes {
                sets.norm.observe(context)?;
            }
        }
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn dimensions(&self) -> [Option<usize>; 2] {
        let Learned { counts, sets, .. } = &self.learned;
        [counts.as_ref().map(|counts| counts.linear.dimension()), Some(sets.dimension())]
    }

    /// Returns the head-count bandit, which only a tree search has, and the head-set bandit.
    #[cfg(test)]
    pub(super) fn bandits(&self) -> (Option<&HeadCounts>, &HeadSets) {
        (self.learned.counts.as_ref(), &self.learned.sets)
    }

    #[cfg(test)]
    pub(super) fn sets_mut(&mut self) -> &mut HeadSets {
        &mut self.learned.sets
    }

    /// Rejects a restored state whose sizes or values do not fit `self`.
    fn check_like(&self, stored: &Learned) -> Result<()> {
        let names = ["heads bandit's dimension", "heads bandit's arms", "heads norm's dimension"];
        match (&self.learned.counts, &stored.counts) {
            (Some(own), Some(stored)) => own.linear.check_like(&stored.linear, names)?,
            (None, None) => {}
            _ => return Err(Error::state("heads bandit", "the bandits of this space", "those of another space")),
        }
        self.learned.sets.check_like(&stored.sets, &self.setup)?;
        let lengths = |learned: &Learned| learned.references.iter().map(Vec::len).collect::<Vec<_>>();
        let (own, restored) = (lengths(&self.learned), lengths(stored));
        if own != restored {
            return Err(Error::state("reward references", format!("{own:?} by group"), format!("{restored:?}")));
        }
        if let Some(wrong) = stored.references.iter().flatten().find(|reference| !reference.is_possible()) {
            return Err(Error::state("reward reference", "finite numbers, 0 or more", format!("{wrong:?}")));
        }
        let prepared = stored.sets.pinned.is_some() || stored.sets.norm.is_frozen();
        check_arm_features(&self.setup, stored.arm_features.as_ref(), prepared)
    }
}

fn references(setup: &Setup) -> Vec<Vec<RewardReference>> {
    vec![vec![RewardReference::default(); setup.space.exits().len()]; setup.space.groups().len()]
}

impl Router for BanditHeads {
    fn reads(&self, _: usize, _: usize) -> bool {
        false
    }

    fn heads(&self, view: &GroupView<'_>, mode: &mut Mode<'_>) -> dht_dynamic::Result<Option<GroupDecisions>> {
        let Self { setup, learned } = self;
        let features = learned.arm_features.as_ref();
        let Some(bandit) = &learned.counts else {
            let [set_contexts] = pooled(view.hidden, [&setup.head_sets_pool])?;
            let kept = view.members.iter().map(|member| kept_by(view.decisions, *member));
            let kept = kept.collect::<Result<Vec<_>>>()?;
            let sets = learned.sets.choosing(setup, &set_contexts, mode)?;
            let head_sets = sets.draw(setup, features, view.group, &kept, &set_contexts, mode)?;
            return Ok(Some(GroupDecisions { kept, notes: Vec::new(), set_notes: set_contexts, head_sets }));
        };
        let [state, set_contexts] = match setup.settings.context.has_state() {
            true => pooled(view.hidden, [&setup.heads_pool, &setup.head_sets_pool])?,
            false => {
                let [sets] = pooled(view.hidden, [&setup.head_sets_pool])?;
                [vec![Vec::new(); view.members.len()], sets]
            }
        };
        let mut contexts = state;
        if setup.settings.context.has_signals() {
            let texts = view.members.iter().zip(view.hidden.spans().lengths());
            for (context, (member, tokens)) in contexts.iter_mut().zip(texts) {
                let missing = || Error::shape("answers", "those of an exit that read the text", "none");
                let logs = view.decisions.answers.get(*member).ok_or_else(missing)?;
                context.extend(signals_of(logs, tokens));
            }
        }
        let linear = bandit.linear.choosing(setup, &contexts, mode)?;
        let sets = learned.sets.choosing(setup, &set_contexts, mode)?;
        let warm = sets.is_warm(setup);
        let options = setup.space.head_options(view.group);
        let mut kept = Vec::with_capacity(contexts.len());
        for (context, tokens) in contexts.iter().zip(view.hidden.spans().lengths()) {
            kept.push(if options.len() == 1 || (mode.is_exploit() && !warm) {
                options[options.len() - 1]
            } else if let Some(rng) = at_random(mode, warm) {
                options[rng.random_range(0..options.len())]
            } else {
                head_counts::choose(&linear, setup, features, view.group, context, tokens, mode)?
            });
        }
        let head_sets = sets.draw(setup, features, view.group, &kept, &set_contexts, mode)?;
        Ok(Some(GroupDecisions { kept, notes: contexts, set_notes: set_contexts, head_sets }))
    }

    fn keeps_all(&self) -> bool {
        false
    }

    fn reads_answers(&self) -> bool {
        self.learned.counts.is_some() && self.setup.settings.context.has_signals()
    }

    fn group_flops(&self) -> u64 {
        self.learned.counts.as_ref().map_or(0, |counts| counts.linear.flops()) + self.learned.sets.flops(&self.setup)
    }

    fn speed(&self) -> Option<f64> {
        self.setup.settings.speed()
    }

    fn at_speed(&self, speed: f64) -> dht_dynamic::Result<Arc<dyn Router>> {
        let mut other = self.clone();
        other.set_speed(speed)?;
        Ok(Arc::new(other))
    }

    fn independent(&self) -> Option<Arc<dyn Router>> {
        let mut other = self.clone();
        other.draw_for_each_sample();
        Some(Arc::new(other))
    }

    fn state(&self) -> dht_dynamic::Result<Value> {
        Ok(to_state(STATE, &self.learned)?)
    }
}

impl Learner for BanditHeads {
    fn prepare(&mut self, preparation: &Preparation) -> Result<()> {
        self.learned.sets.pin(&self.setup, preparation.pinned)?;
        self.learned.arm_features.clone_from(&preparation.arm_features);
        Ok(())
    }

    fn learn(&mut self, Trace { decisions, groups, .. }: &Trace, losses: &Losses) -> Result<u64> {
        let rolling = self.setup.is_rolling();
        if !rolling && !self.is_warm() {
            self.observe(groups)?;
            self.learned.count(decisions.exits.len(), &self.setup);
            return Ok(0);
        }
        if rolling {
            self.observe(groups)?;
        }
        let Self { setup, learned } = self;
        let Learned { counts, sets, references, arm_features, .. } = learned;
        let features = arm_features.as_ref();
        let routes = match references.first_mut().filter(|_| counts.is_none()) {
            Some(references) => route_rewards(setup, &mut references[0], decisions, losses)?,
            None => None,
        };
        for trace in groups {
            let rewards = match &routes {
                Some(rewards) => trace.members.iter().map(|member| rewards[*member]).collect(),
                None => head_rewards(setup, &mut references[trace.group], trace, decisions, losses)?,
            };
            if let Some(counts) = counts {
                counts.learn(setup, features, trace, &rewards)?;
            }
            let (feedback, kappa) = (setup.settings.head_feedback, setup.head_set_rewards().kappa);
            let rewarded: Option<Vec<bool>> =
                rewards.iter().map(|reward| feedback.rewarded(reward.ratio, kappa)).collect();
            if let Some(rewarded) = rewarded {
                let rewarded = |index: usize, _| rewarded[index];
                sets.learn(setup, features, trace.group, &trace.decisions, &rewarded)?;
            }
        }
        Ok(learned.take_learning_flops())
    }

    fn is_warm(&self) -> bool {
        self.learned.sets.is_warm(&self.setup)
    }

    fn set_speed(&mut self, lambda: f64) -> Result<()> {
        self.setup.set_lambda(lambda)
    }

    /// Changes to another integrated search space. The head-set bandit keeps its learned state.
    fn enter(&mut self, space: &SearchSpace) -> Result<()> {
        if self.setup.space.is_tree() {
            return Err(Error::argument("space", "an integrated search", "a tree search"));
        }
        let setup = self.setup.in_space(space)?;
        if let Some(features) = &mut self.learned.arm_features {
            *features = features.of_arms(&space.closest_arms(&self.setup.space));
        }
        self.learned.references = references(&setup);
        self.learned.sets.set_groups(space.groups().len());
        self.setup = setup;
        Ok(())
    }

    fn restore(&mut self, state: Value) -> Result<()> {
        let stored = of_state(STATE, state)?;
        self.check_like(&stored)?;
        self.learned = stored;
        Ok(())
    }

    fn sets_keeping(&self, view: &GroupView<'_>, kept: &[usize], mode: &mut Mode<'_>) -> Result<Vec<HeadSetGroup>> {
        let Self { setup, learned } = self;
        let [contexts] = pooled(view.hidden, [&setup.head_sets_pool])?;
        learned.sets.draw(setup, learned.arm_features.as_ref(), view.group, kept, &contexts, mode)
    }

    fn pinned(&self) -> Option<HeadSet> {
        self.learned.sets.pinned
    }

    fn pin(&mut self, pinned: HeadSet) -> Result<()> {
        self.learned.sets.pin(&self.setup, Some(pinned))
    }

    fn learn_gradients(&mut self, trace: &GroupTrace, importance: &dyn Fn(usize, usize) -> f64) -> Result<u64> {
        let Self { setup, learned } = self;
        let features = learned.arm_features.as_ref();
        learned.sets.learn_by_gradients(setup, features, trace.group, &trace.decisions, importance)?;
        Ok(learned.take_learning_flops())
    }

    fn draw_for_each_sample(&mut self) {
        self.setup.settings.head_draws = HeadDraws::PerSample;
    }

    fn box_clone(&self) -> Box<dyn Learner> {
        Box::new(self.clone())
    }
}
