//! The bandits of a search together: what decides depth, what decides heads, and how they learn.

mod depth;
mod gain;
mod head_counts;
mod head_rewards;
mod head_sets;
mod linear;
mod setup;
mod state;

use dht_transformer::{
    HeadSet,
    flops::{BlockShape, ClassifierShape},
};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use self::depth::{DepthBandit, kept};
use self::head_rewards::head_rewards;
use self::setup::Setup;
use self::state::{DepthDecider, references};
use super::{
    BaseView, DepthChoices, ExitView, GroupChoices, GroupDecisions, GroupView, HeadSetGroup, Losses, Mode, Reading,
    SeenAtExit, Strategy,
};
use crate::error::{Error, Result};
use crate::features::{ArmFeatures, Rows, pooled, signals};
use crate::settings::{DepthDecision, SearchSettings};
use crate::space::{Route, SearchSpace};

pub(crate) use self::state::Learned;

/// The bandits of a tree, an integrated or a sequential search.
#[derive(Debug, Clone)]
pub(crate) struct SearchBandits {
    setup: Setup,
    /// What the bandits have learned: all that a checkpoint needs.
    learned: Learned,
}

impl SearchBandits {
    pub(crate) fn new(
        space: &SearchSpace,
        settings: &SearchSettings,
        block: BlockShape,
        classifier: ClassifierShape,
    ) -> Result<Self> {
        let setup = Setup::new(space.clone(), settings.clone(), block, classifier)?;
        let learned = Learned::new(&setup)?;
        Ok(Self { setup, learned })
    }

    /// Fixes the pinned heads, and the arms' features where the contexts have them.
    pub(crate) fn prepare(&mut self, pinned: HeadSet, features: Option<ArmFeatures>) -> Result<()> {
        self.learned.head_sets.pin(&self.setup, pinned)?;
        self.learned.arm_features = features;
        Ok(())
    }

    pub(crate) fn state(&self) -> &Learned {
        &self.learned
    }

    /// Takes up a state of bandits of the same space and settings.
    pub(crate) fn restore(&mut self, state: Learned) -> Result<()> {
        self.learned.check_like(&state, &self.setup)?;
        self.learned = state;
        Ok(())
    }

    /// Refuses a sample that waits for others of its exit, unless these bandits can have decided so.
    pub(crate) fn check_waiting(
        &self,
        exit: usize,
        arm: Option<usize>,
        context: &[f64],
        signals: &[f64],
    ) -> Result<()> {
        let refuse = |expected: String, got: String| Err(Error::setting("waiting sample", expected, got));
        let (setup, arms) = (&self.setup, self.setup.space.integrated_arms());
        let raw = match &self.learned.depth {
            DepthDecider::AtTheBase(DepthBandit { ucb, .. }) => ucb.raw_size(),
            DepthDecider::AtEveryExit(_) => return refuse("none, with decisions on the way".into(), "one".into()),
        };
        let leaves_here = |arm: usize| arms.get(arm).is_some_and(|arm| arm.exit() == setup.space.exits()[exit]);
        if setup.space.is_tree() != arm.is_none() || arm.is_some_and(|arm| !leaves_here(arm)) {
            return refuse(format!("one whose arm leaves at exit {exit}"), format!("one of arm {arm:?}"));
        }
        if (context.len(), signals.len()) != (raw, setup.signals()) {
            let expected = format!("one of {raw} numbers, {} of them signals", setup.signals());
            return refuse(expected, format!("one of {} and {}", context.len(), signals.len()));
        }
        match context.iter().chain(signals).find(|number| !number.is_finite()) {
            Some(number) => refuse("one of finite numbers".into(), format!("one with {number}")),
            None => Ok(()),
        }
    }

