//! Head importance by gate gradients: |∂L/∂ξ| of a gate ξ on each head (Michel et al. 2019).
//!
//! Two things read them: the head-set bandit, where heads are scored by them ([`HeadFeedback::Gradient`]), and the choice
//! of the pinned heads at the end of the warm-up ([`PinnedHeads::GradientImportance`]).

use std::collections::BTreeMap;

use dht_transformer::{ForwardContext, HeadSet, PackedBatch};
use serde::{Deserialize, Serialize};

use super::objective::{PendingHeadFeedback, SearchObjective};
use crate::error::{Error, Result};
use crate::reward::HeadFeedback;
use crate::routing::{ForwardTrace, Losses};
use crate::settings::PinnedHeads;
use crate::space::ModelShape;

/// A lower bound for the gradient of a loss by the label's log-odds, against a division by 0 at probability 1.
const SMALLEST_GRADIENT: f64 = 1e-6;

/// The importance of each head of each layer, E |∂L/∂ξ| (Michel et al. 2019, equation 2): sums over the samples that kept
/// the head, and their number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HeadImportance {
    /// By layer, then by head.
    sums: Vec<Vec<f64>>,
    counts: Vec<Vec<u64>>,
}

impl HeadImportance {
    fn new(shape: ModelShape) -> Self {
        let ModelShape { layers, heads } = shape;
        Self { sums: vec![vec![0.0; heads]; layers], counts: vec![vec![0; heads]; layers] }
    }

    fn add(&mut self, layer: usize, head: usize, importance: f64) {
        self.sums[layer][head] += importance;
        self.counts[layer][head] += 1;
    }

    fn is_empty(&self) -> bool {
        self.counts.iter().flatten().all(|count| *count == 0)
    }

    /// The mean importance of each head of a layer, scaled to length 1: deeper layers have smaller gradients, not less
    /// important heads.
    fn of_layer(&self, layer: usize) -> Vec<f64> {
        let means = self.sums[layer].iter().zip(&self.counts[layer]).map(|(sum, count)| sum / (*count).max(1) as f64);
        let means: Vec<f64> = means.collect();
        let norm = means.iter().map(|mean| mean * mean).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
        means.into_iter().map(|mean| mean / norm).collect()
    }

    /// Refuses a stored importance of another model, or one that no training can have.
    pub(super) fn check_with(&self, ModelShape { layers, heads }: ModelShape) -> Result<()> {
        let sizes = |rows: Vec<usize>| rows == vec![heads; layers];
        let like = sizes(self.sums.iter().map(Vec::len).collect()) && sizes(self.counts.iter().map(Vec::len).collect());
        if like && self.sums.iter().flatten().all(|sum| sum.is_finite() && *sum >= 0.0) {
            return Ok(());
        }
        let expected = format!("finite sums and counts of {layers} layers of {heads} heads");
        Err(Error::setting("importance of heads", expected, "others"))
    }
}

impl SearchObjective {
    /// The pinned heads at the start of a training: those of a model whose head router is warm stay.
    pub(super) fn first_pins(&self) -> Result<Option<HeadSet>> {
        let heads = &self.dynamic.heads;
        match heads.pinned().filter(|_| heads.is_warm()) {
            Some(pinned) => Ok(Some(pinned)),
            None => self.dynamic.provisional_pins(),
        }
    }

    /// Begins to add up the importance of heads, where the pinned ones are to be chosen by it.
    pub(super) fn begin_importance(&mut self) {
        let (heads, shape) = (&self.dynamic.heads, self.dynamic.space().model_shape());
        let some = heads.pinned().is_some_and(|pinned| !pinned.is_full(shape.heads));
        let wanted = self.settings().pinned_heads == PinnedHeads::GradientImportance && some && !heads.is_warm();
        self.importance = wanted.then(|| HeadImportance::new(shape));
    }

    /// A context whose backward keeps the gate gradients, where they are wanted.
    pub(super) fn with_head_gradients(&self, ctx: ForwardContext) -> ForwardContext {
        let wanted = self.settings().head_feedback == HeadFeedback::Gradient || self.importance.is_some();
        if wanted { ctx.with_head_gate_gradients() } else { ctx }
    }

    /// Keeps a step until its backward has run.
    pub(super) fn await_head_gradients(
        &mut self,
        batch: &PackedBatch,
        trace: ForwardTrace,
        losses: &Losses,
        ctx: &ForwardContext,
    ) {
        if self.settings().head_feedback == HeadFeedback::Gradient && self.dynamic.is_warm() {
            let samples = batch.sample_ids.clone();
            let own = |(sample, exit): (usize, &usize)| losses.by_exit[*exit][sample];
            let scale = |loss: f64| batch.len() as f64 / (1.0 - (-loss).exp()).max(SMALLEST_GRADIENT);
            let scales = trace.decisions.exits.iter().enumerate().map(own).map(scale).collect();
            self.pending_feedback =
                Some(PendingHeadFeedback { ctx: ctx.clone(), samples, groups: trace.groups, scales });
        } else {
            self.await_importance(batch, ctx);
        }
    }

    /// Keeps a step from which head sets do not learn until its backward has run, where importance is wanted.
    pub(super) fn await_importance(&mut self, batch: &PackedBatch, ctx: &ForwardContext) {
        if self.importance.is_some() {
            let (samples, groups, scales) = (batch.sample_ids.clone(), Vec::new(), Vec::new());
            self.pending_feedback = Some(PendingHeadFeedback { ctx: ctx.clone(), samples, groups, scales });
        }
    }

    /// Lets the head router learn from the gate gradients of the last step, after its backward, and pins heads by their
    /// importance when the warm-up is over.
    pub(super) fn learn_from_head_gradients(&mut self) -> Result<()> {
        if let Some(PendingHeadFeedback { ctx, samples, groups, scales }) = self.pending_feedback.take() {
            let mut by_head: BTreeMap<(usize, u64, usize), f64> = BTreeMap::new();
            for gate in ctx.head_gate_gradients() {
                let gradient = f64::from(gate.gradient).abs();
                by_head.insert((gate.layer, gate.sample, gate.head), gradient);
                if let Some(importance) = &mut self.importance {
                    // The loss is a mean over the samples.
                    importance.add(gate.layer, gate.head, samples.len() as f64 * gradient);
                }
            }
            for trace in &groups {
                let layers = self.dynamic.space().groups()[trace.group];
                let importance = |index: usize, head: usize| -> f64 {
                    let of = |layer| by_head.get(&(layer, samples[trace.members[index]], head)).copied();
                    scales[trace.members[index]] * layers.layers().filter_map(of).sum::<f64>()
                };
                self.dynamic.heads.learn_gradients(trace, &importance)?;
            }
        }
        self.pin_important_heads()
    }

    /// Pins heads by their importance, once, when the warm-up is over.
    fn pin_important_heads(&mut self) -> Result<()> {
        let warm = self.dynamic.heads.is_warm();
        let Some(importance) = self.importance.take_if(|importance| warm && !importance.is_empty()) else {
            return Ok(());
        };
        match self.exit_model().most_important_heads(|layer| Ok(importance.of_layer(layer)))? {
            Some(pinned) => self.dynamic.heads.pin(pinned),
            None => Ok(()),
        }
    }
}
