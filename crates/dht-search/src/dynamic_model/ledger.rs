//! The books of a training.

use std::collections::BTreeMap;

use dht_transformer::{PackedBatch, Progress};
use serde::{Deserialize, Serialize};

use super::DynamicModel;
use crate::executor::Passage;
use crate::strategy::Strategy;
use crate::{CostModel, CurveRecorder, Result};

/// Bins of the recorded curves.
const CURVE_BINS: usize = 100;

/// What the training of a dynamic model cost and chose.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    /// FLOPs of all products: forward, backward, second passes of the base layers, arm features.
    pub flops: u64,
    /// Of these, the passes for arm features.
    pub arm_feature_flops: u64,
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
    /// Shares of depths and heads and the loss against progress.
    pub curves: CurveRecorder,
}

impl Ledger {
    /// Empty books of a model with this many heads.
    pub(super) fn new(heads: usize) -> Result<Self> {
        Ok(Self {
            flops: 0,
            arm_feature_flops: 0,
            bandit_flops: 0,
            bandit_seconds: 0.0,
            routes: BTreeMap::new(),
            layer_head_sum: 0.0,
            samples: 0,
            curves: CurveRecorder::new(CURVE_BINS, heads)?,
        })
    }
}

impl DynamicModel {
    pub(super) fn keep_books(
        &mut self,
        batch: &PackedBatch,
        passage: &Passage,
        loss: &dyn Fn(usize) -> f64,
        progress: Progress,
    ) -> Result<()> {
        let (flops, shown) = (self.flops(), self.shown());
        let cost = CostModel::default();
        let routes = passage.routes(&self.space)?;
        for (sample, (route, tokens)) in routes.iter().zip(batch.spans.lengths()).enumerate() {
            let reads = shown.reads(passage.depth.exits[sample]);
            let both = flops.forward(route, tokens, reads.total()) + flops.backward(route, tokens, reads);
            self.ledger.flops += both.0;
            self.ledger.layer_head_sum += cost.share(route, tokens)?;
            *self.ledger.routes.entry(route.to_string()).or_default() += 1;
            if let Some(watcher) = &mut self.watcher.0 {
                watcher(route.depth());
            }
            self.ledger.curves.outcome(progress.share.min(1.0), route, loss(sample))?;
        }
        self.ledger.samples += batch.len() as u64;
        for passage in &passage.groups {
            self.ledger.bandit_flops += passage.members.len() as u64 * self.bandits.group_flops();
            let layers = self.space.groups()[passage.group];
            for bucket in &passage.choices.buckets {
                self.ledger.curves.head_set(layers, bucket.heads, bucket.places.len() as u64)?;
            }
        }
        Ok(())
    }
}
