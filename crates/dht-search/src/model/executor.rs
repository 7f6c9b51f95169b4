//! Algorithm 2, for training and inference alike: base layers → route → groups → exits.

use std::time::{Duration, Instant};

use candle_core::Tensor;
use dht_transformer::{Encoder, ForwardContext, HeadPlan, HeadSet, Hidden, PackedBatch, SampleGroup};
use rand_chacha::ChaCha8Rng;

use super::exits::ExitClassifiers;
use crate::cost::{Reads, WidthCoupling};
use crate::error::Result;
use crate::routing::{BaseView, DepthChoices, ExitView, GroupChoices, GroupView, Mode, Reading, Strategy};
use crate::space::{BaseState, Route, RouteArms, SearchSpace};

/// The parts of a dynamic model that run.
pub(crate) struct Executor<'a> {
    pub(crate) encoder: &'a Encoder,
    pub(crate) heads: &'a ExitClassifiers,
    pub(crate) space: &'a SearchSpace,
    pub(crate) coupling: WidthCoupling,
}

/// Which exits' logits are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PassedExits {
    /// The exit by which a sample leaves.
    Own,
    /// Also those it passes, with a way back to the layers below.
    Passed,
    /// Also those it passes, without: their classifiers learn to read what the layers learn from others. Where a decision
    /// reads an exit, those who leave there are read so too.
    Detached,
}

impl PassedExits {
    /// How often classifiers read a sample that leaves by an exit, the `last` of all or another, where decisions read so.
    pub(crate) fn reads(self, reading: Reading, exit: usize, last: usize) -> Reads {
        let passed = exit as u64;
        let (with_way_back, probes) = match (self, reading) {
            (Self::Own, Reading::Never) => (1, 0),
            (Self::Own, Reading::FirstExit) => (1 + passed.min(1), 0),
            (Self::Own, Reading::EveryExit) | (Self::Passed, _) => (1 + passed, 0),
            (Self::Detached, Reading::Never) => (1, passed),
            (Self::Detached, Reading::FirstExit) => (1, passed.max(1)),
            (Self::Detached, Reading::EveryExit) => (1, passed + u64::from(exit < last)),
        };
        Reads { with_way_back, probes }
    }
}

/// How a batch goes its ways.
pub(crate) struct Way<'a> {
    pub(crate) ctx: &'a ForwardContext,
    pub(crate) strategy: &'a dyn Strategy,
    pub(crate) mode: Mode,
    pub(crate) passed_exits: PassedExits,
}

/// A batch before its routes are known.
struct Start {
    /// What decisions are made from, S1.
    state: Hidden,
    /// Where the routes go on from: the same, where the base layers lie on the route; the embeddings, where not.
    hidden: Hidden,
}

/// Logits of some samples at an exit.
#[derive(Debug)]
pub(crate) struct ExitOutput {
    pub(crate) exit: usize,
    /// Places in the batch.
    pub(crate) samples: Vec<usize>,
    /// (samples, classes).
    pub(crate) logits: Tensor,
    /// Whether only the classifier learns from them.
    pub(crate) probe: bool,
}

/// A group of layers that some samples ran.
#[derive(Debug)]
pub(crate) struct GroupTrace {
    pub(crate) group: usize,
    /// Places in the batch, by place in the group.
    pub(crate) members: Vec<usize>,
    pub(crate) choices: GroupChoices,
}

/// What a batch went through.
#[derive(Debug)]
pub(crate) struct ForwardTrace {
    pub(crate) depth: DepthChoices,
    pub(crate) groups: Vec<GroupTrace>,
    /// By exit; each sample at the exit it left by, and at those it passed where they are [`PassedExits`].
    pub(crate) outputs: Vec<ExitOutput>,
    /// Which exits the decisions on this passage read.
    pub(crate) reading: Reading,
    /// What deciding took: pooling and bandits.
    pub(crate) deciding: Duration,
}

