//! The forward pass on routes (the paper's Algorithm 2), in training and in inference: base layers → route → groups of
//! layers → exits.

use std::ops::Range;
use std::time::Instant;

use candle_core::Tensor;
use dht_transformer::{ForwardContext, HeadPlan, Hidden, PackedBatch, SampleGroup};
use rand::Rng;

use super::routed_encoder::RoutedEncoder;
use crate::error::{Error, Result};
use crate::features::signals;
use crate::routing::{
    Deciding, Decisions, ExitOutput, ExitReads, ForwardTrace, GroupDecisions, GroupTrace, GroupView, HeadRouter, Mode,
    Router, StageView,
};
use crate::space::BaseState;

/// Evaluation of the exits that a sample passes before its own exit, and the gradients of these exits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PassedExits {
    /// Passed exits are not evaluated, unless the router reads them.
    Skip,
    /// Passed exits are evaluated, with a gradient to the layers below.
    Attached,
    /// Passed exits are evaluated without a gradient to the layers below, so that only the exit's own parameters learn
    /// from them. If the router reads an exit, the samples that leave at this exit are evaluated without that gradient,
    /// too.
    Detached,
}

/// Options of one forward pass: model, routers, forward context, mode, and evaluation of passed exits.
#[derive(Clone, Copy)]
pub(crate) struct Executor<'a> {
    pub(crate) model: &'a RoutedEncoder,
    pub(crate) router: &'a dyn Router,
    pub(crate) heads: &'a dyn HeadRouter,
    pub(crate) ctx: &'a ForwardContext,
    pub(crate) mode: Mode,
    pub(crate) passed: PassedExits,
    /// The maximum number of samples that run a layer together; it applies only if every sample keeps all heads.
    pub(crate) together: usize,
}

/// State of a batch before its routes are known.
struct Start {
    /// The base state S1, the hidden rows from which routes are decided.
    state: Hidden,
    /// The hidden rows at which routes begin: S1 if the base layers are part of the route, otherwise the embeddings.
    hidden: Hidden,
    /// True if S1 was computed in a separate pass.
    pre_pass: bool,
}

/// State of a batch between two exits.
struct Stage {
    hidden: Hidden,
    /// The indices of the stage's samples in the batch.
    members: Vec<usize>,
    trace: ForwardTrace,
}

