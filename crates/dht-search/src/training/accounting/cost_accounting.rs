//! Cost accounting of a training run.

use std::collections::BTreeMap;
use std::time::Duration;

use dht_dynamic::passage::Deciding;
use serde::{Deserialize, Serialize};

use super::curve_recorder::CurveRecorder;
use crate::error::{Error, Result};

/// Number of bins of training progress in the recorded curves.
const CURVE_BINS: usize = 100;
/// Largest count that is accepted from a checkpoint. It is far above the counts of any training run, and low enough
/// that additions do not overflow.
const MOST: u64 = 1 << 62;

/// Cost and decisions of a search model's training run. See [`SearchObjective`](crate::SearchObjective) for an example.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CostAccounting {
    /// FLOPs of all matrix products of the training run. Besides forward and backward passes on the routes, they
    /// include pre-passes that compute router inputs, passes for arm features, and passes of a teacher and of held-out
    /// texts. With queues, the second pass through the base layers is included.
    pub flops: u64,
    /// FLOPs of the passes that compute arm features (inputs of the bandits); included in `flops`.
    pub arm_feature_flops: u64,
    /// FLOPs of the teacher's forward passes; included in `flops`.
    pub teacher_flops: u64,
    /// FLOPs of the forward passes of held-out texts, from which only the bandits learn; included in `flops`.
    pub held_out_flops: u64,
    /// FLOPs of the bandits, by formula; not included in `flops`.
    ///
    /// A linear bandit with d-dimensional contexts takes 2·(d² + d) for each arm and decision, and 4·(d² + d) for each
    /// update. An update takes twice as many if old rewards are forgotten (`forgetting_decay` below 1). The head-set
    /// bandit takes 4·d for each head and decision, and 10·d for each update of a head. Pooling and normalisation are
    /// not counted.
    pub bandit_flops: u64,
    /// Wall-clock seconds of the routers: pooling, deciding and learning.
    pub bandit_seconds: f64,
    /// Number of times that the host waited for the device to deliver hidden states for a decision.
    #[serde(default)]
    pub synchronisations: u64,
    /// Number of samples on each route, by the route's notation. A sample counts once in each epoch.
    pub routes: BTreeMap<String, u64>,
    /// Sum over samples of the DHT paper's cost estimate: the heads that a sample ran, added up over its layers and
    /// divided by N_L·N_H, the model's numbers of layers and heads.
    pub layer_head_sum: f64,
    /// Number of samples trained on.
    pub samples: u64,
    /// Number of samples from which only the bandits learned. A sample counts once in each epoch.
    pub held_out_samples: u64,
    /// Recorder of curves against training progress: shares of depths and head counts, and losses.
    pub curves: CurveRecorder,
}

impl CostAccounting {
    /// Creates an empty accounting for a model with `heads` heads in each layer.
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

    /// Adds the time of the routers' decisions and updates.
    pub(crate) fn add_deciding(&mut self, deciding: Deciding, learning: Duration) {
        self.bandit_seconds += (deciding.time + learning).as_secs_f64();
        self.synchronisations += deciding.synchronisations;
    }

    /// Rejects an accounting from a checkpoint (`stored`) that cannot belong to this model.
    pub(crate) fn check_like(&self, stored: &Self) -> Result<()> {
        let counts =
            [stored.flops, stored.bandit_flops, stored.samples, stored.held_out_samples, stored.synchronisations];
        let sums = [stored.bandit_seconds, stored.layer_head_sum];
        if counts.iter().all(|count| *count <= MOST) && sums.iter().all(|sum| sum.is_finite() && *sum >= 0.0) {
            return match stored.curves.is_like(&self.curves) {
                true => Ok(()),
                false => Err(Error::state("accounting", "curves of this model's heads and bins", "others")),
            };
        }
        Err(Error::state("accounting", format!("sums from 0 to {MOST}"), format!("{counts:?} and {sums:?}")))
    }
}
