//! What was decided for a batch, and what it ran.

use std::time::Duration;

use candle_core::Tensor;
use dht_transformer::HeadSet;

use crate::error::Result;
use crate::features::Rows;
use crate::space::{Route, RouteArms, SearchSpace};

/// Where each sample of a batch leaves, and what was seen of it.
#[derive(Debug, Clone, Default)]
pub struct Decisions {
    /// The exit's index, by sample: the last for those that are still to be decided on the way.
    pub(crate) exits: Vec<usize>,
    /// The arm of the joint bandit, by sample; empty in a tree search.
    pub(crate) arms: Vec<usize>,
    /// What the router saw at the start, before scaling; empty where it does not look.
    pub(crate) contexts: Rows,
    /// The signals of the exit that read a sample last; empty where nobody asked for them.
    pub(crate) signals: Rows,
    /// What a router saw that decides at exits.
    pub(crate) at_exits: Vec<ExitContexts>,
}

impl Decisions {
    /// Each sample leaves at the exit of this index.
    pub fn leaving_at(exits: Vec<usize>) -> Self {
        Self { exits, ..Self::default() }
    }

    /// The index of each sample's exit.
    pub fn exits(&self) -> &[usize] {
        &self.exits
    }

    /// A sample leaves at this exit.
    ///
    /// # Panics
    /// For a sample that is not in the batch.
    pub fn leave(&mut self, sample: usize, exit: usize) {
        self.exits[sample] = exit;
    }
}

/// What samples showed at an exit, before scaling.
#[derive(Debug, Clone)]
pub(crate) struct ExitContexts {
    pub(crate) exit: usize,
    /// Indices in the batch.
    pub(crate) members: Vec<usize>,
    pub(crate) contexts: Rows,
}

/// What was decided for one sample that waits for others of its exit.
#[derive(Debug, Clone, PartialEq)]
pub struct QueuedDecision {
    pub(crate) arm: Option<usize>,
    pub(crate) context: Vec<f64>,
    pub(crate) signals: Vec<f64>,
}

/// Samples that run a group of layers with the same heads.
#[derive(Debug, Clone)]
pub struct HeadSetGroup {
    /// Their indices in the group's view.
    pub(crate) indices: Vec<usize>,
    /// The heads.
    pub(crate) heads: HeadSet,
    /// What the head-set bandit saw, before scaling.
    pub(crate) context: Vec<f64>,
}

impl HeadSetGroup {
    /// The samples of these indices in the group's view keep these heads.
    pub fn new(samples: Vec<usize>, heads: HeadSet) -> Self {
        Self { indices: samples, heads, context: Vec::new() }
    }

    /// Their indices in the group's view.
    pub fn samples(&self) -> &[usize] {
        &self.indices
    }

    /// The heads that they keep.
    pub fn heads(&self) -> HeadSet {
        self.heads
    }
}

/// How each sample runs a group.
#[derive(Debug, Clone, Default)]
pub struct GroupDecisions {
    /// The number of heads kept, by index in the view.
    pub(crate) kept: Vec<usize>,
    /// What the head-count bandit saw, before scaling; empty where there is none.
    pub(crate) contexts: Rows,
    /// What the head-set bandit saw of each sample, before scaling; the mean of a group's is its context.
    pub(crate) set_contexts: Rows,
    /// The samples by head set; together they hold every index once.
    pub(crate) head_sets: Vec<HeadSetGroup>,
}

impl GroupDecisions {
    /// Samples by head set, all of a view together.
    pub fn new(head_sets: Vec<HeadSetGroup>) -> Self {
        let mut kept = vec![0; head_sets.iter().map(|set| set.indices.len()).sum()];
        for set in &head_sets {
            set.indices.iter().for_each(|index| kept[*index] = set.heads.len());
        }
        Self { kept, head_sets, ..Self::default() }
    }
}

/// A group of layers that some samples ran.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct GroupTrace {
    /// The index of the group among the dynamic groups.
    pub group: usize,
    /// Indices in the batch, by index in the group.
    pub members: Vec<usize>,
    /// What was decided for them.
    pub decisions: GroupDecisions,
}

/// Logits of some samples at an exit.
#[derive(Debug)]
#[non_exhaustive]
pub struct ExitOutput {
    /// The exit's index.
    pub exit: usize,
    /// Indices in the batch.
    pub samples: Vec<usize>,
    /// (samples, classes).
    pub logits: Tensor,
    /// Whether only the exit's own parameters learn from them.
    pub detached: bool,
}

/// How often an exit read a sample of a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ExitReads {
    /// With a gradient to the layers below.
    pub attached: u64,
    /// Without.
    pub detached: u64,
}

impl ExitReads {
    /// How often in all.
    pub fn total(self) -> u64 {
        self.attached + self.detached
    }
}

/// What a batch ran.
#[derive(Debug)]
#[non_exhaustive]
pub struct ForwardTrace {
    /// Where each sample left.
    pub decisions: Decisions,
    /// The groups of layers that ran.
    pub groups: Vec<GroupTrace>,
    /// By exit; each sample at the exit it left by, and at those it passed where they are shown.
    pub outputs: Vec<ExitOutput>,
    /// How often each exit read each sample: by exit, then by sample.
    pub exit_reads: Vec<Vec<ExitReads>>,
    /// How long deciding took: pooling and routers.
    pub deciding: Duration,
}

impl ForwardTrace {
    /// How often each exit read a sample, by exit.
    pub fn reads_of(&self, sample: usize) -> Vec<ExitReads> {
        self.exit_reads.iter().map(|by_sample| by_sample[sample]).collect()
    }

    /// The route of each sample.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) for decisions that are not of this space.
    pub fn routes(&self, space: &SearchSpace) -> Result<Vec<Route>> {
        if !space.is_tree() {
            return self.decisions.arms.iter().map(|&arm| space.route(&RouteArms::Integrated { arm })).collect();
        }
        let mut heads = vec![Vec::new(); self.decisions.exits.len()];
        for trace in &self.groups {
            let options = space.head_options(trace.group);
            for (member, kept) in trace.members.iter().zip(&trace.decisions.kept) {
                heads[*member].push(options.iter().position(|option| option == kept).unwrap_or(options.len()));
            }
        }
        self.decisions
            .exits
            .iter()
            .zip(heads)
            .map(|(&exit, heads)| space.route(&RouteArms::Tree { depth: exit, heads }))
            .collect()
    }
}

/// The losses of a batch where they are known.
#[derive(Debug, Clone)]
pub struct Losses {
    /// By exit, then by sample; NaN where a sample did not come by.
    pub(crate) by_exit: Vec<Vec<f64>>,
}

impl Losses {
    /// The loss of a sample at an exit in nats; `None` where it did not come by.
    pub fn at(&self, exit: usize, sample: usize) -> Option<f64> {
        self.by_exit.get(exit)?.get(sample).copied().filter(|loss| !loss.is_nan())
    }

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