impl Executor<'_> {
    /// Up to where routes are decided: the base layers, or the look-ahead without gradient (on the weights of the time).
    fn start(&self, batch: &PackedBatch, ctx: &ForwardContext) -> Result<Start> {
        let base = 0..self.space.base_layers();
        match self.space.config().base_state {
            BaseState::OnRoute => {
                let hidden = self.encoder.run(base, &self.encoder.embed(batch, ctx)?, &HeadPlan::Full, ctx)?;
                Ok(Start { state: hidden.clone(), hidden })
            }
            BaseState::PrePass { .. } | BaseState::Embedding => {
                let look = ForwardContext::inference();
                let state = self.encoder.run(base, &self.encoder.embed(batch, &look)?, &HeadPlan::Full, &look)?;
                Ok(Start { state: state.detach(), hidden: self.encoder.embed(batch, ctx)? })
            }
        }
    }

    /// The whole way of a batch.
    pub(crate) fn run(&self, batch: &PackedBatch, way: &Way<'_>, rng: &mut ChaCha8Rng) -> Result<ForwardTrace> {
        let Start { state, hidden } = self.start(batch, way.ctx)?;
        let reading = way.strategy.reading();
        let (depth, logits, deciding) = self.decide_from(&state, way, rng)?;
        self.follow(hidden, logits, depth, reading, deciding, way, rng)
    }

    /// Only decides, for a batch that will run later, and tells how long deciding took.
    pub(crate) fn decide(
        &self,
        batch: &PackedBatch,
        way: &Way<'_>,
        rng: &mut ChaCha8Rng,
    ) -> Result<(DepthChoices, Duration)> {
        let (depth, _, deciding) = self.decide_from(&self.start(batch, way.ctx)?.state, way, rng)?;
        Ok((depth, deciding))
    }

    /// The way of a batch that was decided before.
    pub(crate) fn run_again(
        &self,
        batch: &PackedBatch,
        depth: DepthChoices,
        way: &Way<'_>,
        rng: &mut ChaCha8Rng,
    ) -> Result<ForwardTrace> {
        let hidden = self.encoder.embed(batch, way.ctx)?;
        let base = self.space.base().map_or(0, |base| base.end());
        let hidden = self.encoder.run(0..base, &hidden, &HeadPlan::Full, way.ctx)?;
        self.follow(hidden, None, depth, Reading::Never, Duration::ZERO, way, rng)
    }

    /// The exits of samples, and the first exit's logits where they were read.
    fn decide_from(
        &self,
        state: &Hidden,
        way: &Way<'_>,
        rng: &mut ChaCha8Rng,
    ) -> Result<(DepthChoices, Option<Tensor>, Duration)> {
        let logits = match self.space.base() {
            Some(_) => self.read(0, state, way, way.strategy.reading())?,
            None => None,
        };
        let start = Instant::now();
        let depth = way.strategy.exits(&BaseView { hidden: state, logits: logits.as_ref() }, way.mode, rng)?;
        Ok((depth, logits, start.elapsed()))
    }

    /// The logits of all that came to an exit, where somebody looks at them.
    fn read(&self, exit: usize, hidden: &Hidden, way: &Way<'_>, reading: Reading) -> Result<Option<Tensor>> {
        let wanted = match reading {
            Reading::Never => false,
            Reading::FirstExit => exit == 0,
            Reading::EveryExit => exit + 1 < self.space.exits().len(),
        };
        match way.passed_exits {
            PassedExits::Own if !wanted => Ok(None),
            PassedExits::Own | PassedExits::Passed => Ok(Some(self.heads.logits(exit, hidden, way.ctx)?)),
            PassedExits::Detached if !wanted => Ok(None),
            PassedExits::Detached => Ok(Some(self.heads.logits(exit, &hidden.detach(), way.ctx)?)),
        }
    }

    /// From where routes begin to differ, with the exits decided as far as they can be from the base. `logits` are those
    /// of the first exit where they have been read.
    #[expect(clippy::too_many_arguments, reason = "the state behind the base layers and how to go on from it")]
    fn follow(
        &self,
        mut hidden: Hidden,
        mut logits: Option<Tensor>,
        mut depth: DepthChoices,
        reading: Reading,
        mut deciding: Duration,
        way: &Way<'_>,
        rng: &mut ChaCha8Rng,
    ) -> Result<ForwardTrace> {
        let mut members: Vec<usize> = (0..hidden.samples()).collect();
        let (mut groups, mut outputs) = (Vec::new(), Vec::new());
        for exit in 0..self.space.exits().len() {
            while groups.len() < self.space.groups_before(exit).len() {
                let group = groups.len();
                let start = Instant::now();
                let view = GroupView { group, hidden: &hidden, members: &members, depth: &depth };
                let choices = way.strategy.heads(&view, way.mode, rng)?;
                deciding += start.elapsed();
                let order;
                (hidden, order) = self.run_group(group, &hidden, &choices, way.ctx)?;
                let after = order.iter().map(|place| members[*place]).collect();
                groups.push(GroupTrace { group, members, choices });
                members = after;
            }
            let read = match logits.take() {
                Some(logits) => Some(logits),
                None => self.read(exit, &hidden, way, reading)?,
            };
            if exit + 1 < self.space.exits().len() {
                let start = Instant::now();
                let view = ExitView { exit, hidden: &hidden, members: &members, logits: read.as_ref() };
                way.strategy.leave(&view, &mut depth, way.mode, rng)?;
                deciding += start.elapsed();
            }
            let stays = |at: &usize| depth.exits[members[*at]] > exit;
            let (going, leaving): (Vec<usize>, Vec<usize>) = (0..members.len()).partition(stays);
            outputs.extend(self.outputs(exit, &hidden, &members, [&going, &leaving], read, way)?);
            if going.is_empty() {
                break;
            }
            if !leaving.is_empty() {
                hidden = hidden.select(&going)?;
                members = going.iter().map(|at| members[*at]).collect();
            }
        }
        Ok(ForwardTrace { depth, groups, outputs, reading, deciding })
    }

    /// Samples through a group of layers, each with its heads and its share of the neurons, and the places they come out in.
    fn run_group(
        &self,
        group: usize,
        hidden: &Hidden,
        choices: &GroupChoices,
        ctx: &ForwardContext,
    ) -> Result<(Hidden, Vec<usize>)> {
        let order: Vec<usize> = choices.head_sets.iter().flat_map(|group| group.places.iter().copied()).collect();
        let head_sets = choices.head_sets.iter().map(|group| self.sample_group(group.places.len(), group.heads));
        let layers = self.space.groups()[group].layers();
        let sorted = if order.is_sorted() { hidden.clone() } else { hidden.select(&order)? };
        Ok((self.encoder.run_groups(layers, &sorted, &head_sets.collect::<Vec<_>>(), ctx)?, order))
    }

    /// Neighbouring samples that keep these heads, and the neurons that go with them.
    pub(crate) fn sample_group(&self, samples: usize, heads: HeadSet) -> SampleGroup {
        let width = self.coupling.width(&self.encoder.block_shape(), heads.len());
        SampleGroup { samples, heads, neurons: width.ffn }
    }

    /// What is shown at an exit, of those that go on and those that leave (places in `hidden`).
    fn outputs(
        &self,
        exit: usize,
        hidden: &Hidden,
        members: &[usize],
        [going, leaving]: [&[usize]; 2],
        read: Option<Tensor>,
        way: &Way<'_>,
    ) -> Result<Vec<ExitOutput>> {
        let output = |places: &[usize], logits, probe| {
            let samples = places.iter().map(|place| members[*place]).collect();
            ExitOutput { exit, samples, logits, probe }
        };
        let part = |places: &[usize]| {
            if places.len() == hidden.samples() { Ok(hidden.clone()) } else { hidden.select(places) }
        };
        let mut outputs = Vec::new();
        match (way.passed_exits, read) {
            (PassedExits::Passed, Some(logits)) => {
                return Ok(vec![ExitOutput { exit, samples: members.to_vec(), logits, probe: false }]);
            }
            (PassedExits::Own, Some(logits)) if !leaving.is_empty() => {
                return Ok(vec![output(leaving, select_rows(&logits, leaving)?, false)]);
            }
            (PassedExits::Detached, Some(logits)) => {
                outputs.push(ExitOutput { exit, samples: members.to_vec(), logits, probe: true });
            }
            (PassedExits::Detached, None) if !going.is_empty() => {
                let logits = self.heads.logits(exit, &part(going)?.detach(), way.ctx)?;
                outputs.push(output(going, logits, true));
            }
            _ => {}
        }
        if !leaving.is_empty() {
            let mut last = part(leaving)?;
            if let Some(tail) = self.space.tail() {
                last = self.encoder.run(tail.layers(), &last, &HeadPlan::Full, way.ctx)?;
            }
            outputs.push(output(leaving, self.heads.logits(exit, &last, way.ctx)?, false));
        }
        Ok(outputs)
    }
}

impl ForwardTrace {
    /// The route of each sample.
    pub(crate) fn routes(&self, space: &SearchSpace) -> Result<Vec<Route>> {
        if !space.is_tree() {
            return self.depth.arms.iter().map(|&arm| space.route(&RouteArms::Integrated { arm })).collect();
        }
        let mut heads = vec![Vec::new(); self.depth.exits.len()];
        for trace in &self.groups {
            let options = space.head_options(trace.group);
            for (member, kept) in trace.members.iter().zip(&trace.choices.kept) {
                heads[*member].push(options.iter().position(|option| option == kept).unwrap_or(options.len()));
            }
        }
        self.depth
            .exits
            .iter()
            .zip(heads)
            .map(|(&exit, heads)| space.route(&RouteArms::Tree { depth: exit, heads }))
            .collect()
    }
}

/// These rows in this order.
fn select_rows(rows: &Tensor, places: &[usize]) -> Result<Tensor> {
    let indices: Vec<u32> = places.iter().map(|place| *place as u32).collect();
    Ok(rows.index_select(&Tensor::from_vec(indices, places.len(), rows.device())?, 0)?)
}
