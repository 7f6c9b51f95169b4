//! The tree search: UCB_L once behind the base layers, then UCB_H and the head bandit (TSB) before each group.

mod learning;

use dht_bandits::{
    ArmId, Candidates, DiagonalLaplace, DiagonalLaplaceOptions, LinUcb, NormOptions, PyramidPool, RidgeOptions,
    RunningNorm, Score, Thompson, TopK, TsPrior, Ucb,
};
use dht_transformer::{HeadSet, Load};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::prescribed::{by_count, random_heads};
use super::{BaseView, Bucket, DepthChoices, GroupChoices, GroupView, Mode, Strategy};
use crate::arm_features::ArmFeatures;
use crate::context::{SIGNALS, pooled, signals};
use crate::{
    DEPTH_PYRAMID, Error, FlopsCost, HEAD_SET_PYRAMID, HEADS_PYRAMID, Result, RewardReference, RewardShape,
    SearchSettings, SearchSpace,
};

pub(crate) use learning::{GroupDecisions, Losses};

type HeadBandit = TopK<DiagonalLaplace, Thompson>;

/// The three kinds of bandits, what scales their contexts, and what their rewards are compared with.
#[derive(Debug, Clone)]
pub(crate) struct TreeBandits {
    space: SearchSpace,
    settings: SearchSettings,
    cost: FlopsCost,
    /// Numbers of heads that some group may keep: the arms of UCB_H.
    options: Vec<usize>,
    pools: [PyramidPool; 3],
    /// What the bandits have learned: all that a checkpoint needs.
    learned: Learned,
}

/// Everything that changes while the bandits learn.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Learned {
    depth: LinUcb,
    heads: LinUcb,
    head_sets: HeadBandit,
    depth_norm: RunningNorm,
    heads_norm: RunningNorm,
    head_sets_norm: RunningNorm,
    depth_reference: RewardReference,
    heads_references: Vec<RewardReference>,
    pinned: Option<HeadSet>,
    arm_features: Option<ArmFeatures>,
}

impl TreeBandits {
    pub(crate) fn new(space: &SearchSpace, settings: &SearchSettings, cost: FlopsCost) -> Result<Self> {
        settings.check()?;
        let mut options: Vec<usize> =
            (0..space.groups().len()).flat_map(|group| space.head_options(group)).copied().collect();
        options.sort_unstable();
        options.dedup();
        let [depth_size, heads_size, set_size] = sizes(space, settings);
        let ridge = RidgeOptions { discount: settings.discount, ..RidgeOptions::with_lambda(settings.ridge) };
        let ucb = |alpha| Ucb { alpha };
        let laplace = DiagonalLaplaceOptions {
            prior: TsPrior::Gaussian { precision: settings.head_prior_precision },
            strength: settings.head_prior_weight,
        };
        let norm = |dimension| RunningNorm::new(dimension, NormOptions { clip: Some(5.0), ..NormOptions::default() });
        let raw = |pyramid: crate::PoolingPyramid| raw_size(settings, pyramid);
        let learned = Learned {
            depth: LinUcb::new(depth_size, space.exits().len(), ridge, ucb(settings.exploration.depth))?,
            heads: LinUcb::new(heads_size, options.len().max(1), ridge, ucb(settings.exploration.heads))?,
            head_sets: HeadBandit::per_arm(set_size, space.stack().heads, laplace, Thompson { alpha: 1.0 })?,
            depth_norm: norm(raw(DEPTH_PYRAMID))?,
            heads_norm: norm(raw(HEADS_PYRAMID))?,
            head_sets_norm: norm(HEAD_SET_PYRAMID.context_size())?,
            depth_reference: RewardReference::default(),
            heads_references: vec![RewardReference::default(); space.groups().len()],
            pinned: None,
            arm_features: None,
        };
        let pools = [DEPTH_PYRAMID.pool()?, HEADS_PYRAMID.pool()?, HEAD_SET_PYRAMID.pool()?];
        Ok(Self { space: space.clone(), settings: settings.clone(), cost, options, pools, learned })
    }

