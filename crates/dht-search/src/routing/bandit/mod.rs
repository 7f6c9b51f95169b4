//! The bandits of a search together: what decides depth, what decides heads, and how they learn.

mod arm;
mod exit;
mod gain;
mod head_counts;
mod head_sets;
mod linear;
mod setup;

use std::collections::BTreeMap;

use dht_transformer::{BlockShape, ClassifierShape, HeadSet};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use self::arm::{ArmBandit, kept};
use self::exit::ExitBandit;
use self::gain::GainBandit;
use self::head_counts::HeadCounts;
use self::head_sets::HeadSets;
use self::setup::Setup;
use super::{BaseView, Bucket, DepthChoices, ExitView, GroupChoices, GroupView, Mode, Reading, SeenAtExit, Strategy};
use crate::error::{Error, Result};
use crate::features::{ArmFeatures, Rows, pooled, signals};
use crate::reward::{Delta, Reward, RewardMemory, RewardReference};
use crate::settings::{DepthDecision, SearchSettings};
use crate::space::SearchSpace;

/// The losses of a batch where they are known.
pub(crate) struct Losses {
    /// By exit, then by sample; NaN where a sample did not come by.
    pub(crate) by_exit: Vec<Vec<f64>>,
}

impl Losses {
    /// The loss that a sample is spared at one exit over another.
    pub(crate) fn gain(&self, sample: usize, over: usize, exit: usize) -> f64 {
        self.by_exit[over][sample] - self.by_exit[exit][sample]
    }

    /// What a group's layers gained: the loss at the exit before them less the loss at the exit after them. NaN where one
    /// of the two is not known, or not there.
    fn of_group(&self, sample: usize, group: usize) -> f64 {
        if group + 1 < self.by_exit.len() { self.gain(sample, group, group + 1) } else { f64::NAN }
    }
}

/// A group that some samples ran, for learning.
pub(crate) struct GroupDecisions<'a> {
    pub(crate) group: usize,
    /// Places in the batch, by place in the group.
    pub(crate) members: &'a [usize],
    pub(crate) choices: &'a GroupChoices,
}

/// The bandits of a tree, an integrated or a sequential search.
#[derive(Debug, Clone)]
pub(crate) struct SearchBandits {
    setup: Setup,
    /// What the bandits have learned: all that a checkpoint needs.
    learned: Learned,
}

/// Everything that changes while the bandits learn.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Learned {
    depth: DepthBandit,
    /// UCB_H; an integrated search has none.
    head_counts: Option<HeadCounts>,
    head_sets: HeadSets,
    /// What the rewards of each group are compared with: one for the group, or one for each exit behind it.
    references: Vec<Vec<RewardReference>>,
    arm_features: Option<ArmFeatures>,
}

