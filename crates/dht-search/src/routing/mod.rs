//! What decides: where a sample leaves, and which heads it keeps on the way.

mod bandit;
mod fixed;

use candle_core::Tensor;
use dht_transformer::{HeadSet, Hidden};
use rand_chacha::ChaCha8Rng;

use crate::error::Result;
use crate::features::Rows;

pub(crate) use bandit::{Learned, SearchBandits};
pub(crate) use fixed::{FixedRoutes, random_heads};

/// How decisions are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// At random, to see what is there.
    Random,
    /// By the bandits, with exploration.
    Explore,
    /// By what the bandits believe, without exploration.
    Exploit,
}

/// At which exits every sample that comes by is read by the classifier, since a decision looks at what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// At none.
    Never,
    /// At the first, behind the base layers.
    FirstExit,
    /// At all but the last, where nothing is left to decide.
    EveryExit,
}

/// What a strategy sees of a batch before its route is known.
pub(crate) struct BaseView<'a> {
    /// The state S1: behind the base layers, where there are any.
    pub(crate) hidden: &'a Hidden,
    /// The first exit's logits, where the strategy reads them.
    pub(crate) logits: Option<&'a Tensor>,
}

/// What a strategy sees at an exit.
pub(crate) struct ExitView<'a> {
    /// The exit's index.
    pub(crate) exit: usize,
    /// The hidden rows of the samples that came so far.
    pub(crate) hidden: &'a Hidden,
    /// Their places in the batch.
    pub(crate) members: &'a [usize],
    /// The exit's logits, where the strategy reads them.
    pub(crate) logits: Option<&'a Tensor>,
}

/// What a strategy sees before a group of layers.
pub(crate) struct GroupView<'a> {
    /// The group's place among the dynamic groups.
    pub(crate) group: usize,
    /// The hidden rows of the samples that run it.
    pub(crate) hidden: &'a Hidden,
    /// Their places in the batch.
    pub(crate) members: &'a [usize],
    /// What was decided before.
    pub(crate) depth: &'a DepthChoices,
}

/// Where each sample leaves, and why.
#[derive(Debug, Clone, Default)]
pub(crate) struct DepthChoices {
    /// The exit's index, by sample: the last for those that are still to be decided on the way.
    pub(crate) exits: Vec<usize>,
    /// The arm of UCB_cp, by sample; empty in a tree search.
    pub(crate) arms: Vec<usize>,
    /// What the strategy saw at the base, before scaling; empty where it does not look.
    pub(crate) contexts: Rows,
    /// The signals of the exit that read a sample last; empty where nobody asked for them.
    pub(crate) signals: Rows,
    /// What a strategy saw that decides on the way.
    pub(crate) seen: Vec<SeenAtExit>,
}

/// What samples showed at an exit, before scaling.
#[derive(Debug, Clone)]
pub(crate) struct SeenAtExit {
    pub(crate) exit: usize,
    /// Places in the batch.
    pub(crate) members: Vec<usize>,
    pub(crate) contexts: Rows,
}

/// Samples that run a group of layers with the same heads.
#[derive(Debug, Clone)]
pub(crate) struct HeadSetGroup {
    /// Their places in the group's view.
    pub(crate) places: Vec<usize>,
    /// The heads.
    pub(crate) heads: HeadSet,
    /// What the head bandit saw, before scaling.
    pub(crate) context: Vec<f64>,
}

/// How each sample runs a group.
#[derive(Debug, Clone, Default)]
pub(crate) struct GroupChoices {
    /// The number of heads kept, by place in the view.
    pub(crate) kept: Vec<usize>,
    /// What UCB_H saw, before scaling; empty where it is not asked.
    pub(crate) contexts: Rows,
    /// What TSB saw of each sample, before scaling; the mean of a bucket's is its context.
    pub(crate) set_contexts: Rows,
    /// The samples by head set; together they hold every place once.
    pub(crate) head_sets: Vec<HeadSetGroup>,
}

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
    pub(crate) fn of_group(&self, sample: usize, group: usize) -> f64 {
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

/// Decides routes. The executor asks, in training and in inference alike.
pub(crate) trait Strategy {
    /// Which exits decisions read.
    fn reading(&self) -> Reading;

    /// The exit of each sample, as far as it can be told from the base.
    fn exits(&self, view: &BaseView<'_>, mode: Mode, rng: &mut ChaCha8Rng) -> Result<DepthChoices>;

    /// Decides at an exit (but the last) who leaves there. By default all is decided at the base.
    fn leave(&self, _: &ExitView<'_>, _: &mut DepthChoices, _: Mode, _: &mut ChaCha8Rng) -> Result<()> {
        Ok(())
    }

    /// The heads of each sample in a group.
    fn heads(&self, view: &GroupView<'_>, mode: Mode, rng: &mut ChaCha8Rng) -> Result<GroupChoices>;

    /// FLOPs of deciding that a sample leaves at this exit, two for each multiply-add.
    fn depth_flops(&self, exit: usize) -> u64;

    /// FLOPs of the decisions before a group for one sample.
    fn group_flops(&self) -> u64;
}