    /// Fixes the pinned heads, and the arms' features where the contexts have them.
    pub(crate) fn prepare(&mut self, pinned: HeadSet, features: Option<ArmFeatures>) -> Result<()> {
        let arms: Vec<ArmId> = pinned.iter().map(arm).collect();
        self.learned.head_sets = self.learned.head_sets.clone().with_pinned(&arms)?;
        self.learned.pinned = Some(pinned);
        self.learned.arm_features = features;
        Ok(())
    }

    pub(crate) fn state(&self) -> &Learned {
        &self.learned
    }

    /// Takes up a state of bandits of the same space and settings.
    pub(crate) fn restore(&mut self, state: Learned) -> Result<()> {
        let own = &self.learned;
        let same = [
            ("depth bandit's dimension", own.depth.dimension(), state.depth.dimension()),
            ("depth bandit's arms", own.depth.arms().len(), state.depth.arms().len()),
            ("heads bandit's dimension", own.heads.dimension(), state.heads.dimension()),
            ("heads bandit's arms", own.heads.arms().len(), state.heads.arms().len()),
            ("head bandit's dimension", own.head_sets.dimension(), state.head_sets.dimension()),
            ("head bandit's arms", own.head_sets.arms().len(), state.head_sets.arms().len()),
            ("depth norm's dimension", own.depth_norm.dimension(), state.depth_norm.dimension()),
            ("heads norm's dimension", own.heads_norm.dimension(), state.heads_norm.dimension()),
            ("head norm's dimension", own.head_sets_norm.dimension(), state.head_sets_norm.dimension()),
            ("groups", own.heads_references.len(), state.heads_references.len()),
        ];
        if let Some((field, expected, got)) = same.into_iter().find(|(_, expected, got)| expected != got) {
            return Err(Error::setting(field, expected.to_string(), got));
        }
        self.check_prepared(&state)?;
        self.learned = state;
        Ok(())
    }

    /// Whether pinned heads and arm features of a stored state fit, which no bandit looks at before it is asked.
    fn check_prepared(&self, state: &Learned) -> Result<()> {
        let stack = self.space.stack();
        if let Some(pinned) = state.pinned
            && pinned.iter().any(|head| head >= stack.heads)
        {
            return Err(Error::setting("pinned heads", format!("below {}", stack.heads), format!("{pinned:?}")));
        }
        let Some(features) = &state.arm_features else {
            let wanted = self.settings.context == crate::ContextDesign::Paper && state.pinned.is_some();
            return if wanted {
                Err(Error::setting("arm features", "those of the paper's contexts", "none"))
            } else {
                Ok(())
            };
        };
        let rows = |rows: &[Vec<f64>], count: usize, width: usize| {
            rows.len() == count && rows.iter().all(|row| row.len() == width)
        };
        let (depth, heads) = (DEPTH_PYRAMID.context_size(), HEADS_PYRAMID.context_size());
        let fits = self.settings.context == crate::ContextDesign::Paper
            && rows(&features.depth, self.space.exits().len(), depth)
            && features.heads.len() == self.space.groups().len()
            && features.heads.iter().all(|group| rows(group, self.options.len(), heads))
            && features.head_sets.len() == stack.heads;
        if fits { Ok(()) } else { Err(Error::setting("arm features", "those of this space's arms", "others")) }
    }

    /// The run-time knob: what a whole model's cost is worth, λ.
    pub(crate) fn set_lambda(&mut self, new: f64) -> Result<()> {
        let mut shape = self.settings.reward_shape;
        match &mut shape {
            RewardShape::Utility { lambda } | RewardShape::Gain { lambda } => *lambda = new,
            RewardShape::Ratio | RewardShape::Log | RewardShape::Clipped { .. } => {
                let expected = "utility or gain: in the others the cost is learned, not known";
                return Err(Error::setting("reward_shape", expected, format!("{shape:?}")));
            }
        }
        let settings = SearchSettings { reward_shape: shape, ..self.settings.clone() };
        settings.check()?;
        self.settings = settings;
        Ok(())
    }

    pub(crate) fn settings(&self) -> &SearchSettings {
        &self.settings
    }

    /// Whether the contexts' scaling is fixed and the bandits learn.
    pub(crate) fn learns(&self) -> bool {
        self.learned.depth_norm.is_frozen()
    }

