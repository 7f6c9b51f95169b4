//! Runs a batch along its routes, in training and in inference: base layers → routing decision → groups of layers →
//! exits. This is Algorithm 2 of the DHT paper (Meng et al. 2023).

use std::ops::Range;
use std::time::Instant;

use candle_core::Tensor;
use dht_transformer::{ForwardContext, HeadPlan, Hidden, PackedBatch, SampleGroup};

use super::passage::Passage;
use super::trace::{Deciding, ExitOutput, GroupTrace, Trace};
use crate::error::{Error, Result};
use crate::exit::{ExitReads, FrontExit};
use crate::exit_model::ExitModel;
use crate::log_probabilities::LogProbabilities;
use crate::route::{BaseState, Layout};
use crate::router::{Decisions, ExitView, GroupDecisions, GroupView, Mode, Router};

/// Treatment of the exits that a text passes without stopping: whether they compute logits, and how far gradients flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PassedExits {
    /// Exits where a text does not stop are not computed, unless the router reads their logits.
    Skip,
    /// Exits where a text does not stop are computed, and their gradient flows into the layers below.
    Attached,
    /// Exits where a text does not stop are computed without a gradient to the layers below, so that only the exits'
    /// own parameters learn. An exit that the router reads is also computed once in this way for the texts that stop
    /// there.
    Detached,
}

/// Runs texts through the layers of a model, with its exits and routers, in training and inference.
#[derive(Debug, Clone, Copy)]
pub struct Walk<'a> {
    /// Encoder with early exits.
    pub model: &'a ExitModel,
    /// N-gram classifier before the first layer, if there is one.
    pub front: Option<&'a FrontExit>,
    /// Router that decides at which exit each text stops.
    pub router: &'a dyn Router,
    /// Router that decides which attention heads each text keeps; may be the same as `router`.
    pub heads: &'a dyn Router,
    /// Forward context: inference with packed weights, or training with gradients.
    pub ctx: &'a ForwardContext,
    /// Treatment of the exits that a text passes without stopping.
    pub passed: PassedExits,
    /// Maximum number of texts that run a layer together. It applies only if every text keeps all attention heads.
    pub together: usize,
}

/// State of a batch before its routes (the layers and heads to run) are decided.
struct Start {
    /// Base state: the hidden states on which routing decisions are based.
    state: Hidden,
    /// Hidden states from which the routes continue: those after the base layers if these are part of the route,
    /// otherwise the embeddings.
    hidden: Hidden,
    /// True if a separate pass computed the base state (the hidden states for routing decisions).
    pre_pass: bool,
}

/// State of a batch while it runs through the layers.
struct Stage<'a> {
    batch: &'a PackedBatch,
    hidden: Hidden,
    /// Indices in the batch of the texts that have not stopped yet.
    members: Vec<usize>,
    /// Number of groups of layers that have run.
    groups: usize,
    trace: Trace,
}

/// Logits of an exit, with its log-probabilities if a router reads them.
struct Read {
    logits: Tensor,
    answers: Option<LogProbabilities>,
}

impl<'a> Walk<'a> {
    /// Creates a walk (loop over the layers) with one router for exits and heads. Exits that a text passes without
    /// stopping compute nothing, unless the router reads them.
    pub fn new(model: &'a ExitModel, router: &'a dyn Router, ctx: &'a ForwardContext) -> Self {
        let passed = PassedExits::Skip;
        Self { model, front: None, router, heads: router, ctx, passed, together: usize::MAX }
    }

    /// Decides the routes of a batch and runs it from the first layer, without the n-gram classifier.
    /// [`predict`](Self::predict) runs the n-gram classifier first.
    ///
    /// # Errors
    /// Errors of the encoder, the exits and the routers.
    pub fn run(&self, batch: &PackedBatch, mode: &mut Mode<'_>) -> Result<Trace> {
        self.resume(batch, vec![Passage::default(); batch.len()], mode)
    }

    /// Decides the routes of texts that the n-gram classifier has not answered, and runs them from the first layer.
    ///
    /// # Errors
    /// * [`Error::Shape`] if the number of `passages` is not the number of texts.
    /// * Any error that [`run`](Self::run) returns.
    pub(super) fn resume(&self, batch: &PackedBatch, passages: Vec<Passage>, mode: &mut Mode<'_>) -> Result<Trace> {
        if passages.len() != batch.len() {
            return Err(Error::shape("passages", format!("one for each of {} texts", batch.len()), passages.len()));
        }
        let Start { state, hidden, pre_pass } = self.start(batch)?;
        let mut stage = self.stage(batch, hidden, passages);
        stage.trace.pre_pass = pre_pass;
        let read = self.decide_from(&state, &mut stage, mode)?;
        self.follow(stage, read, true, mode)
    }

