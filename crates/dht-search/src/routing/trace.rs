//! Decisions for a batch, and the trace of its forward pass.

use std::time::{Duration, Instant};

use candle_core::Tensor;
use dht_transformer::HeadSet;

use dht_dynamic::router::Notes;

use crate::error::{Error, Result};
use crate::features::Rows;
use crate::space::{RouteArms, SearchSpace};
use dht_dynamic::Route;

/// The exit of each sample of a batch, and the contexts of the decisions.
#[derive(Debug, Clone, Default)]
pub struct Decisions {
    /// The index of each sample's exit: the last exit for samples without a decision yet.
    pub(crate) exits: Vec<usize>,
    /// The arm of the joint bandit for each sample; empty in a tree search.
    pub(crate) arms: Vec<usize>,
    /// The router's contexts at the start, before scaling; empty for a router without contexts.
    pub(crate) contexts: Rows,
    /// The signals of the last exit that read each sample; empty if the contexts have no signals.
    pub(crate) signals: Rows,
    /// The contexts of a router that decides at exits.
    pub(crate) at_exits: Vec<ExitContexts>,
    /// The router's own notes on each sample; empty until it writes some.
    pub(crate) notes: Vec<Notes>,
}

impl Decisions {
    /// Decisions in which each sample leaves at the exit of this index.
    pub fn leaving_at(exits: Vec<usize>) -> Self {
        Self { exits, ..Self::default() }
    }

    /// The index of each sample's exit.
    pub fn exits(&self) -> &[usize] {
        &self.exits
    }

    /// Decisions of an integrated space: each sample takes the route with its index among the space's
    /// [arms](SearchSpace::integrated_arms).
    ///
    /// # Errors
    /// [`Error::Argument`] for an arm that the space does not have, and for a tree space.
    pub fn taking_arms(space: &SearchSpace, arms: Vec<usize>) -> Result<Self> {
        let routes = space.integrated_arms();
        let exit = |arm: &usize| {
            let depth = routes.get(*arm).map(Route::exit);
            let missing = || Error::Range { what: "arm", got: *arm, below: routes.len() };
            depth.and_then(|depth| space.exits().iter().position(|exit| *exit == depth)).ok_or_else(missing)
        };
        Ok(Self { exits: arms.iter().map(exit).collect::<Result<_>>()?, arms, ..Self::default() })
    }

    /// The router's own notes on each sample, such as the context of its decision; empty until it writes some.
    pub fn notes(&self) -> &[Notes] {
        &self.notes
    }

    /// The router's own notes on each sample, one entry for each, to be written at any decision. No other code reads
    /// them. They move with their sample through queues, and [`RouterState::learn`](super::RouterState::learn) gets
    /// them.
    pub fn notes_mut(&mut self) -> &mut [Notes] {
        self.notes.resize(self.exits.len(), Notes::new());
        &mut self.notes
    }

    /// Lets a sample leave at an exit. `sample` is its index in the batch, one of
    /// [`StageView::members`](super::StageView::members).
    ///
    /// # Errors
    /// [`Error::Range`] for a sample that is not in the batch.
    pub fn leave(&mut self, sample: usize, exit: usize) -> Result<()> {
        let samples = self.exits.len();
        let missing = || Error::Range { what: "sample", got: sample, below: samples };
        *self.exits.get_mut(sample).ok_or_else(missing)? = exit;
        Ok(())
    }
}

/// The contexts of samples at an exit, before scaling.
#[derive(Debug, Clone)]
pub(crate) struct ExitContexts {
    pub(crate) exit: usize,
    /// The indices of the samples in the batch.
    pub(crate) members: Vec<usize>,
    pub(crate) contexts: Rows,
}

/// The decision about a sample that waits in the queue of its exit.
#[derive(Debug, Clone, PartialEq)]
pub struct QueuedDecision {
    pub(crate) arm: Option<usize>,
    pub(crate) context: Vec<f64>,
    pub(crate) signals: Vec<f64>,
}

/// Samples that run a group of layers with the same heads.
#[derive(Debug, Clone)]
pub struct HeadSetGroup {
    /// The indices of the samples in the group's view.
    pub(crate) indices: Vec<usize>,
    /// The heads that the samples keep.
    pub(crate) heads: HeadSet,
    /// The context of the head-set bandit, before scaling.
    pub(crate) context: Vec<f64>,
}

impl HeadSetGroup {
    /// Builds a group of the samples with these indices in the group's view, which keep these heads.
    pub fn new(samples: Vec<usize>, heads: HeadSet) -> Self {
        Self { indices: samples, heads, context: Vec::new() }
    }

    /// The indices of the samples in the group's view.
    pub fn samples(&self) -> &[usize] {
        &self.indices
    }

    /// The heads that the samples keep.
    pub fn heads(&self) -> HeadSet {
        self.heads
    }
}

/// The heads that each sample keeps in a group of layers.
#[derive(Debug, Clone, Default)]
pub struct GroupDecisions {
    /// The number of kept heads, by index in the view.
    pub(crate) kept: Vec<usize>,
    /// The contexts of the head-count bandit, before scaling; empty if there is no such bandit.
    pub(crate) contexts: Rows,
    /// The context of each sample for the head-set bandit, before scaling. The context of a head-set group is the mean
    /// over its samples.
    pub(crate) set_contexts: Rows,
    /// The samples by head set; together the groups contain every index once.
    pub(crate) head_sets: Vec<HeadSetGroup>,
}