    /// The heads that are always kept, once they are chosen.
    pub(crate) fn pinned_heads(&self) -> Option<HeadSet> {
        self.learned.pinned
    }

    fn pinned(&self) -> Result<HeadSet> {
        let missing = || Error::setting("pinned heads", "chosen before the first batch", "none");
        self.learned.pinned.ok_or_else(missing)
    }

    /// A raw context in the norm's scaling. Signals keep their own: they lie in fixed ranges, and an exit that was not
    /// trained yet when the scaling was fixed would set them far off it for ever.
    fn scaled(&self, norm: &RunningNorm, raw: &[f64]) -> Result<Vec<f64>> {
        let mut context = norm.normalise(raw)?;
        let signals = if self.wants_signals() { SIGNALS } else { 0 };
        let state = raw.len() - signals;
        context[state..].copy_from_slice(&raw[state..]);
        Ok(context)
    }

    /// w of an arm of UCB_L: [x ; z] or [x ; 1].
    fn depth_context(&self, raw: &[f64], exit: usize) -> Result<Vec<f64>> {
        let mut context = self.scaled(&self.learned.depth_norm, raw)?;
        match &self.learned.arm_features {
            Some(features) => context.extend(self.learned.depth_norm.normalise(&features.depth[exit])?),
            None => context.push(1.0),
        }
        Ok(context)
    }

    /// w of an arm of UCB_H: [x ; z ; group] or [x ; group].
    fn heads_context(&self, raw: &[f64], group: usize, option: usize) -> Result<Vec<f64>> {
        let mut context = self.scaled(&self.learned.heads_norm, raw)?;
        if let Some(features) = &self.learned.arm_features {
            context.extend(self.learned.heads_norm.normalise(&features.heads[group][option])?);
        }
        context.extend((0..self.space.groups().len()).map(|other| f64::from(u8::from(other == group))));
        Ok(context)
    }

    /// w of each arm of the head bandit: [x ; z] or [x ; 1], row by row.
    fn head_set_contexts(&self, raw: &[f64]) -> Result<Vec<f64>> {
        let context = self.learned.head_sets_norm.normalise(raw)?;
        let feature = |head: usize| self.learned.arm_features.as_ref().map_or(1.0, |features| features.head_sets[head]);
        Ok((0..self.space.stack().heads).flat_map(|head| context.iter().copied().chain([feature(head)])).collect())
    }

    /// The share of the full model that a text of this length costs when it leaves at each exit, with all heads.
    fn exit_costs(&self, tokens: usize) -> Vec<f64> {
        let load = Load::of_text(tokens);
        let block = self.cost.block().forward(load, self.cost.block().full()).total().as_f64();
        let full = self.cost.full_forward(load).total().as_f64();
        (0..self.space.exits().len()).map(|exit| self.space.depth(exit) as f64 * block / full).collect()
    }

    /// The share of the full model that a group costs with each number of heads.
    fn group_costs(&self, group: usize, tokens: usize) -> Vec<f64> {
        let load = Load::of_text(tokens);
        let full = self.cost.full_forward(load).total().as_f64();
        let layers = self.space.groups()[group].len() as f64;
        let block = |heads| self.cost.block().forward(load, self.cost.width(heads)).total().as_f64();
        self.options.iter().map(|heads| layers * block(*heads) / full).collect()
    }

    /// An exit drawn with a probability in proportion to a power of its depth.
    fn random_exit(&self, rng: &mut ChaCha8Rng) -> usize {
        let power = self.settings.explore_power;
        let weights = || (0..self.space.exits().len()).map(|exit| (self.space.depth(exit) as f64).powf(power));
        let mut left = rng.random::<f64>() * weights().sum::<f64>();
        for (exit, weight) in weights().enumerate() {
            if left < weight {
                return exit;
            }
            left -= weight;
        }
        self.space.exits().len() - 1
    }

    fn value(&self, score: Score, alpha: f64, cost: f64, mode: Mode) -> f64 {
        let bonus = if mode == Mode::Explore { alpha * score.width } else { 0.0 };
        self.settings.reward_shape.score(score.mean + bonus, cost)
    }

