//! Head importance by gate gradients: |∂L/∂ξ| of a gate ξ on each head (Michel et al. 2019).

use std::collections::BTreeMap;

use dht_transformer::{ForwardContext, PackedBatch};

use super::objective::{PendingHeadFeedback, SearchObjective};
use crate::error::Result;
use crate::reward::HeadFeedback;
use crate::routing::{ForwardTrace, Losses};

/// A lower bound for the gradient of a loss by the label's log-odds, against a division by 0 at probability 1.
const SMALLEST_GRADIENT: f64 = 1e-6;

impl SearchObjective {
    /// A context whose backward keeps the gate gradients, where heads are scored by them.
    pub(super) fn with_head_gradients(&self, ctx: ForwardContext) -> ForwardContext {
        if self.settings().head_feedback == HeadFeedback::Gradient { ctx.with_head_gate_gradients() } else { ctx }
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
        }
    }

    /// Lets the head router learn from the gate gradients of the last step, after its backward.
    pub(super) fn learn_from_head_gradients(&mut self) -> Result<()> {
        let Some(PendingHeadFeedback { ctx, samples, groups, scales }) = self.pending_feedback.take() else {
            return Ok(());
        };
        let mut by_head: BTreeMap<(usize, u64, usize), f64> = BTreeMap::new();
        for gate in ctx.head_gate_gradients() {
            by_head.insert((gate.layer, gate.sample, gate.head), f64::from(gate.gradient).abs());
        }
        for trace in &groups {
            let layers = self.dynamic.space().groups()[trace.group];
            let importance = |index: usize, head: usize| -> f64 {
                let of = |layer| by_head.get(&(layer, samples[trace.members[index]], head)).copied();
                scales[trace.members[index]] * layers.layers().filter_map(of).sum::<f64>()
            };
            self.dynamic.heads.learn_gradients(trace, &importance)?;
        }
        Ok(())
    }
}
