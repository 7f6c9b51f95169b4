//! Trace of a batch that ran through the layers: its decisions, logits and costs.

use std::time::{Duration, Instant};

use candle_core::Tensor;
use dht_transformer::HeadSet;

use super::passage::Passage;
use crate::error::Result;
use crate::exit::ExitReads;
use crate::log_probabilities::LogProbabilities;
use crate::route::{Layout, Route};
use crate::router::{Decisions, GroupDecisions};

/// Trace of a group of layers that some samples ran.
#[derive(Debug, Clone)]
pub struct GroupTrace {
    /// Index of the group among the dynamic groups, which are the groups whose heads are selected.
    pub group: usize,
    /// Batch indices of the samples that ran the group, by index in the group.
    pub members: Vec<usize>,
    /// Heads that the samples kept.
    pub decisions: GroupDecisions,
}

/// Logits of an exit for the samples that the exit read.
#[derive(Debug)]
#[non_exhaustive]
pub struct ExitOutput {
    /// Index of the exit.
    pub exit: usize,
    /// Batch indices of the samples that the exit read.
    pub samples: Vec<usize>,
    /// Logits, (samples, classes).
    pub logits: Tensor,
    /// Log-probability ln p of each class, combined with the answer of the n-gram exit if there is one. `None` if only
    /// the logits are needed.
    pub answers: Option<LogProbabilities>,
    /// True if only the exit's own parameters learn from these logits.
    pub detached: bool,
}

/// Time and synchronisations of the routing decisions.
#[derive(Debug, Clone, Copy, Default)]
pub struct Deciding {
    /// Time of the routers and of pooling the hidden rows for them, measured from the moment at which the hidden rows
    /// were available.
    pub time: Duration,
    /// Number of times that a decision had to wait for hidden rows. On the CPU, hidden rows are available at once.
    /// Another device must first complete all pending work.
    pub synchronisations: u64,
}

impl Deciding {
    /// Adds the time of a routing decision that began at `start`.
    pub(super) fn add(&mut self, start: Instant, synchronised: bool) {
        self.time += start.elapsed();
        self.synchronisations += u64::from(synchronised);
    }
}

/// Trace of a batch that ran through the layers: decisions, groups of layers, logits and exit reads. Exit indices count
/// from the first exit after a layer, but the indices in the decisions also count an n-gram exit.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Trace {
    /// Routing decisions, with the exit of each sample.
    pub decisions: Decisions,
    /// Groups of layers that ran.
    pub groups: Vec<GroupTrace>,
    /// Logits by exit, for the samples that left at the exit. If passed exits are evaluated, there are also logits for
    /// the samples that passed the exit.
    pub outputs: Vec<ExitOutput>,
    /// Number of times that each exit read each sample; lists by exit, then by sample.
    pub exit_reads: Vec<Vec<ExitReads>>,
    /// Texts at each exit before the last, in the order of their rows at the exit.
    pub at_exits: Vec<Vec<usize>>,
    /// Time and synchronisations of the routing decisions.
    pub deciding: Deciding,
    /// True if the base state, the hidden state on which routes are decided, was computed in a separate pass without
    /// gradient.
    pub pre_pass: bool,
    /// State of each text before its first layer.
    pub(super) passages: Vec<Passage>,
}

impl Trace {
    /// Heads that each sample kept in each group of layers that the sample ran; lists by sample, then by group.
    pub fn head_sets(&self) -> Vec<Vec<HeadSet>> {
        let mut head_sets = vec![Vec::new(); self.decisions.exits.len()];
        for trace in &self.groups {
            for set in &trace.decisions.head_sets {
                set.samples.iter().for_each(|index| head_sets[trace.members[*index]].push(set.heads));
            }
        }
        head_sets
    }

    /// Number of times that each exit read a sample.
    pub fn reads_of(&self, sample: usize) -> Vec<ExitReads> {
        self.exit_reads.iter().map(|by_sample| by_sample[sample]).collect()
    }

    /// Route of each sample. `fronts` is the number of exits before the first layer, 0 or 1.
    ///
    /// # Errors
    /// [`Error::HeadCount`](crate::Error::HeadCount) if the decisions do not belong to this layout.
    pub fn routes(&self, layout: &Layout, fronts: usize) -> Result<Vec<Route>> {
        let mut heads = vec![Vec::new(); self.decisions.exits.len()];
        for trace in &self.groups {
            for (member, kept) in trace.members.iter().zip(&trace.decisions.kept) {
                heads[*member].push(*kept);
            }
        }
        let route = |(exit, mut heads): (&usize, Vec<usize>)| {
            let exit = exit - fronts;
            heads.resize(layout.groups_before(exit).len(), layout.shape().heads);
            layout.route(exit, &heads)
        };
        self.decisions.exits.iter().zip(heads).map(route).collect()
    }
}
