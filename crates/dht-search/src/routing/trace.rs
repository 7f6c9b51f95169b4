//! The decisions for a batch, and the trace of its forward pass.

use std::time::{Duration, Instant};

use candle_core::Tensor;
use dht_transformer::HeadSet;

use dht_dynamic::router::Notes;

use crate::error::{Error, Result};
use crate::features::Rows;
use crate::space::{Route, RouteArms, SearchSpace};

/// The exit of each sample of a batch, and the contexts that it was decided from.
#[derive(Debug, Clone, Default)]
pub struct Decisions {
    /// The exit's index, by sample: the last exit for samples that are not decided yet.
    pub(crate) exits: Vec<usize>,
    /// The arm of the joint bandit, by sample; empty in a tree search.
    pub(crate) arms: Vec<usize>,
    /// The router's contexts at the start, before scaling; empty for a router without contexts.
    pub(crate) contexts: Rows,
    /// The signals of the exit that read a sample last; empty where the contexts have no signals.
    pub(crate) signals: Rows,
    /// The contexts of a router that decides at exits.
    pub(crate) at_exits: Vec<ExitContexts>,
    /// What a router that learns nothing noted of each sample; empty for others.
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

    /// Decisions of an integrated space: each sample takes the route of this index among its
    /// [arms](SearchSpace::integrated_arms).
    ///
    /// # Errors
    /// [`Error::Setting`] for an arm that the space does not have, or a tree space.
    pub fn taking_arms(space: &SearchSpace, arms: Vec<usize>) -> Result<Self> {
        let routes = space.integrated_arms();
        let exit = |arm: &usize| {
            let depth = routes.get(*arm).map(Route::exit);
            let missing = || Error::setting("arm", format!("one of the {} of this space", routes.len()), arm);
            depth.and_then(|depth| space.exits().iter().position(|exit| *exit == depth)).ok_or_else(missing)
        };
        Ok(Self { exits: arms.iter().map(exit).collect::<Result<_>>()?, arms, ..Self::default() })
    }

    /// A sample leaves at an exit. `sample` is its index in the batch, one of
    /// [`StageView::members`](super::StageView::members).
    ///
    /// # Errors
    /// [`Error::Setting`] for a sample that is not in the batch.
    pub fn leave(&mut self, sample: usize, exit: usize) -> Result<()> {
        let samples = self.exits.len();
        let missing = || Error::setting("sample", format!("an index below {samples}"), sample);
        *self.exits.get_mut(sample).ok_or_else(missing)? = exit;
        Ok(())
    }
}

/// The contexts of samples at an exit, before scaling.
#[derive(Debug, Clone)]
pub(crate) struct ExitContexts {
    pub(crate) exit: usize,
    /// Indices in the batch.
    pub(crate) members: Vec<usize>,
    pub(crate) contexts: Rows,
}

/// The decision for one sample in the queue of its exit.
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
    /// The context of the head-set bandit, before scaling.
    pub(crate) context: Vec<f64>,
}

impl HeadSetGroup {
    /// A group of the samples with these indices in the group's view, which keep these heads.
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

/// The heads that each sample keeps in a group of layers.
#[derive(Debug, Clone, Default)]
pub struct GroupDecisions {
    /// The number of heads kept, by index in the view.
    pub(crate) kept: Vec<usize>,
    /// The contexts of the head-count bandit, before scaling; empty where there is none.
    pub(crate) contexts: Rows,
    /// The context of each sample for the head-set bandit, before scaling; the context of a head-set group is the mean of
    /// its samples'.
    pub(crate) set_contexts: Rows,
    /// The samples by head set; together they hold every index once.
    pub(crate) head_sets: Vec<HeadSetGroup>,
}

impl GroupDecisions {
    /// Decisions of these head-set groups, which together hold every sample of a view once.
    pub fn new(head_sets: Vec<HeadSetGroup>) -> Self {
        Self { head_sets, ..Self::default() }
    }

    /// Notes how many heads each of so many samples keeps, where the head router did not.
    pub(crate) fn count_kept(&mut self, samples: usize) {
        if self.kept.len() != samples {
            self.kept = vec![0; samples];
            for set in &self.head_sets {
                set.indices.iter().for_each(|index| self.kept[*index] = set.heads.len());
            }
        }
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
    /// The heads that they kept.
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

/// How often an exit computed its logits for a sample of a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ExitReads {
    /// With a gradient to the layers below.
    pub attached: u64,
    /// Without such a gradient.
    pub detached: u64,
}

impl ExitReads {
    /// The sum of both.
    pub fn total(self) -> u64 {
        self.attached + self.detached
    }
}

/// What deciding took beside the layers.
#[derive(Debug, Clone, Copy, Default)]
pub struct Deciding {
    /// Pooling and routers, from when the rows were there.
    pub time: Duration,
    /// How often a decision had to wait for rows. On the CPU they are there; another device finishes all that it was asked to do.
    pub synchronisations: u64,
}

impl Deciding {
    /// One more decision, begun at `start`.
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
    /// By exit: the samples that left there, and those that passed where passed exits are evaluated.
    pub outputs: Vec<ExitOutput>,
    /// How often each exit read each sample: by exit, then by sample.
    pub exit_reads: Vec<Vec<ExitReads>>,
    /// What deciding took.
    pub deciding: Deciding,
    /// Whether the state that routes were decided from took a pass of its own, without gradient.
    pub pre_pass: bool,
}

impl ForwardTrace {
    /// The heads that each sample kept in each group that it ran, by sample.
    pub fn head_sets(&self) -> Vec<Vec<HeadSet>> {
        let mut head_sets = vec![Vec::new(); self.decisions.exits.len()];
        for trace in &self.groups {
            for set in &trace.decisions.head_sets {
                set.indices.iter().for_each(|index| head_sets[trace.members[*index]].push(set.heads));
            }
        }
        head_sets
    }

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

/// The losses of a batch at the exits that computed them.
#[derive(Debug, Clone)]
pub struct Losses {
    /// By exit, then by sample; NaN where an exit did not read a sample.
    pub(crate) by_exit: Vec<Vec<f64>>,
}

impl Losses {
    /// Losses by exit, then by sample.
    pub(crate) fn new(by_exit: Vec<Vec<f64>>) -> Self {
        Self { by_exit }
    }

    /// The loss of a sample at an exit in nats; `None` where the exit did not read it.
    pub fn at(&self, exit: usize, sample: usize) -> Option<f64> {
        self.by_exit.get(exit)?.get(sample).copied().filter(|loss| !loss.is_nan())
    }

    /// The loss of a sample at exit `over` less its loss at `exit`.
    pub(crate) fn gain(&self, sample: usize, over: usize, exit: usize) -> f64 {
        self.by_exit[over][sample] - self.by_exit[exit][sample]
    }

    /// The gain of a group's layers: the loss at the exit before them less the loss at the exit after them. NaN where one
    /// of the two is unknown or does not exist.
    pub(crate) fn of_group(&self, sample: usize, group: usize) -> f64 {
        if group + 1 < self.by_exit.len() { self.gain(sample, group, group + 1) } else { f64::NAN }
    }
}
