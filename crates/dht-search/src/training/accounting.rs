//! The books of a training.

use std::collections::BTreeMap;

use dht_transformer::{PackedBatch, Progress};
use serde::{Deserialize, Serialize};

use super::curve_recorder::CurveRecorder;
use super::objective::SearchObjective;
use crate::cost::LayerHeadCount;
use crate::error::{Error, Result};
use crate::routing::{ExitReads, ForwardTrace};
use crate::space::Route;

/// Bins of the recorded curves.
const CURVE_BINS: usize = 100;
/// Far more than any training comes to, and far from overflowing.
const MOST: u64 = 1 << 62;

/// What the training of a dynamic model cost and chose.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CostAccounting {
    /// FLOPs of all products: forward, backward, second passes of the base layers and looks ahead, arm features, teacher,
    /// held-out texts.
    pub flops: u64,
    /// Of these, the passes for arm features.
    pub arm_feature_flops: u64,
    /// Of these, the teacher's passes.
    pub teacher_flops: u64,
    /// Of these, the passes of texts that are held out.
    pub held_out_flops: u64,
    /// FLOPs of the bandits, by formula: 2·(d² + d) an arm and decision of a linear bandit of d dimensions, 4·d a head of
    /// the head bandit; updates and pooling are not counted. Beside `flops`, not in it.
    pub bandit_flops: u64,
    /// Wall clock of the bandits: pooling, deciding, learning.
    pub bandit_seconds: f64,
    /// How many samples took each route, each epoch counted.
    pub routes: BTreeMap<String, u64>,
    /// The sum over samples of Σ (heads of a layer that ran) / (N_L·N_H): the paper's estimate of a route's cost.
    pub layer_head_sum: f64,
    /// Samples trained on.
    pub samples: u64,
    /// Samples that the bandits alone learned from, each epoch counted.
    pub held_out_samples: u64,
    /// Shares of depths and heads and the loss against progress.
    pub curves: CurveRecorder,
}

impl CostAccounting {
    /// Empty books of a model with this many heads.
    pub(crate) fn new(heads: usize) -> Result<Self> {
        Ok(Self {
            flops: 0,
            arm_feature_flops: 0,
            teacher_flops: 0,
            held_out_flops: 0,
            bandit_flops: 0,
            bandit_seconds: 0.0,
            routes: BTreeMap::new(),
            layer_head_sum: 0.0,
            samples: 0,
            held_out_samples: 0,
            curves: CurveRecorder::new(CURVE_BINS, heads)?,
        })
    }

    /// Refuses stored books that this model cannot have kept.
    pub(crate) fn check_like(&self, stored: &Self) -> Result<()> {
        let counts = [stored.flops, stored.bandit_flops, stored.samples, stored.held_out_samples];
        let sums = [stored.bandit_seconds, stored.layer_head_sum];
        if counts.iter().all(|count| *count <= MOST) && sums.iter().all(|sum| sum.is_finite() && *sum >= 0.0) {
            return match stored.curves.is_like(&self.curves) {
                true => Ok(()),
                false => Err(Error::setting("ledger", "curves of this model's heads and bins", "others")),
            };
        }
        Err(Error::setting("ledger", format!("sums from 0 to {MOST}"), format!("{counts:?} and {sums:?}")))
    }
}

impl SearchObjective {
    /// Counts a batch that was trained on.
    pub(super) fn record_trace(
        &mut self,
        batch: &PackedBatch,
        trace: &ForwardTrace,
        loss: &dyn Fn(usize) -> f64,
        progress: Progress,
    ) -> Result<()> {
        let routes = trace.routes(self.dynamic.space())?;
        for (sample, (route, tokens)) in routes.iter().zip(batch.spans.lengths()).enumerate() {
            self.record_text(route, tokens, &trace.reads_of(sample), loss(sample), progress)?;
        }
        self.record_teacher(batch);
        self.record_routing(trace);
        for trace in &trace.groups {
            let layers = self.dynamic.space().groups()[trace.group];
            for group in &trace.decisions.head_sets {
                self.accounting.curves.head_set(layers, group.heads, group.places.len() as u64)?;
            }
        }
        Ok(())
    }

    /// Counts a text that was trained on.
    pub(super) fn record_text(
        &mut self,
        route: &Route,
        tokens: usize,
        reads: &[ExitReads],
        loss: f64,
        progress: Progress,
    ) -> Result<()> {
        let model = self.exit_model();
        let flops = model.forward_flops(route, tokens, reads) + model.backward_flops(route, tokens, reads);
        self.accounting.flops += flops;
        self.accounting.layer_head_sum += LayerHeadCount::default().share(route);
        *self.accounting.routes.entry(route.to_string()).or_default() += 1;
        self.accounting.samples += 1;
        if let Some(observer) = &mut self.observer.0 {
            observer(route.depth());
        }
        self.accounting.curves.outcome(progress.share.min(1.0), route, loss)
    }

    /// Counts what deciding cost.
    pub(super) fn record_routing(&mut self, trace: &ForwardTrace) {
        let members = trace.groups.iter().map(|group| group.members.len()).sum();
        self.accounting.bandit_flops += self.dynamic.routing_flops(trace.decisions.exits(), members);
    }
}