/// What decides how deep a sample goes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum DepthBandit {
    /// UCB_L: tree search.
    Exit(ExitBandit),
    /// UCB_cp: integrated search.
    Arm(ArmBandit),
    /// One at every exit: sequential search.
    Gain(GainBandit),
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
            DepthBandit::Exit(ExitBandit { ucb, .. }) | DepthBandit::Arm(ArmBandit { ucb, .. }) => ucb.raw_size(),
            DepthBandit::Gain(_) => return refuse("none, with decisions on the way".into(), "one".into()),
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
        let DepthBandit::Arm(bandit) = &mut self.learned.depth else {
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
            DepthBandit::Exit(bandit) => bandit.learn(setup, features, depth, losses)?,
            DepthBandit::Arm(bandit) => bandit.learn(setup, features, depth, losses)?,
            DepthBandit::Gain(bandit) => bandit.learn(setup, features, depth, losses)?,
        }
        for decisions in groups {
            let rewards = group_rewards(setup, &mut references[decisions.group], decisions, depth, losses)?;
            if let Some(counts) = head_counts {
                counts.learn(setup, features, decisions, &rewards)?;
            }
            let (feedback, kappa) = (setup.settings.head_feedback, setup.settings.kappa.heads);
            let rewarded: Option<Vec<bool>> =
                rewards.iter().map(|reward| feedback.rewarded(reward.ratio, kappa)).collect();
            if let Some(rewarded) = rewarded {
                let buckets = &decisions.choices.buckets;
                head_sets.learn(setup, features, decisions.group, buckets, &|place, _| rewarded[place])?;
            }
        }
        Ok(())
    }

    /// Lets the heads of a group learn from how much each mattered to each sample, by place and head.
    pub(crate) fn learn_heads(
        &mut self,
        group: usize,
        buckets: &[Bucket],
        mattered: &dyn Fn(usize, usize) -> f64,
    ) -> Result<()> {
        let Self { setup, learned } = self;
        let features = learned.arm_features.as_ref();
        learned.head_sets.learn_by_slopes(setup, features, group, buckets, mattered)
    }

    /// Before the scaling is frozen: looks at the contexts only.
    fn observe(&mut self, depth: &DepthChoices, groups: &[GroupDecisions<'_>]) -> Result<()> {
        let Learned { depth: bandit, head_counts, head_sets, .. } = &mut self.learned;
        let observed = match bandit {
            DepthBandit::Exit(ExitBandit { ucb, .. }) | DepthBandit::Arm(ArmBandit { ucb, .. }) => {
                ucb.observe(&depth.contexts)?;
                ucb.observed()
            }
            DepthBandit::Gain(gains) => {
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
                DepthBandit::Exit(ExitBandit { ucb, .. }) | DepthBandit::Arm(ArmBandit { ucb, .. }) => ucb.freeze(),
                DepthBandit::Gain(gains) => gains.at.iter_mut().for_each(linear::Ucb::freeze),
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

impl Learned {
    fn new(setup: &Setup) -> Result<Self> {
        let (depth, head_counts) = match (setup.space.is_tree(), setup.settings.depth_decision) {
            (false, _) => (DepthBandit::Arm(ArmBandit::new(setup)?), None),
            (true, DepthDecision::AtTheBase) => {
                (DepthBandit::Exit(ExitBandit::new(setup)?), Some(HeadCounts::new(setup)?))
            }
            (true, DepthDecision::AtEveryExit) => {
                (DepthBandit::Gain(GainBandit::new(setup)?), Some(HeadCounts::new(setup)?))
            }
        };
        let head_sets = HeadSets::new(setup)?;
        Ok(Self { depth, head_counts, head_sets, references: references(setup), arm_features: None })
    }

    /// The dimensions of what decides depth, of UCB_H where there is one, and of the head bandit: 168, 87 and 13 as the
    /// paper has them.
    #[cfg(test)]
    pub(crate) fn sizes(&self) -> [Option<usize>; 3] {
        let depth = match &self.depth {
            DepthBandit::Exit(ExitBandit { ucb, .. }) | DepthBandit::Arm(ArmBandit { ucb, .. }) => ucb.dimension(),
            DepthBandit::Gain(gains) => gains.at[0].dimension(),
        };
        [Some(depth), self.head_counts.as_ref().map(|counts| counts.ucb.dimension()), Some(self.head_sets.dimension())]
    }

    /// Refuses a state that is not one of these bandits.
    fn check_like(&self, stored: &Self, setup: &Setup) -> Result<()> {
        let names = ["depth bandit's dimension", "depth bandit's arms", "depth norm's dimension"];
        match (&self.depth, &stored.depth) {
            (DepthBandit::Exit(own), DepthBandit::Exit(stored)) => own.ucb.check_like(&stored.ucb, names)?,
            (DepthBandit::Arm(own), DepthBandit::Arm(stored)) => own.ucb.check_like(&stored.ucb, names)?,
            (DepthBandit::Gain(own), DepthBandit::Gain(stored)) if own.at.len() == stored.at.len() => {
                own.at.iter().zip(&stored.at).try_for_each(|(own, stored)| own.check_like(stored, names))?;
            }
            _ => return Err(Error::setting("depth bandit", "one of this space and these settings", "another one")),
        }
        let names = ["heads bandit's dimension", "heads bandit's arms", "heads norm's dimension"];
        match (&self.head_counts, &stored.head_counts) {
            (Some(own), Some(stored)) => own.ucb.check_like(&stored.ucb, names)?,
            (None, None) => {}
            _ => return Err(Error::setting("heads bandit", "one as this space has it", "another one")),
        }
        self.head_sets.check_like(&stored.head_sets, setup)?;
        let [own, found] = [self, stored].map(|learned| learned.references.iter().map(Vec::len).collect::<Vec<_>>());
        if own != found {
            return Err(Error::setting("reward references", format!("{own:?} by group"), format!("{found:?}")));
        }
        let of_depth = match &stored.depth {
            DepthBandit::Exit(bandit) => Some(&bandit.reference),
            DepthBandit::Arm(bandit) => Some(&bandit.reference),
            DepthBandit::Gain(_) => None,
        };
        let mut references = stored.references.iter().flatten().chain(of_depth);
        if let Some(wrong) = references.find(|reference| !reference.is_possible()) {
            return Err(Error::setting("reward reference", "finite numbers, 0 or more", format!("{wrong:?}")));
        }
        let wanted = setup.settings.context.has_arm_features() && stored.head_sets.pinned.is_some();
        match &stored.arm_features {
            None if wanted => Err(Error::setting("arm features", "those of the paper's contexts", "none")),
            Some(features) if !wanted || !features.fit(&setup.space, setup.options().len()) => {
                Err(Error::setting("arm features", "those of this space's arms", "others"))
            }
            _ => Ok(()),
        }
    }
}

/// The references of each group and exit.
fn references(setup: &Setup) -> Vec<Vec<RewardReference>> {
    vec![vec![RewardReference::default(); setup.space.exits().len()]; setup.space.groups().len()]
}

/// δ_H of the samples of a group, compared with what came before: with the print's memory with the last batch that had
/// the group; with ours with the samples that left by the same exit, since depth is decided and not the heads' doing.
fn group_rewards(
    setup: &Setup,
    references: &mut [RewardReference],
    decisions: &GroupDecisions<'_>,
    depth: &DepthChoices,
    losses: &Losses,
) -> Result<Vec<Reward>> {
    let rule = setup.settings.heads_rewards();
    let mut deltas: BTreeMap<usize, (Vec<usize>, Vec<Delta>)> = BTreeMap::new();
    for (place, (&sample, &kept)) in decisions.members.iter().zip(&decisions.choices.kept).enumerate() {
        let exit = depth.exits[sample];
        let delta = Delta::of_depth_and_heads(losses.by_exit[exit][sample], setup.space.depth(exit), kept)?;
        let reference = if rule.memory == RewardMemory::PreviousBatch { 0 } else { exit };
        let (places, deltas) = deltas.entry(reference).or_default();
        places.push(place);
        deltas.push(delta.with_gain(losses.of_group(sample, decisions.group)));
    }
    let mut rewards = vec![Reward { value: 0.0, ratio: 1.0 }; decisions.members.len()];
    for (reference, (places, deltas)) in deltas {
        for (place, reward) in places.into_iter().zip(rule.rewards(&mut references[reference], &deltas)?) {
            rewards[place] = reward;
        }
    }
    Ok(rewards)
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
        if let DepthBandit::Gain(_) = learned.depth {
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
            DepthBandit::Exit(bandit) => {
                // Nothing is known yet: the whole model is the safe answer.
                let depths = setup.depths();
                for (context, tokens) in lengths() {
                    choices.exits.push(match (unknown, random) {
                        (true, _) => last,
                        (_, true) => setup.random_by_depth(&depths, rng),
                        _ => bandit.choose(setup, features, context, tokens, mode, rng)?,
                    });
                }
            }
            DepthBandit::Arm(bandit) => {
                let arms = setup.space.integrated_arms();
                let depths: Vec<usize> = arms.iter().map(crate::space::Route::depth).collect();
                let whole = (0..arms.len()).max_by_key(|arm| (depths[*arm], kept(&arms[*arm]))).unwrap_or_default();
                for (context, tokens) in lengths() {
                    let arm = match (unknown, random) {
                        (true, _) => whole,
                        (_, true) => setup.random_by_depth(&depths, rng),
                        _ => bandit.choose(setup, features, context, tokens, mode, rng)?,
                    };
                    let exit = setup.space.exits().iter().position(|exit| *exit == arms[arm].exit());
                    choices.exits.push(exit.unwrap_or(last));
                    choices.arms.push(arm);
                }
            }
            DepthBandit::Gain(_) => {}
        }
        Ok(DepthChoices { contexts, signals, ..choices })
    }

    fn leave(&self, view: &ExitView<'_>, depth: &mut DepthChoices, mode: Mode, _: &mut ChaCha8Rng) -> Result<()> {
        let Self { setup, learned } = self;
        let DepthBandit::Gain(bandit) = &learned.depth else { return Ok(()) };
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
            let buckets = self.learned.head_sets.buckets(setup, features, view.group, &kept, &sets, mode, rng)?;
            return Ok(GroupChoices { kept, contexts: Vec::new(), set_contexts: sets, buckets });
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
        let buckets = learned.head_sets.buckets(setup, features, view.group, &kept, &sets, mode, rng)?;
        Ok(GroupChoices { kept, contexts, set_contexts: sets, buckets })
    }

    fn depth_flops(&self, exit: usize) -> u64 {
        match &self.learned.depth {
            DepthBandit::Exit(ExitBandit { ucb, .. }) | DepthBandit::Arm(ArmBandit { ucb, .. }) => ucb.flops(),
            DepthBandit::Gain(gains) => gains.at.iter().take(exit + 1).map(linear::Ucb::flops).sum(),
        }
    }

    fn group_flops(&self) -> u64 {
        self.learned.head_counts.as_ref().map_or(0, |counts| counts.ucb.flops())
            + self.learned.head_sets.flops(&self.setup)
    }
}

#[cfg(test)]
mod tests;