    fn option(&self, kept: usize) -> Result<usize> {
        let found = self.options.iter().position(|option| *option == kept);
        found.ok_or_else(|| Error::setting("kept heads", format!("one of {:?}", self.options), kept))
    }

    /// The heads of a bucket: pinned ones and the best of a draw on the bucket's mean context.
    fn head_set(&self, context: &[f64], count: usize, mode: Mode, rng: &mut ChaCha8Rng) -> Result<HeadSet> {
        let heads = self.space.stack().heads;
        if count >= heads {
            return Ok(HeadSet::full(heads)?);
        }
        let pinned = self.pinned()?;
        if mode == Mode::Random || (mode == Mode::Explore && !self.learns()) {
            return random_heads(heads, pinned, count, rng);
        }
        let contexts = self.head_set_contexts(context)?;
        let arms: Vec<ArmId> = (0..heads).map(arm).collect();
        let wanted = count.saturating_sub(pinned.len());
        let chosen: Vec<usize> = if mode == Mode::Explore {
            let slate = self.learned.head_sets.select(wanted, Candidates::new(&arms, &contexts), rng)?;
            slate.choices().iter().map(|choice| choice.arm.number() as usize).collect()
        } else {
            let size = self.learned.head_sets.dimension();
            let free = (0..heads).filter(|head| !pinned.contains(*head));
            let mut scored = free
                .map(|head| {
                    let context = &contexts[head * size..(head + 1) * size];
                    Ok((self.learned.head_sets.score(arm(head), context)?.mean, head))
                })
                .collect::<Result<Vec<_>>>()?;
            // Equal scores: the lower head, so that inference is a function of the text.
            scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            scored.into_iter().take(wanted).map(|(_, head)| head).collect()
        };
        Ok(HeadSet::from_indices(pinned.iter().chain(chosen), heads)?)
    }
}

impl Strategy for TreeBandits {
    fn wants_signals(&self) -> bool {
        self.settings.context.has_signals()
    }

    fn exits(&self, view: &BaseView<'_>, mode: Mode, rng: &mut ChaCha8Rng) -> Result<DepthChoices> {
        let samples = view.hidden.samples();
        let signals = match view.logits.filter(|_| self.wants_signals()) {
            Some(logits) => signals(logits, view.hidden.spans().lengths())?,
            None => Vec::new(),
        };
        let mut contexts = vec![Vec::new(); samples];
        if self.settings.context.has_state() {
            [contexts] = pooled(view.hidden, [&self.pools[0]])?;
        }
        for (context, signals) in contexts.iter_mut().zip(&signals) {
            context.extend_from_slice(signals);
        }
        let count = self.space.exits().len();
        let exits = if mode == Mode::Exploit && !self.learns() {
            // Nothing is known yet: the whole model is the safe answer.
            vec![count - 1; samples]
        } else if mode == Mode::Random || !self.learns() {
            (0..samples).map(|_| self.random_exit(rng)).collect()
        } else {
            let alpha = self.settings.exploration.depth;
            let mut exits = Vec::with_capacity(samples);
            for (context, tokens) in contexts.iter().zip(view.hidden.spans().lengths()) {
                let costs = self.exit_costs(tokens);
                exits.push(best(count, rng, |exit| {
                    let score = self.learned.depth.score(arm(exit), &self.depth_context(context, exit)?)?;
                    Ok(self.value(score, alpha, costs[exit], mode))
                })?);
            }
            exits
        };
        Ok(DepthChoices { exits, contexts, signals })
    }