    /// Goes on in another space of integrated routes: UCB_cp's new arms start from those of `from`, the scaling of its
    /// contexts and the head bandit stay.
    pub(crate) fn continue_in(
        &mut self,
        space: &SearchSpace,
        block: BlockShape,
        classifier: ClassifierShape,
    ) -> Result<()> {
        let from = space.closest_arms(&self.setup.space);
        let setup = Setup::new(space.clone(), self.setup.settings.clone(), block, classifier)?;
        let (false, DepthDecider::AtTheBase(bandit)) = (self.setup.space.is_tree(), &mut self.learned.depth) else {
            return Err(Error::setting("space", "an integrated search, to go on in another one", "a tree search"));
        };
        bandit.ucb.replace_arms(&from)?;
        if let Some(features) = &mut self.learned.arm_features {
            *features = features.of_arms(&from);
        }
        self.learned.references = references(&setup);
        self.learned.head_sets.set_groups(space.groups().len());
        self.setup = setup;
        Ok(())
    }

    /// The run-time knob: what a whole model's cost is worth, λ.
    pub(crate) fn set_lambda(&mut self, new: f64) -> Result<()> {
        self.setup.set_lambda(new)
    }

    pub(crate) fn settings(&self) -> &SearchSettings {
        &self.setup.settings
    }

    /// Numbers of heads that some group may keep.
    pub(crate) fn options(&self) -> Vec<usize> {
        self.setup.options()
    }

    /// Whether the contexts' scaling is fixed and the bandits learn.
    pub(crate) fn learns(&self) -> bool {
        self.learned.head_sets.norm.is_frozen()
    }

    /// The heads that are always kept, once they are chosen.
    pub(crate) fn pinned_heads(&self) -> Option<HeadSet> {
        self.learned.head_sets.pinned
    }

