//! Head-set bandit (TSB in the DHT paper, section 3), which selects which heads a group of layers keeps. It is a top-K
//! Thompson semi-bandit with one logistic regression for each head.

use std::borrow::Cow;

use dht_bandits::{
    ArmId, Normalizer, Policy, Request, Thompson,
    policy::{ArmFeedback, Feedback, TopK},
    posterior::DiagonalLaplace,
};
use dht_dynamic::router::{GroupDecisions, HeadSetGroup, Mode};
use dht_transformer::HeadSet;
use serde::{Deserialize, Serialize};

use super::linear::CLIP;
use super::setup::{Setup, at_random};
use crate::error::{Error, Result};
use crate::features::{ArmFeatures, PoolingPyramid, Rows};
use crate::routing::random_heads::{by_count, random_heads};
use crate::settings::{HeadArms, HeadDraws, SearchSettings};

/// Head-set bandit, with one arm for each head, or for each head of each group of layers. Its contexts are \[x ; z\] or
/// \[x ; 1\]: the pooled hidden state x, then the arm's feature z or, without arm features, 1.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HeadSets {
    heads: TopK<DiagonalLaplace, Thompson>,
    pub(crate) norm: Normalizer,
    /// Heads that every head set contains. `None` if the search space pins no heads, or if they are not yet selected.
    pub(crate) pinned: Option<HeadSet>,
    /// Running mean of head importance, for each group of layers. It is used if gate gradients score the heads.
    mean_importance: Vec<Average>,
    /// FLOPs of all updates since the cost accounting last collected them.
    #[serde(skip)]
    learning_flops: u64,
}

/// Running mean with exponential forgetting: a value that was added i additions ago has weight [`RETENTION`]ⁱ.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Average {
    mean: f64,
    weight: f64,
}

/// FLOPs of updating one head, for each dimension of its context: 4 for the mean and variance of the log-odds, and 6
/// for three multiply-adds (mean, precision and variance). The same number is counted for the Newton steps that run if
/// `head_set_prior_weight` is not 1.
const UPDATE_FLOPS: u64 = 10;

/// Weight that a running mean retains with each added value. The mean has a memory of about a thousand values, and each
/// sample adds one value for each head.
const RETENTION: f64 = 0.999;

impl Average {
    fn add(&mut self, value: f64) {
        self.weight = self.weight * RETENTION + 1.0;
        self.mean += (value - self.mean) / self.weight;
    }
}

impl HeadSets {
    pub(crate) fn new(setup: &Setup) -> Result<Self> {
        let laplace = DiagonalLaplace::default()
            .with_prior_mean(setup.settings.head_set_prior.mean())
            .with_prior_precision(setup.settings.head_set_prior_precision)
            .with_prior_weight(setup.settings.head_set_prior_weight);
        let size = PoolingPyramid::HEAD_SETS.with_scalar_arm_feature();
        Ok(Self {
            heads: TopK::per_arm(size, arms(setup), laplace, Thompson { alpha: 1.0 })?,
            norm: Normalizer::new(PoolingPyramid::HEAD_SETS.context_size())?.with_clip(CLIP)?,
            pinned: None,
            mean_importance: vec![Average::default(); setup.space.groups().len()],
            learning_flops: 0,
        })
    }

    pub(crate) fn pin(&mut self, setup: &Setup, pinned: Option<HeadSet>) -> Result<()> {
        self.heads.set_pinned(&pins(setup, pinned))?;
        self.pinned = pinned;
        Ok(())
    }

    /// Changes the number of groups of layers.
    pub(crate) fn set_groups(&mut self, groups: usize) {
        self.mean_importance = vec![Average::default(); groups];
    }

    /// Returns whether enough contexts are observed to select heads, as in
    /// [`LinearBandit::is_warm`](super::linear::LinearBandit::is_warm).
    pub(crate) fn is_warm(&self, setup: &Setup) -> bool {
        if setup.is_rolling() { self.norm.weight() > 0.0 } else { self.norm.is_frozen() }
    }