impl Executor<'_> {
    /// Routes and runs a batch.
    pub(crate) fn run(&self, batch: &PackedBatch, rng: &mut dyn Rng) -> Result<ForwardTrace> {
        let Start { state, hidden, pre_pass } = self.start(batch)?;
        let mut stage = self.stage(hidden);
        stage.trace.pre_pass = pre_pass;
        let logits = self.decide_from(&state, &mut stage.trace, rng)?;
        self.follow(stage, logits, true, rng)
    }

    /// Decides the routes of a batch that runs later. Also returns the time of the decisions and the number of
    /// synchronisations with the device.
    pub(crate) fn decide(&self, batch: &PackedBatch, rng: &mut dyn Rng) -> Result<(Decisions, Deciding)> {
        let Start { state, .. } = self.start(batch)?;
        let mut trace = self.empty_trace(state.samples());
        self.decide_from(&state, &mut trace, rng)?;
        Ok((trace.decisions, trace.deciding))
    }

    /// Runs a batch with earlier decisions.
    pub(crate) fn run_decided(
        &self,
        batch: &PackedBatch,
        decisions: Decisions,
        rng: &mut dyn Rng,
    ) -> Result<ForwardTrace> {
        let model = self.model;
        let base = model.space.base().map_or(0, |base| base.end());
        let hidden = model.encoder.run(0..base, &model.encoder.embed(batch, self.ctx)?, &HeadPlan::Full, self.ctx)?;
        let mut stage = self.stage(hidden);
        stage.trace.decisions = decisions;
        self.follow(stage, None, false, rng)
    }

    fn empty_trace(&self, samples: usize) -> ForwardTrace {
        ForwardTrace {
            decisions: Decisions::default(),
            groups: Vec::new(),
            outputs: Vec::new(),
            exit_reads: vec![vec![ExitReads::default(); samples]; self.model.space.exits().len()],
            deciding: Deciding::default(),
            pre_pass: false,
        }
    }

    fn stage(&self, hidden: Hidden) -> Stage {
        Stage { members: (0..hidden.samples()).collect(), trace: self.empty_trace(hidden.samples()), hidden }
    }

    fn last(&self) -> usize {
        self.model.space.exits().len() - 1
    }

    /// Computes the base state. If the base layers are part of the route, they run as a part of the route; otherwise a
    /// pre-pass runs them with the current weights and without gradient.
    fn start(&self, batch: &PackedBatch) -> Result<Start> {
        let (encoder, space) = (&self.model.encoder, &self.model.space);
        let base = 0..space.base_layers();
        match space.config().base_state {
            BaseState::OnRoute => {
                let hidden = self.run_full(base, &encoder.embed(batch, self.ctx)?)?;
                Ok(Start { state: hidden.clone(), hidden, pre_pass: false })
            }
            BaseState::PrePass { .. } | BaseState::Embedding if !self.router.needs_state() => {
                let hidden = encoder.embed(batch, self.ctx)?;
                Ok(Start { state: hidden.detach(), hidden, pre_pass: false })
            }
            BaseState::PrePass { .. } | BaseState::Embedding => {
                // Inference reuses its packed weights; in training no gradient flows through the pre-pass.
                let own = ForwardContext::inference();
                let ctx = if self.ctx.is_training() { &own } else { self.ctx };
                let state = encoder.run(base, &encoder.embed(batch, ctx)?, &HeadPlan::Full, ctx)?;
                Ok(Start { state: state.detach(), hidden: encoder.embed(batch, self.ctx)?, pre_pass: true })
            }
        }
    }

    /// Makes the decisions that depend on the base state S1 alone. Returns the first exit's logits if it was evaluated.
    fn decide_from(&self, state: &Hidden, trace: &mut ForwardTrace, rng: &mut dyn Rng) -> Result<Option<Tensor>> {
        let members: Vec<usize> = (0..state.samples()).collect();
        let logits = match self.model.space.base() {
            Some(_) => self.read(0, state, &members, true, trace)?,
            None => None,
        };
        let read = logits.is_some() || self.router.needs_state();
        let start = when_done(state, read)?;
        let view = StageView { exit: 0, hidden: state, members: &members, logits: logits.as_ref() };
        trace.decisions = self.router.start(&view, self.last(), self.mode, rng)?;
        self.check(&trace.decisions, members.len())?;
        // Routers whose own contexts have signals have written them.
        if let Some(logits) = logits.as_ref().filter(|_| trace.decisions.signals.is_empty()) {
            self.note_signals(logits, state, &members, &mut trace.decisions)?;
        }
        trace.deciding.add(start, read);
        Ok(logits)
    }

    /// Gives the head router, if it reads signals, those of the exit that the members reached.
    fn note_signals(
        &self,
        logits: &Tensor,
        hidden: &Hidden,
        members: &[usize],
        decisions: &mut Decisions,
    ) -> Result<()> {
        if self.heads.reads_signals() {
            decisions.signals.resize(decisions.exits.len(), Vec::new());
            for (member, signals) in members.iter().zip(signals(logits, hidden.spans().lengths())?) {
                decisions.signals[*member] = signals;
            }
        }
        Ok(())
    }

    /// Rejects decisions that do not have exactly one valid exit for each sample.
    fn check(&self, decisions: &Decisions, samples: usize) -> Result<()> {
        let space = &self.model.space;
        let arms = if space.is_tree() { 0 } else { samples };
        let last = self.last();
        let refuse = |expected: String, got: String| Err(Error::shape("router's decisions", expected, got));
        if decisions.exits.len() != samples {
            return refuse(
                format!("an exit for each of {samples} samples"),
                format!("{} exits", decisions.exits.len()),
            );
        }
        if decisions.arms.len() != arms {
            let kind = if space.is_tree() { "a tree space" } else { "an integrated space" };
            return refuse(format!("{arms} arms in {kind}"), format!("{} arms", decisions.arms.len()));
        }
        match decisions.exits.iter().position(|exit| *exit > last) {
            Some(sample) => {
                refuse(format!("exits from 0 to {last}"), format!("{} for sample {sample}", decisions.exits[sample]))
            }
            None => Ok(()),
        }
    }

    /// Rejects decisions at an exit that reassign a sample which has already left, or that assign a sample to an exit
    /// before this one.
    fn check_at_exit(&self, exit: usize, members: &[usize], before: &[usize], decisions: &Decisions) -> Result<()> {
        self.check(decisions, before.len())?;
        let back = members.iter().find(|member| decisions.exits[**member] < exit);
        let mut here = vec![false; before.len()];
        members.iter().for_each(|member| here[*member] = true);
        let gone = (0..before.len()).find(|sample| !here[*sample] && decisions.exits[*sample] != before[*sample]);
        let refuse = |expected: String, got: String| Err(Error::shape("router's decisions", expected, got));
        match (back, gone) {
            (Some(sample), _) => {
                let got = format!("{} for sample {sample}", decisions.exits[*sample]);
                refuse(format!("exit {exit} or a later one"), got)
            }
            (None, Some(sample)) => {
                let got = format!("{} for sample {sample}, which left", decisions.exits[sample]);
                refuse(format!("no change of samples that are not at exit {exit}"), got)
            }
            (None, None) => Ok(()),
        }
    }

    /// The logits of all samples at an exit, if the router or the loss needs them.
    fn read(
        &self,
        exit: usize,
        hidden: &Hidden,
        members: &[usize],
        routed: bool,
        trace: &mut ForwardTrace,
    ) -> Result<Option<Tensor>> {
        let read_by_heads = exit == 0 && self.heads.reads_signals();
        let wanted = routed && (read_by_heads || self.router.reads(exit, self.last()));
        match self.passed {
            PassedExits::Skip | PassedExits::Detached if !wanted => Ok(None),
            PassedExits::Skip | PassedExits::Attached => self.logits(exit, hidden, members, false, trace).map(Some),
            PassedExits::Detached => self.logits(exit, hidden, members, true, trace).map(Some),
        }
    }

    /// The logits of these samples at an exit. The reads are counted in the forward trace.
    fn logits(
        &self,
        exit: usize,
        hidden: &Hidden,
        members: &[usize],
        detached: bool,
        trace: &mut ForwardTrace,
    ) -> Result<Tensor> {
        for member in members {
            let reads = &mut trace.exit_reads[exit][*member];
            if detached {
                reads.detached += 1;
            } else {
                reads.attached += 1;
            }
        }
        let own = self.model.exits.at(exit);
        Ok(if detached { own.logits(&hidden.detach(), self.ctx)? } else { own.logits(hidden, self.ctx)? })
    }

    /// Runs a batch from the point where routes begin to differ. `logits` are the first exit's logits, if it was
    /// evaluated. `routed` is true if the router decides at exits.
    fn follow(
        &self,
        mut stage: Stage,
        mut logits: Option<Tensor>,
        routed: bool,
        rng: &mut dyn Rng,
    ) -> Result<ForwardTrace> {
        let space = &self.model.space;
        for exit in 0..space.exits().len() {
            while stage.trace.groups.len() < space.groups_before(exit).len() {
                self.run_group(&mut stage, rng)?;
            }
            let read = match logits.take() {
                Some(logits) => Some(logits),
                None => self.read(exit, &stage.hidden, &stage.members, routed, &mut stage.trace)?,
            };
            if exit < self.last() {
                let waits = read.is_some() || self.router.needs_state();
                let start = when_done(&stage.hidden, waits)?;
                let view = StageView { exit, hidden: &stage.hidden, members: &stage.members, logits: read.as_ref() };
                let before = stage.trace.decisions.exits.clone();
                if let Some(logits) = read.as_ref().filter(|_| exit > 0 && self.router.reads(exit, self.last())) {
                    self.note_signals(logits, &stage.hidden, &stage.members, &mut stage.trace.decisions)?;
                }
                self.router.at_exit(&view, &mut stage.trace.decisions, self.mode, rng)?;
                self.check_at_exit(exit, &stage.members, &before, &stage.trace.decisions)?;
                stage.trace.deciding.add(start, waits);
            }
            let continues = |at: &usize| stage.trace.decisions.exits[stage.members[*at]] > exit;
            let (remaining, leaving): (Vec<usize>, Vec<usize>) = (0..stage.members.len()).partition(continues);
            self.leave(exit, &mut stage, [&remaining, &leaving], read)?;
            if remaining.is_empty() {
                break;
            }
            if !leaving.is_empty() {
                stage.hidden = stage.hidden.select(&remaining)?;
                stage.members = remaining.iter().map(|at| stage.members[*at]).collect();
            }
        }
        Ok(stage.trace)
    }

    /// Runs the next group of layers, each sample with its heads and the neurons coupled to them.
    fn run_group(&self, stage: &mut Stage, rng: &mut dyn Rng) -> Result<()> {
        let group = stage.trace.groups.len();
        let start = when_done(&stage.hidden, true)?;
        let view =
            GroupView { group, hidden: &stage.hidden, members: &stage.members, decisions: &stage.trace.decisions };
        let mut decisions = self.heads.decide(&view, self.mode, rng)?;
        stage.trace.deciding.add(start, true);
        let order: Vec<usize> = decisions.head_sets.iter().flat_map(|set| set.indices.iter().copied()).collect();
        self.check_order(&order, stage.members.len())?;
        self.check_head_counts(group, &decisions)?;
        decisions.count_kept(stage.members.len());
        stage.hidden = self.run_layers(group, &stage.hidden, &decisions, &order)?;
        let after = order.iter().map(|index| stage.members[*index]).collect();
        let members = std::mem::replace(&mut stage.members, after);
        stage.trace.groups.push(GroupTrace { group, members, decisions });
        Ok(())
    }

    /// Rejects decisions that do not contain each sample of a group once.
    fn check_order(&self, order: &[usize], samples: usize) -> Result<()> {
        let mut sorted = order.to_vec();
        sorted.sort_unstable();
        if sorted.into_iter().eq(0..samples) {
            return Ok(());
        }
        let expected = format!("each of {samples} samples once");
        Err(Error::shape("head router's decisions", expected, format!("{order:?}")))
    }

    /// Rejects numbers of heads that the search space does not allow in a group.
    fn check_head_counts(&self, group: usize, decisions: &GroupDecisions) -> Result<()> {
        let options = self.model.space.head_options(group);
        let wrong = decisions.head_sets.iter().map(|set| set.heads.len()).find(|count| !options.contains(count));
        match wrong.filter(|_| self.model.space.is_tree()) {
            Some(count) => {
                Err(Error::argument("heads kept", format!("one of {options:?} in dynamic group {group}"), count))
            }
            None => Ok(()),
        }
    }

    fn run_layers(&self, group: usize, hidden: &Hidden, decisions: &GroupDecisions, order: &[usize]) -> Result<Hidden> {
        if self.heads.keeps_all() {
            return self.run_full(self.model.space.groups()[group].layers(), hidden);
        }
        let of_set = |set: &crate::routing::HeadSetGroup| self.model.sample_group(set.indices.len(), set.heads);
        let groups: Vec<SampleGroup> = decisions.head_sets.iter().map(of_set).collect();
        let layers = self.model.space.groups()[group].layers();
        let sorted = if order.is_sorted() { hidden.clone() } else { hidden.select(order)? };
        Ok(self.model.encoder.run_groups(layers, &sorted, &groups, self.ctx)?)
    }

    /// Runs these layers with all their heads, at most `together` samples at once.
    fn run_full(&self, layers: Range<usize>, hidden: &Hidden) -> Result<Hidden> {
        Ok(self.model.encoder.run_in_parts(layers, hidden, self.together, self.ctx)?)
    }

    /// Adds the logits at an exit to the trace, for the samples that remain and those that leave (indices in the
    /// stage).
    fn leave(
        &self,
        exit: usize,
        stage: &mut Stage,
        [remaining, leaving]: [&[usize]; 2],
        read: Option<Tensor>,
    ) -> Result<()> {
        let Stage { hidden, members, trace } = stage;
        let samples = |indices: &[usize]| -> Vec<usize> { indices.iter().map(|index| members[*index]).collect() };
        let part = |indices: &[usize]| {
            if indices.len() == hidden.samples() { Ok(hidden.clone()) } else { hidden.select(indices) }
        };
        match (self.passed, read) {
            (PassedExits::Attached, Some(logits)) => {
                trace.outputs.push(ExitOutput { exit, samples: members.clone(), logits, detached: false });
                return Ok(());
            }
            (PassedExits::Skip, Some(logits)) if !leaving.is_empty() => {
                let logits = select_rows(&logits, leaving)?;
                trace.outputs.push(ExitOutput { exit, samples: samples(leaving), logits, detached: false });
                return Ok(());
            }
            (PassedExits::Detached, Some(logits)) => {
                trace.outputs.push(ExitOutput { exit, samples: members.clone(), logits, detached: true });
            }
            (PassedExits::Detached, None) if !remaining.is_empty() => {
                let samples = samples(remaining);
                let logits = self.logits(exit, &part(remaining)?, &samples, true, trace)?;
                trace.outputs.push(ExitOutput { exit, samples, logits, detached: true });
            }
            _ => {}
        }
        if !leaving.is_empty() {
            let mut last = part(leaving)?;
            if let Some(tail) = self.model.space.tail() {
                last = self.run_full(tail.layers(), &last)?;
            }
            let samples = samples(leaving);
            let logits = self.logits(exit, &last, &samples, false, trace)?;
            trace.outputs.push(ExitOutput { exit, samples, logits, detached: false });
        }
        Ok(())
    }
}

/// The current time, first waiting for the device if a decision reads the rows. A device computes asynchronously;
/// without the wait, the time of the layers would count as time of the decisions.
fn when_done(hidden: &Hidden, read: bool) -> Result<Instant> {
    if read {
        hidden.tensor().device().synchronize()?;
    }
    Ok(Instant::now())
}

/// The rows with these indices, in this order.
fn select_rows(rows: &Tensor, indices: &[usize]) -> Result<Tensor> {
    let ids: Vec<u32> = indices.iter().map(|index| *index as u32).collect();
    Ok(rows.index_select(&Tensor::from_vec(ids, indices.len(), rows.device())?, 0)?)
}
