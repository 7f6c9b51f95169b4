//! Trace of a batch that ran through a model: routing decisions, logits and costs.

use std::time::{Duration, Instant};

use candle_core::Tensor;
use dht_transformer::HeadSet;

use super::passage::Passage;
use crate::error::Result;
use crate::exit::ExitReads;
use crate::log_probabilities::LogProbabilities;
use crate::route::{Layout, Route};
use crate::router::{Decisions, GroupDecisions};

/// Record of a group of layers that was run: its texts, and the attention heads that they kept.
#[derive(Debug, Clone)]
pub struct GroupTrace {
    /// Index of the group among the dynamic groups, the groups of layers whose attention heads are selected per text.
    pub group: usize,
    /// Batch indices of the texts that ran the group.
    pub members: Vec<usize>,
    /// Attention heads that each text kept. Texts are referenced by their index in `members`.
    pub decisions: GroupDecisions,
}

/// Logits that one exit computed for some texts of a batch.
#[derive(Debug)]
#[non_exhaustive]
pub struct ExitOutput {
    /// Index of the exit, counted from the first exit after a layer.
    pub exit: usize,
    /// Batch indices of the texts for which the exit computed logits.
    pub samples: Vec<usize>,
    /// Logits of the exit, shape (texts, classes).
    pub logits: Tensor,
    /// Log-probabilities of the classes, combined with the n-gram classifier if there is one. `None` if only the logits
    /// are needed.
    pub answers: Option<LogProbabilities>,
    /// True if the gradient of these logits stops at the exit's own parameters.
    pub detached: bool,
}

/// Time and number of device synchronisations that routing decisions took.
#[derive(Debug, Clone, Copy, Default)]
pub struct Deciding {
    /// Time of the routers and of pooling the hidden states for them. It does not include waiting for the hidden
    /// states.
    pub time: Duration,
    /// Number of times that a decision had to wait for hidden states. On the CPU, they are available at once. Another
    /// device must first complete all pending work.
    pub synchronisations: u64,
}

impl Deciding {
    /// Adds the duration of a routing decision that began at `start` and ends now.
    pub(super) fn add(&mut self, start: Instant, synchronised: bool) {
        self.time += start.elapsed();
        self.synchronisations += u64::from(synchronised);
    }
}

/// Trace of a batch that ran through the layers: routing decisions, groups of layers, logits and exit evaluations. Exit
/// indices count from the first exit after a layer. Only `decisions` counts differently: there, the n-gram exit, if
/// there is one, has index 0.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Trace {
    /// Routing decisions, with the exit of each text.
    pub decisions: Decisions,
    /// Groups of layers that ran, with the attention heads that each text kept.
    pub groups: Vec<GroupTrace>,
    /// Logits of each exit, for the texts that stopped there. If passed exits are evaluated, too, the logits of the
    /// texts that continued are included.
    pub outputs: Vec<ExitOutput>,
    /// Number of times that each exit computed logits for each text. The lists are indexed by exit and text.
    pub exit_reads: Vec<Vec<ExitReads>>,
    /// For each exit except the last one, the batch indices of the texts that reached it, in the order of their rows at
    /// the exit.
    pub at_exits: Vec<Vec<usize>>,
    /// Time and number of device synchronisations that routing decisions took.
    pub deciding: Deciding,
    /// True if the hidden states on which routes are decided were computed in a separate pass without gradient.
    pub pre_pass: bool,
    /// State of each text before the first layer, with the results of the n-gram classifier.
    pub(super) passages: Vec<Passage>,
}

impl Trace {
    /// Attention heads that each text kept in each dynamic group of layers that it ran. The lists are indexed by text
    /// and group.
    pub fn head_sets(&self) -> Vec<Vec<HeadSet>> {
        let mut head_sets = vec![Vec::new(); self.decisions.exits.len()];
        for trace in &self.groups {
            for set in &trace.decisions.head_sets {
                set.samples.iter().for_each(|index| head_sets[trace.members[*index]].push(set.heads));
            }
        }
        head_sets
    }

    /// Number of times that each exit computed logits for the text with batch index `sample`.
    pub fn reads_of(&self, sample: usize) -> Vec<ExitReads> {
        self.exit_reads.iter().map(|by_sample| by_sample[sample]).collect()
    }

    /// Route of each text: the layers and the number of heads that it ran. `fronts` is the number of exits before the
    /// first layer: 1 with an n-gram classifier, otherwise 0.
    ///
    /// # Errors
    /// [`Error::HeadCount`](crate::Error::HeadCount) if the decisions do not match `layout`.
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