    fn heads(&self, view: &GroupView<'_>, mode: Mode, rng: &mut ChaCha8Rng) -> Result<GroupChoices> {
        let [mut contexts, set_contexts] = match self.settings.context.has_state() {
            true => pooled(view.hidden, [&self.pools[1], &self.pools[2]])?,
            false => {
                let [sets] = pooled(view.hidden, [&self.pools[2]])?;
                [vec![Vec::new(); view.members.len()], sets]
            }
        };
        if self.wants_signals() {
            for (context, member) in contexts.iter_mut().zip(view.members) {
                context.extend_from_slice(&view.signals[*member]);
            }
        }
        let here = self.space.head_options(view.group);
        let mut kept = Vec::with_capacity(contexts.len());
        for (context, tokens) in contexts.iter().zip(view.hidden.spans().lengths()) {
            if mode == Mode::Exploit && !self.learns() {
                kept.push(here[here.len() - 1]);
                continue;
            }
            if mode == Mode::Random || !self.learns() {
                kept.push(here[rng.random_range(0..here.len())]);
                continue;
            }
            let costs = self.group_costs(view.group, tokens);
            let choice = best(here.len(), rng, |place| {
                let option = self.option(here[place])?;
                let context = self.heads_context(context, view.group, option)?;
                let score = self.learned.heads.score(arm(option), &context)?;
                Ok(self.value(score, self.settings.exploration.heads, costs[option], mode))
            })?;
            kept.push(here[choice]);
        }
        let buckets = by_count(&kept)
            .into_iter()
            .map(|(count, places)| {
                let context = mean(places.iter().map(|place| &set_contexts[*place]), self.pools[2].dimension());
                let heads = self.head_set(&context, count, mode, rng)?;
                Ok(Bucket { places, heads, context })
            })
            .collect::<Result<_>>()?;
        Ok(GroupChoices { kept, contexts, buckets })
    }

    /// Means and widths of all arms: d + d² multiply-adds each.
    fn depth_flops(&self) -> u64 {
        linear_flops(self.learned.depth.dimension(), self.space.exits().len())
    }

    /// UCB_H, and the head bandit as if it ran for each sample: 2d multiply-adds a head.
    fn group_flops(&self) -> u64 {
        let sets = 4 * self.learned.head_sets.dimension() * self.space.stack().heads;
        linear_flops(self.learned.heads.dimension(), self.options.len()) + sets as u64
    }
}

fn linear_flops(dimension: usize, arms: usize) -> u64 {
    2 * (arms * (dimension * dimension + dimension)) as u64
}

fn arm(number: usize) -> ArmId {
    ArmId::new(number as u64)
}

/// The place of the highest value; ties by lot.
fn best(count: usize, rng: &mut ChaCha8Rng, mut value: impl FnMut(usize) -> Result<f64>) -> Result<usize> {
    let (mut place, mut highest, mut ties) = (0, f64::NEG_INFINITY, 0);
    for candidate in 0..count {
        let value = value(candidate)?;
        if value > highest {
            (place, highest, ties) = (candidate, value, 1);
        } else if value == highest {
            ties += 1;
            if rng.random_range(0..ties) == 0 {
                place = candidate;
            }
        }
    }
    Ok(place)
}

fn mean<'a>(rows: impl ExactSizeIterator<Item = &'a Vec<f64>>, width: usize) -> Vec<f64> {
    let count = rows.len() as f64;
    let mut mean = vec![0.0; width];
    for row in rows {
        mean.iter_mut().zip(row).for_each(|(mean, value)| *mean += value / count);
    }
    mean
}

/// Numbers of a raw context with the state pooled by this pyramid.
fn raw_size(settings: &SearchSettings, pyramid: crate::PoolingPyramid) -> usize {
    let state = if settings.context.has_state() { pyramid.context_size() } else { 0 };
    state + if settings.context.has_signals() { SIGNALS } else { 0 }
}

/// The dimensions of UCB_L, UCB_H and the head bandit: 168, 87 and 13 as the paper has them.
pub(crate) fn sizes(space: &SearchSpace, settings: &SearchSettings) -> [usize; 3] {
    let groups = space.groups().len();
    match settings.context {
        crate::ContextDesign::Paper => [
            DEPTH_PYRAMID.with_arm_feature(),
            HEADS_PYRAMID.with_arm_feature_and_group(groups),
            HEAD_SET_PYRAMID.with_scalar_arm_feature(),
        ],
        _ => [
            raw_size(settings, DEPTH_PYRAMID) + 1,
            raw_size(settings, HEADS_PYRAMID) + groups,
            HEAD_SET_PYRAMID.with_scalar_arm_feature(),
        ],
    }
}

#[cfg(test)]
mod tests;
