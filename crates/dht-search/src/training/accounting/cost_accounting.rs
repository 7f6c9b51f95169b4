//! The cost accounting of a training, and its curves. A checkpoint holds them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::curve_recorder::CurveRecorder;
use crate::error::{Error, Result};
use crate::routing::Deciding;

/// Bins of the recorded curves.
const CURVE_BINS: usize = 100;
/// An upper bound for stored counts: far above any training's, and far from overflow.
const MOST: u64 = 1 << 62;

/// The cost and the decisions of a dynamic model's training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CostAccounting {
    /// FLOPs of all products: forward, backward, second passes of the base layers, pre-passes, arm features, teacher,
    /// held-out texts.
    pub flops: u64,
    /// Of these, the passes for arm features.
    pub arm_feature_flops: u64,
    /// Of these, the teacher's passes.
    pub teacher_flops: u64,
    /// Of these, the passes of texts that are held out.
    pub held_out_flops: u64,
    /// FLOPs of the bandits, by formula: 2·(d² + d) an arm and decision of a linear bandit of d dimensions, 4·(d² + d) a
    /// reward that it learns from (twice with forgetting), 4·d a head and decision of the head-set bandit, 10·d a head and
    /// reward. Pooling and normalisation are not counted. Not contained in `flops`.
    pub bandit_flops: u64,
    /// Wall clock of the bandits: pooling, deciding, learning.
    pub bandit_seconds: f64,
    /// How often a decision waited for the device to hand over the rows that it reads.
    #[serde(default)]
    pub synchronisations: u64,
    /// How many samples took each route, each epoch counted.
    pub routes: BTreeMap<String, u64>,
    /// The sum over samples of Σ (heads of a layer that ran) / (N_L·N_H): the paper's estimate of a route's cost.
    pub layer_head_sum: f64,
    /// Samples trained on.
    pub samples: u64,
    /// Samples from which only the bandits learned, each epoch counted.
    pub held_out_samples: u64,
    /// Shares of depths and heads and the loss against progress.
    pub curves: CurveRecorder,
}

impl CostAccounting {
    /// An empty accounting for a model with this number of heads.
    pub(crate) fn new(heads: usize) -> Result<Self> {
        Ok(Self {
            flops: 0,
            arm_feature_flops: 0,
            teacher_flops: 0,
            held_out_flops: 0,
            bandit_flops: 0,
            bandit_seconds: 0.0,
            synchronisations: 0,
            routes: BTreeMap::new(),
            layer_head_sum: 0.0,
            samples: 0,
            held_out_samples: 0,
            curves: CurveRecorder::new(CURVE_BINS, heads)?,
        })
    }

    /// Adds what deciding took, and what learning took after it.
    pub(crate) fn add_deciding(&mut self, deciding: Deciding, learning: Duration) {
        self.bandit_seconds += (deciding.time + learning).as_secs_f64();
        self.synchronisations += deciding.synchronisations;
    }

    /// Refuses a stored accounting that this model cannot have kept.
    pub(crate) fn check_like(&self, stored: &Self) -> Result<()> {
        let counts =
            [stored.flops, stored.bandit_flops, stored.samples, stored.held_out_samples, stored.synchronisations];
        let sums = [stored.bandit_seconds, stored.layer_head_sum];
        if counts.iter().all(|count| *count <= MOST) && sums.iter().all(|sum| sum.is_finite() && *sum >= 0.0) {
            return match stored.curves.is_like(&self.curves) {
                true => Ok(()),
                false => Err(Error::setting("accounting", "curves of this model's heads and bins", "others")),
            };
        }
        Err(Error::setting("accounting", format!("sums from 0 to {MOST}"), format!("{counts:?} and {sums:?}")))
    }
}