    /// Bandit that selects the heads of a batch. If contexts are scaled by rolling statistics, it is a copy whose
    /// statistics include the batch, as in [`LinearBandit::choosing`](super::linear::LinearBandit::choosing).
    pub(crate) fn choosing(&self, setup: &Setup, contexts: &Rows, mode: &Mode<'_>) -> Result<Cow<'_, Self>> {
        if !setup.is_rolling() || !matches!(mode, Mode::Explore(_)) {
            return Ok(Cow::Borrowed(self));
        }
        let mut own = self.clone();
        contexts.iter().try_for_each(|context| own.norm.observe(context))?;
        Ok(Cow::Owned(own))
    }

    fn pinned(&self, setup: &Setup) -> Result<Option<HeadSet>> {
        match self.pinned {
            None if setup.space.pinned() > 0 => {
                Err(Error::state("pinned heads", "chosen before the first batch", "none"))
            }
            pinned => Ok(pinned),
        }
    }

    /// Selects a head set for each sample of a group of layers, from the sample's number of heads and pooled hidden
    /// state. Samples that share a head set form one [`HeadSetGroup`].
    pub(crate) fn draw(
        &self,
        setup: &Setup,
        features: Option<&ArmFeatures>,
        group: usize,
        kept: &[usize],
        pooled: &Rows,
        mode: &mut Mode<'_>,
    ) -> Result<Vec<HeadSetGroup>> {
        let mut sets = Vec::new();
        for (count, indices) in by_count(kept) {
            // Samples that keep every head share the full set.
            let alone = setup.settings.head_draws == HeadDraws::PerSample && count < setup.space.model_shape().heads;
            let sharing = if alone { indices.into_iter().map(|index| vec![index]).collect() } else { vec![indices] };
            for indices in sharing {
                let context =
                    mean(indices.iter().map(|index| &pooled[*index]), PoolingPyramid::HEAD_SETS.context_size());
                let heads = self.set(setup, features, group, &context, count, mode)?;
                sets.push(HeadSetGroup { samples: indices, heads, notes: context });
            }
        }
        Ok(sets)
    }

    /// Selects `count` heads: the pinned heads, and of the others those with the highest scores. While exploring,
    /// scores are sampled from the posterior; otherwise they are posterior means.
    fn set(
        &self,
        setup: &Setup,
        features: Option<&ArmFeatures>,
        group: usize,
        context: &[f64],
        count: usize,
        mode: &mut Mode<'_>,
    ) -> Result<HeadSet> {
        let heads = setup.space.model_shape().heads;
        if count >= heads {
            return Ok(HeadSet::full(heads)?);
        }
        let pinned = self.pinned(setup)?;
        if let Some(rng) = at_random(mode, self.is_warm(setup)) {
            return random_heads(heads, pinned, count, rng);
        }
        let contexts = self.contexts(setup, features, context)?;
        let arms: Vec<ArmId> = (0..heads).map(|head| arm(setup, group, head)).collect();
        let missing = count.saturating_sub(pinned.map_or(0, HeadSet::len));
        let selected: Vec<usize> = if let Mode::Explore(rng) = mode {
            let request = Request::new(&[]).featured(&arms, &contexts, self.heads.dimension())?;
            let slate = self.heads.select_slate(missing, &request, rng)?;
            let head = |id: ArmId| arms.iter().position(|arm| *arm == id);
            slate.choices().iter().filter_map(|choice| head(choice.arm)).collect()
        } else {
            let size = self.heads.dimension();
            let free = (0..heads).filter(|head| !holds(pinned, *head));
            let mut scored = free
                .map(|head| Ok((self.heads.score(arms[head], &contexts[head * size..][..size])?.mean, head)))
                .collect::<Result<Vec<_>>>()?;
            // Ties go to the lower head index, so that inference is a function of the text.
            scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            scored.into_iter().take(missing).map(|(_, head)| head).collect()
        };
        Ok(HeadSet::from_indices(pinned.into_iter().flatten().chain(selected), heads)?)
    }

    /// Concatenated contexts \[x ; z\] of all heads: the pooled hidden state x, then the head's feature z.
    fn contexts(&self, setup: &Setup, features: Option<&ArmFeatures>, raw: &[f64]) -> Result<Vec<f64>> {
        let context = self.norm.normalise(raw)?;
        let feature = |head: usize| features.map_or(1.0, |features| features.head_sets[head]);
        let heads = 0..setup.space.model_shape().heads;
        Ok(heads.flat_map(|head| context.iter().copied().chain([feature(head)])).collect())
    }

    /// Updates the heads from the reward of each sample that kept them. Pinned heads are not updated.
    ///
    /// Samples that keep all heads are left out unless `full_set_feedback` is set. If each sample has a separate head
    /// set, the whole batch is one update of the posterior, as in the DHT paper. Otherwise each shared head set is one
    /// update.
    pub(crate) fn learn(
        &mut self,
        setup: &Setup,
        features: Option<&ArmFeatures>,
        group: usize,
        decisions: &GroupDecisions,
        rewarded: &dyn Fn(usize, usize) -> bool,
    ) -> Result<()> {
        let plays = plays(setup, decisions);
        if plays.is_empty() {
            return Ok(());
        }
        let (size, pinned) = (self.heads.dimension(), self.pinned(setup)?);
        let contexts = plays.iter().map(|play| self.contexts(setup, features, play.context));
        let contexts = contexts.collect::<Result<Vec<_>>>()?;
        let together = if setup.settings.head_draws == HeadDraws::PerSample { plays.len() } else { 1 };
        for (plays, contexts) in plays.chunks(together).zip(contexts.chunks(together)) {
            let mut feedback = Vec::new();
            for (play, contexts) in plays.iter().zip(contexts) {
                for head in play.heads.iter().filter(|head| !holds(pinned, *head)) {
                    let context = &contexts[head * size..][..size];
                    let good = play.indices.iter().filter(|index| rewarded(**index, head)).count();
                    for (rewarded, count) in [(true, good), (false, play.indices.len() - good)] {
                        if count > 0 {
                            let own = ArmFeedback::new(arm(setup, group, head), context, Feedback::from(rewarded));
                            feedback.push(ArmFeedback { weight: count as f64, ..own });
                        }
                    }
                }
            }
            self.learning_flops += UPDATE_FLOPS * (feedback.len() * size) as u64;
            self.heads.update_batch(&feedback)?;
        }
        Ok(())
    }

    /// Updates the heads from gradients of head gates. For a sample, the reward of a kept head is 1 if its `importance`
    /// (by sample index and head) exceeds the mean importance of earlier batches in the same group of layers, and
    /// otherwise 0. Pinned heads are not updated.
    pub(crate) fn learn_by_gradients(
        &mut self,
        setup: &Setup,
        features: Option<&ArmFeatures>,
        group: usize,
        decisions: &GroupDecisions,
        importance: &dyn Fn(usize, usize) -> f64,
    ) -> Result<()> {
        let reference = self.mean_importance[group];
        let heads = |set: &HeadSetGroup| {
            let (indices, heads) = (set.samples.clone(), set.heads);
            indices.into_iter().flat_map(move |index| heads.iter().map(move |head| (index, head)))
        };
        for (index, head) in decisions.head_sets.iter().flat_map(heads) {
            self.mean_importance[group].add(importance(index, head));
        }
        // The first batch has no earlier mean and is compared with its own.
        let reference = if reference.weight > 0.0 { reference } else { self.mean_importance[group] };
        self.learn(setup, features, group, decisions, &|index, head| importance(index, head) > reference.mean)
    }

    pub(crate) fn take_learning_flops(&mut self) -> u64 {
        std::mem::take(&mut self.learning_flops)
    }

    /// Underlying bandit, for tests.
    #[cfg(test)]
    pub(super) fn bandit(&self) -> &TopK<DiagonalLaplace, Thompson> {
        &self.heads
    }

    pub(crate) fn dimension(&self) -> usize {
        self.heads.dimension()
    }

    /// FLOPs of selecting one head set: 2·d multiply-adds for each head, with contexts of d dimensions. They are
    /// counted for each sample, although samples may share a head set.
    pub(crate) fn flops(&self, setup: &Setup) -> u64 {
        (4 * self.dimension() * setup.space.model_shape().heads) as u64
    }

    /// Rejects a restored bandit whose sizes or options differ from `self`.
    pub(crate) fn check_like(&self, stored: &Self, setup: &Setup) -> Result<()> {
        let sizes = [
            ("head bandit's dimension", self.heads.dimension(), stored.heads.dimension()),
            ("head bandit's arms", self.heads.arms().len(), stored.heads.arms().len()),
            ("head norm's dimension", self.norm.dimension(), stored.norm.dimension()),
            ("groups of the head bandit", self.mean_importance.len(), stored.mean_importance.len()),
        ];
        if let Some((field, expected, got)) = sizes.into_iter().find(|(_, expected, got)| expected != got) {
            return Err(Error::state(field, expected.to_string(), got));
        }
        // The ids of the arms must be the indices of the heads, as arm() expects.
        if stored.heads.arms().iter().ne(self.heads.arms().iter()) {
            let expected = format!("numbered from 0 to {}", self.heads.arms().len() - 1);
            let got: Vec<ArmId> = stored.heads.arms().iter().collect();
            return Err(Error::state("head bandit's arms", expected, format!("{got:?}")));
        }
        if stored.mean_importance.iter().any(|average| !average.mean.is_finite() || !average.weight.is_finite()) {
            return Err(Error::state("head bandit's means", "finite numbers", format!("{:?}", stored.mean_importance)));
        }
        let (heads, count) = (setup.space.model_shape().heads, setup.space.pinned());
        let (pinned, pins) = (pins(setup, stored.pinned), stored.heads.pinned());
        let possible = stored.pinned.is_none_or(|set| set.iter().all(|head| head < heads));
        let of_size = stored.pinned.is_none_or(|set| set.len() == count);
        let as_needed = stored.pinned.is_some() || count == 0 || !stored.is_warm(setup);
        if possible && of_size && as_needed && pinned == pins {
            return Ok(());
        }
        let expected = format!("{count} of {heads}, those that the head bandit keeps");
        Err(Error::state("pinned heads", expected, format!("{:?}", stored.pinned)))
    }
}

/// Head set of one or more samples, and the context for which it was selected.
struct Play<'a> {
    indices: &'a [usize],
    heads: HeadSet,
    context: &'a [f64],
}

