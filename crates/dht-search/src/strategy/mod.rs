//! What decides: where a sample leaves, and which heads it keeps on the way.

mod prescribed;
mod tree;

use candle_core::Tensor;
use dht_transformer::{HeadSet, Hidden};
use rand_chacha::ChaCha8Rng;

pub(crate) use prescribed::{Prescribed, random_heads as random_head_set};
pub(crate) use tree::{GroupDecisions, Learned, Losses, TreeBandits};

use crate::Result;
use crate::context::Rows;

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

/// What a strategy sees of a batch behind the base layers.
pub(crate) struct BaseView<'a> {
    /// The hidden rows.
    pub(crate) hidden: &'a Hidden,
    /// The base exit's logits, where the strategy asked for them.
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
    /// The signals behind the base layers, of all samples of the batch.
    pub(crate) signals: &'a Rows,
}

/// Where each sample leaves, and why.
#[derive(Debug, Clone, Default)]
pub(crate) struct DepthChoices {
    /// The exit's index, by sample.
    pub(crate) exits: Vec<usize>,
    /// What the strategy saw, before scaling; empty where it does not look.
    pub(crate) contexts: Rows,
    /// The base exit's signals; empty where nobody asked for them.
    pub(crate) signals: Rows,
}

/// Samples that run a group of layers with the same heads.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
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
    /// What the strategy saw, before scaling.
    pub(crate) contexts: Rows,
    /// The samples by head set; together they hold every place once.
    pub(crate) buckets: Vec<Bucket>,
}

/// Decides routes. The executor asks, in training and in inference alike.
pub(crate) trait Strategy {
    /// Whether decisions need the logits of the base exit.
    fn wants_signals(&self) -> bool;

    /// The exit of each sample.
    fn exits(&self, view: &BaseView<'_>, mode: Mode, rng: &mut ChaCha8Rng) -> Result<DepthChoices>;

    /// The heads of each sample in a group.
    fn heads(&self, view: &GroupView<'_>, mode: Mode, rng: &mut ChaCha8Rng) -> Result<GroupChoices>;

    /// FLOPs of the decisions behind the base layers for one sample, two for each multiply-add.
    fn depth_flops(&self) -> u64;

    /// FLOPs of the decisions before a group for one sample.
    fn group_flops(&self) -> u64;
}