impl GroupDecisions {
    /// Combines head-set groups, which together must contain every sample of a view once.
    pub fn new(head_sets: Vec<HeadSetGroup>) -> Self {
        Self { head_sets, ..Self::default() }
    }

    /// Records the number of heads that each of `samples` samples keeps, if the head router did not.
    pub(crate) fn count_kept(&mut self, samples: usize) {
        if self.kept.len() != samples {
            self.kept = vec![0; samples];
            for set in &self.head_sets {
                set.indices.iter().for_each(|index| self.kept[*index] = set.heads.len());
            }
        }
    }
}

/// Trace of a group of layers that some samples ran.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct GroupTrace {
    /// The index of the group among the dynamic groups.
    pub group: usize,
    /// The indices of the samples in the batch, by index in the group.
    pub members: Vec<usize>,
    /// The heads that the samples kept.
    pub decisions: GroupDecisions,
}

/// Logits of some samples at an exit.
#[derive(Debug)]
#[non_exhaustive]
pub struct ExitOutput {
    /// The index of the exit.
    pub exit: usize,
    /// The indices in the batch of these samples.
    pub samples: Vec<usize>,
    /// The logits, (samples, classes).
    pub logits: Tensor,
    /// True if only the exit's own parameters learn from these logits.
    pub detached: bool,
}

/// The number of times that an exit computed its logits for a sample of a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ExitReads {
    /// Reads with a gradient to the layers below.
    pub attached: u64,
    /// Reads without a gradient to the layers below.
    pub detached: u64,
}

impl ExitReads {
    /// The total number of reads.
    pub fn total(self) -> u64 {
        self.attached + self.detached
    }
}

/// Time and synchronisations of the routing decisions.
#[derive(Debug, Clone, Copy, Default)]
pub struct Deciding {
    /// Time of pooling and routers, starting when the rows were available.
    pub time: Duration,
    /// The number of times that a decision had to wait for rows. On the CPU rows are available at once; another device
    /// must first complete all pending work.
    pub synchronisations: u64,
}

impl Deciding {
    /// Adds a decision that began at `start`.
    pub(crate) fn add(&mut self, start: Instant, synchronised: bool) {
        self.time += start.elapsed();
        self.synchronisations += u64::from(synchronised);
    }
}

/// The trace of a batch's forward pass: decisions, groups of layers, logits, exit reads.
#[derive(Debug)]
#[non_exhaustive]
pub struct ForwardTrace {
    /// The exit of each sample.
    pub decisions: Decisions,
    /// The groups of layers that ran.
    pub groups: Vec<GroupTrace>,
    /// The logits by exit, for the samples that left at it and, if passed exits are evaluated, for those that passed
    /// it.
    pub outputs: Vec<ExitOutput>,
    /// The number of times that each exit read each sample, by exit, then by sample.
    pub exit_reads: Vec<Vec<ExitReads>>,
    /// Time and synchronisations of the decisions.
    pub deciding: Deciding,
    /// True if the base state, from which routes were decided, was computed in a separate pass without gradient.
    pub pre_pass: bool,
}

impl ForwardTrace {
    /// The heads that each sample kept in each group that it ran. Lists by sample, then by group.
    pub fn head_sets(&self) -> Vec<Vec<HeadSet>> {
        let mut head_sets = vec![Vec::new(); self.decisions.exits.len()];
        for trace in &self.groups {
            for set in &trace.decisions.head_sets {
                set.indices.iter().for_each(|index| head_sets[trace.members[*index]].push(set.heads));
            }
        }
        head_sets
    }

    /// The number of times that each exit read a sample.
    pub fn reads_of(&self, sample: usize) -> Vec<ExitReads> {
        self.exit_reads.iter().map(|by_sample| by_sample[sample]).collect()
    }

    /// The route of each sample.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) for decisions that do not belong to this space.
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

/// The losses of a batch at the exits that computed them.
#[derive(Debug, Clone)]
pub struct Losses {
    /// The losses by exit, then by sample; NaN where an exit did not read a sample.
    pub(crate) by_exit: Vec<Vec<f64>>,
}

impl Losses {
    /// Builds losses from a table by exit, then by sample.
    pub(crate) fn new(by_exit: Vec<Vec<f64>>) -> Self {
        Self { by_exit }
    }

    /// The loss of a sample at an exit in nats; `None` where the exit did not read it.
    pub fn at(&self, exit: usize, sample: usize) -> Option<f64> {
        self.by_exit.get(exit)?.get(sample).copied().filter(|loss| !loss.is_nan())
    }

    /// The gain of a sample: the loss at exit `over` minus the loss at `exit`.
    pub(crate) fn gain(&self, sample: usize, over: usize, exit: usize) -> f64 {
        self.by_exit[over][sample] - self.by_exit[exit][sample]
    }

    /// The gain of a group's layers: the loss at the exit before them minus the loss at the exit after them. NaN if one
    /// of these losses is unknown or its exit does not exist.
    pub(crate) fn of_group(&self, sample: usize, group: usize) -> f64 {
        if group + 1 < self.by_exit.len() { self.gain(sample, group, group + 1) } else { f64::NAN }
    }
}