/// Selects the head sets of a batch from which the bandit learns: those that were selected for a context.
///
/// Samples that keep all heads always share one group. If the settings draw a head set for each sample, that group is
/// split into one entry for each sample.
fn plays<'a>(setup: &Setup, decisions: &'a GroupDecisions) -> Vec<Play<'a>> {
    let all = setup.space.model_shape().heads;
    let SearchSettings { full_set_feedback, head_draws, .. } = setup.settings;
    let mut plays = Vec::new();
    for set in decisions.head_sets.iter().filter(|set| !set.notes.is_empty()) {
        let (heads, full) = (set.heads, set.heads.is_full(all));
        if full && !full_set_feedback {
            continue;
        }
        if full && head_draws == HeadDraws::PerSample && set.samples.len() > 1 {
            let of_sample = |index: &'a usize| Play {
                indices: std::slice::from_ref(index),
                heads,
                context: &decisions.set_notes[*index],
            };
            plays.extend(set.samples.iter().map(of_sample));
        } else {
            plays.push(Play { indices: &set.samples, heads, context: &set.notes });
        }
    }
    plays
}

fn holds(pinned: Option<HeadSet>, head: usize) -> bool {
    pinned.is_some_and(|pinned| pinned.contains(head))
}

/// Arms of the pinned heads: one for each pinned head or, if each group of layers has its own arms, one for each pinned
/// head and group.
fn pins(setup: &Setup, pinned: Option<HeadSet>) -> Vec<ArmId> {
    let groups = arms(setup) / setup.space.model_shape().heads;
    let of_group = |group| pinned.into_iter().flatten().map(move |head| arm(setup, group, head));
    (0..groups).flat_map(of_group).collect()
}

fn arms(setup: &Setup) -> usize {
    let heads = setup.space.model_shape().heads;
    match setup.settings.head_arms {
        HeadArms::PerHead => heads,
        HeadArms::PerHeadAndGroup => heads * setup.space.groups().len().max(1),
    }
}

fn arm(setup: &Setup, group: usize, head: usize) -> ArmId {
    let first = match setup.settings.head_arms {
        HeadArms::PerHead => 0,
        HeadArms::PerHeadAndGroup => group * setup.space.model_shape().heads,
    };
    ArmId::new((first + head) as u64)
}

fn mean<'a>(rows: impl ExactSizeIterator<Item = &'a Vec<f64>>, width: usize) -> Vec<f64> {
    let count = rows.len() as f64;
    let mut mean = vec![0.0; width];
    for row in rows {
        mean.iter_mut().zip(row).for_each(|(mean, value)| *mean += value / count);
    }
    mean
}