    /// Learns from a batch: where its samples went, what they saw, what it came to.
    pub(crate) fn learn(&mut self, depth: &DepthChoices, groups: &[GroupDecisions<'_>], losses: &Losses) -> Result<()> {
        if !self.learns() {
            return self.observe(depth, groups);
        }
        let Self { setup, learned } = self;
        let Learned { depth: bandit, head_counts, head_sets, references, arm_features } = learned;
        let features = arm_features.as_ref();
        match bandit {
            DepthDecider::AtTheBase(bandit) => bandit.learn(setup, features, depth, losses)?,
            DepthDecider::AtEveryExit(bandit) => bandit.learn(setup, features, depth, losses)?,
        }
        for decisions in groups {
            let rewards = head_rewards(setup, &mut references[decisions.group], decisions, depth, losses)?;
            if let Some(counts) = head_counts {
                counts.learn(setup, features, decisions, &rewards)?;
            }
            let (feedback, kappa) = (setup.settings.head_feedback, setup.settings.kappa.heads);
            let rewarded: Option<Vec<bool>> =
                rewards.iter().map(|reward| feedback.rewarded(reward.ratio, kappa)).collect();
            if let Some(rewarded) = rewarded {
                let sets = &decisions.choices.head_sets;
                head_sets.learn(setup, features, decisions.group, sets, &|place, _| rewarded[place])?;
            }
        }
        Ok(())
    }

    /// Lets the heads of a group learn from how much each mattered to each sample, by place and head.
    pub(crate) fn learn_heads(
        &mut self,
        group: usize,
        head_sets: &[HeadSetGroup],
        mattered: &dyn Fn(usize, usize) -> f64,
    ) -> Result<()> {
        let Self { setup, learned } = self;
        let features = learned.arm_features.as_ref();
        learned.head_sets.learn_by_gradients(setup, features, group, head_sets, mattered)
    }

    /// Before the scaling is frozen: looks at the contexts only.
    fn observe(&mut self, depth: &DepthChoices, groups: &[GroupDecisions<'_>]) -> Result<()> {
        let Learned { depth: bandit, head_counts, head_sets, .. } = &mut self.learned;
        let observed = match bandit {
            DepthDecider::AtTheBase(DepthBandit { ucb, .. }) => {
                ucb.observe(&depth.contexts)?;
                ucb.observed()
            }
            DepthDecider::AtEveryExit(gains) => {
                for seen in &depth.seen {
                    gains.at[seen.exit].observe(&seen.contexts)?;
                }
                gains.at[0].observed()
            }
        };
        for decisions in groups {
            if let Some(counts) = head_counts {
                counts.ucb.observe(&decisions.choices.contexts)?;
            }
            for context in &decisions.choices.set_contexts {
                head_sets.norm.observe(context)?;
            }
        }
        if observed >= self.setup.settings.warm_up_contexts as f64 {
            match bandit {
                DepthDecider::AtTheBase(DepthBandit { ucb, .. }) => ucb.freeze(),
                DepthDecider::AtEveryExit(gains) => gains.at.iter_mut().for_each(linear::Ucb::freeze),
            }
            if let Some(counts) = head_counts {
                counts.ucb.freeze();
            }
            head_sets.norm.freeze();
        }
        Ok(())
    }

    /// The raw contexts of samples: the pooled state, then the signals.
    fn raw(&self, mut state: Rows, signals: &[Vec<f64>]) -> Rows {
        for (context, signals) in state.iter_mut().zip(signals) {
            context.extend_from_slice(signals);
        }
        state
    }
}

impl Strategy for SearchBandits {
    fn reading(&self) -> Reading {
        match (self.setup.settings.depth_decision, self.setup.settings.context.has_signals()) {
            (_, false) => Reading::Never,
            (DepthDecision::AtTheBase, true) => Reading::FirstExit,
            (DepthDecision::AtEveryExit, true) => Reading::EveryExit,
        }
    }

    fn exits(&self, view: &BaseView<'_>, mode: Mode, rng: &mut ChaCha8Rng) -> Result<DepthChoices> {
        let Self { setup, learned } = self;
        let samples = view.hidden.samples();
        let random = mode == Mode::Random || (mode == Mode::Explore && !self.learns());
        let unknown = mode == Mode::Exploit && !self.learns();
        let last = setup.space.exits().len() - 1;
        if let DepthDecider::AtEveryExit(_) = learned.depth {
            // Where routes are drawn they are drawn at once, and leave() keeps to them.
            let depths = setup.depths();
            let exits = (0..samples).map(|_| if random { setup.random_by_depth(&depths, rng) } else { last }).collect();
            return Ok(DepthChoices { exits, ..DepthChoices::default() });
        }
        let signals = match view.logits.filter(|_| setup.settings.context.has_signals()) {
            Some(logits) => signals(logits, view.hidden.spans().lengths())?,
            None => Vec::new(),
        };
        let mut state = vec![Vec::new(); samples];
        if setup.settings.context.has_state() {
            [state] = pooled(view.hidden, [&setup.depth_pool])?;
        }
        let contexts = self.raw(state, &signals);
        let features = learned.arm_features.as_ref();
        let lengths = || contexts.iter().zip(view.hidden.spans().lengths());
        let mut choices = DepthChoices::default();
        match &learned.depth {
            DepthDecider::AtTheBase(bandit) => {
                let (tree, arms) = (setup.space.is_tree(), setup.space.integrated_arms());
                let depths = if tree { setup.depths() } else { arms.iter().map(Route::depth).collect() };
                // Nothing is known yet: the whole model is the safe answer.
                let whole = match tree {
                    true => last,
                    false => (0..arms.len()).max_by_key(|arm| (depths[*arm], kept(&arms[*arm]))).unwrap_or_default(),
                };
                for (context, tokens) in lengths() {
                    let arm = match (unknown, random) {
                        (true, _) => whole,
                        (_, true) => setup.random_by_depth(&depths, rng),
                        _ => bandit.choose(setup, features, context, tokens, mode, rng)?,
                    };
                    if tree {
                        choices.exits.push(arm);
                    } else {
                        let exit = setup.space.exits().iter().position(|exit| *exit == arms[arm].exit());
                        choices.exits.push(exit.unwrap_or(last));
                        choices.arms.push(arm);
                    }
                }
            }
            DepthDecider::AtEveryExit(_) => {}
        }
        Ok(DepthChoices { contexts, signals, ..choices })
    }

    fn leave(&self, view: &ExitView<'_>, depth: &mut DepthChoices, mode: Mode, _: &mut ChaCha8Rng) -> Result<()> {
        let Self { setup, learned } = self;
        let DepthDecider::AtEveryExit(bandit) = &learned.depth else { return Ok(()) };
        let mut contexts = vec![Vec::new(); view.members.len()];
        if setup.settings.context.has_state() {
            [contexts] = pooled(view.hidden, [&setup.depth_pool])?;
        }
        if let Some(logits) = view.logits.filter(|_| setup.settings.context.has_signals()) {
            let here = signals(logits, view.hidden.spans().lengths())?;
            contexts = self.raw(contexts, &here);
            depth.signals.resize(depth.exits.len(), Vec::new());
            for (member, signals) in view.members.iter().zip(here) {
                depth.signals[*member] = signals;
            }
        }
        if self.learns() && mode != Mode::Random {
            let features = learned.arm_features.as_ref();
            for ((member, context), tokens) in view.members.iter().zip(&contexts).zip(view.hidden.spans().lengths()) {
                if !bandit.goes_on(setup, features, view.exit, context, tokens, mode)? {
                    depth.exits[*member] = view.exit;
                }
            }
        }
        depth.seen.push(SeenAtExit { exit: view.exit, members: view.members.to_vec(), contexts });
        Ok(())
    }

    fn heads(&self, view: &GroupView<'_>, mode: Mode, rng: &mut ChaCha8Rng) -> Result<GroupChoices> {
        let Self { setup, learned } = self;
        let features = learned.arm_features.as_ref();
        let Some(bandit) = &learned.head_counts else {
            let [sets] = pooled(view.hidden, [&setup.head_sets_pool])?;
            let arms = setup.space.integrated_arms();
            let kept: Vec<usize> = view.members.iter().map(|member| kept(&arms[view.depth.arms[*member]])).collect();
            let head_sets = self.learned.head_sets.draw(setup, features, view.group, &kept, &sets, mode, rng)?;
            return Ok(GroupChoices { kept, contexts: Vec::new(), set_contexts: sets, head_sets });
        };
        let [state, sets] = match setup.settings.context.has_state() {
            true => pooled(view.hidden, [&setup.heads_pool, &setup.head_sets_pool])?,
            false => {
                let [sets] = pooled(view.hidden, [&setup.head_sets_pool])?;
                [vec![Vec::new(); view.members.len()], sets]
            }
        };
        let mut contexts = state;
        if setup.settings.context.has_signals() {
            for (context, member) in contexts.iter_mut().zip(view.members) {
                context.extend_from_slice(&view.depth.signals[*member]);
            }
        }
        let here = setup.space.head_options(view.group);
        let mut kept = Vec::with_capacity(contexts.len());
        for (context, tokens) in contexts.iter().zip(view.hidden.spans().lengths()) {
            kept.push(if here.len() == 1 || (mode == Mode::Exploit && !self.learns()) {
                here[here.len() - 1]
            } else if mode == Mode::Random || !self.learns() {
                here[rng.random_range(0..here.len())]
            } else {
                bandit.choose(setup, features, view.group, context, tokens, mode, rng)?
            });
        }
        let head_sets = learned.head_sets.draw(setup, features, view.group, &kept, &sets, mode, rng)?;
        Ok(GroupChoices { kept, contexts, set_contexts: sets, head_sets })
    }

    fn depth_flops(&self, exit: usize) -> u64 {
        match &self.learned.depth {
            DepthDecider::AtTheBase(DepthBandit { ucb, .. }) => ucb.flops(),
            DepthDecider::AtEveryExit(gains) => gains.at.iter().take(exit + 1).map(linear::Ucb::flops).sum(),
        }
    }

    fn group_flops(&self) -> u64 {
        self.learned.head_counts.as_ref().map_or(0, |counts| counts.ucb.flops())
            + self.learned.head_sets.flops(&self.setup)
    }
}

#[cfg(test)]
mod tests;