    /// Decides the routes of a batch without running it. Also returns the time and the device synchronisations of the
    /// decisions.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn decide(&self, batch: &PackedBatch, mode: &mut Mode<'_>) -> Result<(Decisions, Deciding)> {
        let Start { state, hidden, .. } = self.start(batch)?;
        let mut stage = self.stage(batch, hidden, vec![Passage::default(); batch.len()]);
        self.decide_from(&state, &mut stage, mode)?;
        Ok((stage.trace.decisions, stage.trace.deciding))
    }

    /// Runs a batch on the routes that an earlier [`decide`](Self::decide) returned.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_decided(&self, batch: &PackedBatch, decisions: Decisions, mode: &mut Mode<'_>) -> Result<Trace> {
        let (encoder, base) = (self.model.encoder(), self.layout().base().map_or(0, |base| base.end()));
        let hidden = encoder.run(0..base, &encoder.embed(batch, self.ctx)?, &HeadPlan::Full, self.ctx)?;
        let mut stage = self.stage(batch, hidden, vec![Passage::default(); batch.len()]);
        stage.trace.decisions = decisions;
        self.follow(stage, None, false, mode)
    }

    fn layout(&self) -> &'a Layout {
        self.model.layout()
    }

    /// Number of exits before the first layer: 1 with an n-gram classifier, otherwise 0.
    pub(super) fn fronts(&self) -> usize {
        usize::from(self.front.is_some())
    }

    /// Index of the last exit in routing decisions, where an n-gram classifier counts as the first exit.
    pub(super) fn last(&self) -> usize {
        self.fronts() + self.layout().exits().len() - 1
    }

    fn stage<'b>(&self, batch: &'b PackedBatch, hidden: Hidden, mut passages: Vec<Passage>) -> Stage<'b> {
        let texts = passages.len();
        let mut decisions = Decisions::leaving_at(vec![self.last(); texts]);
        for (exit, decided) in decisions.exits.iter_mut().zip(&passages) {
            *exit = decided.exit.unwrap_or(*exit);
        }
        if passages.iter().any(|text| !text.notes.is_empty()) {
            decisions.notes = passages.iter_mut().map(|text| std::mem::take(&mut text.notes)).collect();
        }
        let exit_reads = vec![vec![ExitReads::default(); texts]; self.layout().exits().len()];
        let trace = Trace { decisions, exit_reads, passages, ..Trace::default() };
        Stage { batch, members: (0..texts).collect(), hidden, groups: 0, trace }
    }

    /// Computes the base state, the hidden states for routing decisions. If the base layers are part of the route, the
    /// route continues from this state. Otherwise, a separate pass without gradient runs these layers with the current
    /// weights.
    fn start(&self, batch: &PackedBatch) -> Result<Start> {
        let (encoder, base) = (self.model.encoder(), 0..self.layout().base_layers());
        match self.layout().base_state() {
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

    /// Makes the routing decisions that depend only on the base state, the hidden states after the base layers. Also
    /// returns the logits of the first exit if they were computed.
    fn decide_from(&self, state: &Hidden, stage: &mut Stage<'_>, mode: &mut Mode<'_>) -> Result<Option<Read>> {
        let read = match self.layout().base() {
            Some(_) => self.read(0, state, stage, true)?,
            None => None,
        };
        let waits = read.is_some() || self.router.needs_state();
        let start = when_done(state, waits)?;
        let answers = read.as_ref().and_then(|read| read.answers.as_ref());
        let Stage { batch, members, trace, .. } = stage;
        let view = ExitView::new(self.fronts(), batch, members, answers, Some(state));
        self.router.begin(&view, &mut trace.decisions, self.last(), mode)?;
        self.check(&trace.decisions, members.len())?;
        self.note_answers(answers, members, &mut trace.decisions);
        trace.deciding.add(start, waits);
        Ok(read)
    }

    /// Records the log-probabilities of the exit that the texts `members` have just passed, if the router of attention
    /// heads reads them.
    fn note_answers(&self, answers: Option<&LogProbabilities>, members: &[usize], decisions: &mut Decisions) {
        if let Some(answers) = answers.filter(|_| self.heads.reads_answers()) {
            decisions.answers.resize(decisions.exits.len(), Vec::new());
            for (member, answer) in members.iter().zip(answers.rows()) {
                decisions.answers[*member] = answer.to_vec();
            }
        }
    }

    /// Rejects routing decisions that do not assign exactly one valid exit to each text.
    pub(super) fn check(&self, decisions: &Decisions, texts: usize) -> Result<()> {
        let refuse = |expected: String, got: String| Err(Error::shape("router's decisions", expected, got));
        let Decisions { exits, kept, .. } = decisions;
        if exits.len() != texts {
            return refuse(format!("an exit for each of {texts} samples"), format!("{} exits", exits.len()));
        }
        if !(kept.is_empty() || kept.len() == texts) {
            let got = format!("{} numbers", kept.len());
            return refuse(format!("a number of heads for each of {texts} samples"), got);
        }
        let last = self.last();
        match exits.iter().position(|exit| *exit > last) {
            Some(text) => refuse(format!("exits from 0 to {last}"), format!("{} for sample {text}", exits[text])),
            None => Ok(()),
        }
    }

    /// Rejects decisions at an exit that change the exit of a stopped text, or that assign a text to an exit it has
    /// passed.
    fn check_at_exit(&self, exit: usize, members: &[usize], before: &[usize], decisions: &Decisions) -> Result<()> {
        self.check(decisions, before.len())?;
        let back = members.iter().find(|member| decisions.exits[**member] < exit);
        let mut here = vec![false; before.len()];
        members.iter().for_each(|member| here[*member] = true);
        let gone = (0..before.len()).find(|text| !here[*text] && decisions.exits[*text] != before[*text]);
        let refuse = |expected: String, got: String| Err(Error::shape("router's decisions", expected, got));
        match (back, gone) {
            (Some(text), _) => {
                let got = format!("{} for sample {text}", decisions.exits[*text]);
                refuse(format!("exit {exit} or a later one"), got)
            }
            (None, Some(text)) => {
                let got = format!("{} for sample {text}, which left", decisions.exits[text]);
                refuse(format!("no change of samples that are not at exit {exit}"), got)
            }
            (None, None) => Ok(()),
        }
    }

    /// Computes the logits of all texts at an exit, if the router or the loss needs them.
    fn read(&self, exit: usize, hidden: &Hidden, stage: &mut Stage<'_>, routed: bool) -> Result<Option<Read>> {
        let (router_exit, last) = (self.fronts() + exit, self.last());
        let by_heads = exit == 0 && self.heads.reads_answers();
        let router_reads = routed && (by_heads || (router_exit < last && self.router.reads(router_exit, last)));
        let detached = match self.passed {
            PassedExits::Skip | PassedExits::Detached if !router_reads => return Ok(None),
            PassedExits::Skip | PassedExits::Attached => false,
            PassedExits::Detached => true,
        };
        // An exit answers as if the texts left there, so the tail runs first.
        let after = match self.layout().tail() {
            Some(tail) => &self.run_full(tail.layers(), hidden)?,
            None => hidden,
        };
        let Stage { batch, members, trace, .. } = stage;
        let logits = self.logits(exit, after, members, detached, trace)?;
        let answers = match router_reads {
            true => Some(self.answers(exit, &logits, batch, members, &trace.passages)?),
            false => None,
        };
        Ok(Some(Read { logits, answers }))
    }

    /// Computes the logits of the texts `members` at an exit, and counts these computations in the trace.
    fn logits(
        &self,
        exit: usize,
        hidden: &Hidden,
        members: &[usize],
        detached: bool,
        trace: &mut Trace,
    ) -> Result<Tensor> {
        for member in members {
            let reads = &mut trace.exit_reads[exit][*member];
            if detached {
                reads.detached += 1;
            } else {
                reads.attached += 1;
            }
        }
        let own = &self.model.exits()[exit];
        let logits = if detached { own.logits(&hidden.detach(), self.ctx)? } else { own.logits(hidden, self.ctx)? };
        let (expected, got) = ([members.len(), self.model.classes()], logits.dims());
        if got != expected {
            return Err(Error::shape("exit's answers", format!("{expected:?}, texts by classes"), format!("{got:?}")));
        }
        Ok(logits)
    }

    /// Computes the log-probabilities of texts at an exit after a layer, combined with those of the n-gram classifier.
    pub(super) fn answers(
        &self,
        exit: usize,
        logits: &Tensor,
        batch: &PackedBatch,
        members: &[usize],
        passages: &[Passage],
    ) -> Result<LogProbabilities> {
        let ids: Vec<u64> = members.iter().map(|member| batch.sample_ids[*member]).collect();
        let outputs = self.model.outputs();
        let answers = LogProbabilities::of(outputs, outputs.of_logits(logits, &ids)?.concat())?;
        let Some(front) = self.front else { return Ok(answers) };
        let ngram = members.iter().flat_map(|member| passages[*member].front.iter().copied()).collect();
        front.stackers()[exit].stack(&LogProbabilities::of(outputs, ngram)?, &answers)
    }

    /// Runs a batch after the base layers, where routes begin to differ. `read` has the logits of the first exit, if
    /// they were computed. `routed` is true if the router reads the exits' log-probabilities.
    fn follow(&self, mut stage: Stage<'_>, mut read: Option<Read>, routed: bool, mode: &mut Mode<'_>) -> Result<Trace> {
        let exits = self.layout().exits().len();
        for exit in 0..exits {
            while stage.groups < self.layout().groups_before(exit).len() {
                self.run_group(&mut stage, mode)?;
            }
            let read = match read.take() {
                Some(read) => Some(read),
                None => self.read(exit, &stage.hidden.clone(), &mut stage, routed)?,
            };
            if exit + 1 < exits {
                self.decide_at(exit, &mut stage, read.as_ref(), mode)?;
            }
            let router_exit = self.fronts() + exit;
            let continues = |at: &usize| stage.trace.decisions.exits[stage.members[*at]] > router_exit;
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

    /// Lets the router decide which texts stop at an exit. The exit is not the last one.
    fn decide_at(&self, exit: usize, stage: &mut Stage<'_>, read: Option<&Read>, mode: &mut Mode<'_>) -> Result<()> {
        let waits = read.is_some() || self.router.needs_state();
        let start = when_done(&stage.hidden, waits)?;
        let answers = read.and_then(|read| read.answers.as_ref());
        let Stage { batch, members, trace, .. } = stage;
        let router_exit = self.fronts() + exit;
        let view = ExitView::new(router_exit, batch, members, answers, Some(&stage.hidden));
        // Answers before the first group are noted with the first decision.
        if exit > 0 || self.layout().base().is_none() {
            self.note_answers(answers, members, &mut trace.decisions);
        }
        let before = trace.decisions.exits.clone();
        self.router.at_exit(&view, &mut trace.decisions, mode)?;
        self.check_at_exit(router_exit, members, &before, &trace.decisions)?;
        trace.at_exits.push(members.clone());
        trace.deciding.add(start, waits);
        Ok(())
    }

    /// Runs the next group of layers. Each text uses the attention heads that were selected for it. The width of its
    /// feed-forward layers may depend on these heads.
    fn run_group(&self, stage: &mut Stage<'_>, mode: &mut Mode<'_>) -> Result<()> {
        let group = stage.groups;
        let layers = self.layout().groups()[group].layers();
        let start = when_done(&stage.hidden, !self.heads.keeps_all())?;
        let view = GroupView::new(group, &stage.hidden, &stage.members, &stage.trace.decisions);
        let decisions = self.heads.heads(&view, mode)?;
        stage.groups += 1;
        let Some(mut decisions) = decisions else {
            stage.hidden = self.run_full(layers, &stage.hidden)?;
            return Ok(());
        };
        stage.trace.deciding.add(start, !self.heads.keeps_all());
        let order: Vec<usize> = decisions.head_sets.iter().flat_map(|set| set.samples.iter().copied()).collect();
        check_order(&order, stage.members.len())?;
        self.check_head_counts(group, &decisions)?;
        decisions.count_kept(stage.members.len())?;
        stage.hidden = self.run_layers(layers, &stage.hidden, &decisions, &order)?;
        let after = order.iter().map(|index| stage.members[*index]).collect();
        let members = std::mem::replace(&mut stage.members, after);
        stage.trace.groups.push(GroupTrace { group, members, decisions });
        Ok(())
    }

    /// Rejects decisions that keep a number of attention heads which the layout does not allow in this group of layers.
    fn check_head_counts(&self, group: usize, decisions: &GroupDecisions) -> Result<()> {
        let Some(options) = self.layout().head_options(group) else { return Ok(()) };
        match decisions.head_sets.iter().map(|set| set.heads.len()).find(|count| !options.contains(count)) {
            Some(count) => {
                Err(Error::argument("heads kept", format!("one of {options:?} in dynamic group {group}"), count))
            }
            None => Ok(()),
        }
    }

    fn run_layers(
        &self,
        layers: Range<usize>,
        hidden: &Hidden,
        decisions: &GroupDecisions,
        order: &[usize],
    ) -> Result<Hidden> {
        let all = self.layout().shape().heads;
        let full = decisions.head_sets.iter().all(|set| set.heads.is_full(all));
        if self.heads.keeps_all() && full && order.is_sorted() {
            return self.run_full(layers, hidden);
        }
        let sets = decisions.head_sets.iter();
        let groups: Vec<SampleGroup> = sets.map(|set| self.model.sample_group(set.samples.len(), set.heads)).collect();
        let sorted = if order.is_sorted() { hidden.clone() } else { hidden.select(order)? };
        Ok(self.model.encoder().run_groups(layers, &sorted, &groups, self.ctx)?)
    }

    /// Runs layers with all their attention heads. At most `together` texts run at once.
    fn run_full(&self, layers: Range<usize>, hidden: &Hidden) -> Result<Hidden> {
        Ok(self.model.encoder().run_in_parts(layers, hidden, self.together, self.ctx)?)
    }

    /// Adds the logits of an exit to the trace. `remaining` are the texts that continue and `leaving` those that stop
    /// here, as indices into `members`.
    fn leave(
        &self,
        exit: usize,
        stage: &mut Stage<'_>,
        [remaining, leaving]: [&[usize]; 2],
        read: Option<Read>,
    ) -> Result<()> {
        let Stage { batch, hidden, members, trace, .. } = stage;
        let samples = |indices: &[usize]| -> Vec<usize> { indices.iter().map(|index| members[*index]).collect() };
        let part = |indices: &[usize]| {
            if indices.len() == hidden.samples() { Ok(hidden.clone()) } else { hidden.select(indices) }
        };
        match (self.passed, read) {
            (PassedExits::Attached, Some(Read { logits, answers })) => {
                trace.outputs.push(ExitOutput { exit, samples: members.clone(), logits, answers, detached: false });
                return Ok(());
            }
            (PassedExits::Skip, Some(Read { logits, answers })) if !leaving.is_empty() => {
                let all = leaving.len() == members.len();
                let logits = if all { logits } else { select_rows(&logits, leaving)? };
                let answers = answers.map(|answers| if all { answers } else { answers.select(leaving) });
                trace.outputs.push(ExitOutput { exit, samples: samples(leaving), logits, answers, detached: false });
                return Ok(());
            }
            (PassedExits::Detached, Some(Read { logits, answers })) => {
                trace.outputs.push(ExitOutput { exit, samples: members.clone(), logits, answers, detached: true });
            }
            (PassedExits::Detached, None) if !remaining.is_empty() => {
                let samples = samples(remaining);
                let logits = self.logits(exit, &part(remaining)?, &samples, true, trace)?;
                trace.outputs.push(ExitOutput { exit, samples, logits, answers: None, detached: true });
            }
            _ => {}
        }
        if !leaving.is_empty() {
            let mut last = part(leaving)?;
            if let Some(tail) = self.layout().tail() {
                last = self.run_full(tail.layers(), &last)?;
            }
            let samples = samples(leaving);
            let logits = self.logits(exit, &last, &samples, false, trace)?;
            // Losses need only the logits.
            let answers = match self.ctx.is_training() {
                true => None,
                false => Some(self.answers(exit, &logits, batch, &samples, &trace.passages)?),
            };
            trace.outputs.push(ExitOutput { exit, samples, logits, answers, detached: false });
        }
        Ok(())
    }
}

/// Rejects decisions on attention heads that do not contain each text of a group exactly once.
fn check_order(order: &[usize], samples: usize) -> Result<()> {
    let mut sorted = order.to_vec();
    sorted.sort_unstable();
    if sorted.into_iter().eq(0..samples) {
        return Ok(());
    }
    let expected = format!("each of {samples} samples once");
    Err(Error::shape("head router's decisions", expected, format!("{order:?}")))
}

/// Returns the current time, for measuring a routing decision. If the decision reads the hidden states, waits for the
/// device first. A device computes asynchronously, and the time of the layers would otherwise count as decision time.
fn when_done(hidden: &Hidden, read: bool) -> Result<Instant> {
    if read {
        hidden.tensor().device().synchronize()?;
    }
    Ok(Instant::now())
}

fn select_rows(rows: &Tensor, indices: &[usize]) -> Result<Tensor> {
    let ids: Vec<u32> = indices.iter().map(|index| *index as u32).collect();
    Ok(rows.index_select(&Tensor::from_vec(ids, indices.len(), rows.device())?, 0)?)
}
