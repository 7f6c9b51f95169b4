//! Importance of attention heads: means of gate gradients over samples.

use dht_dynamic::route::ModelShape;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Importance E |∂L/∂ξ| of each head in each layer, with the loss L and a gate ξ on the head (Michel et al. 2019,
/// equation 2). It is stored as a sum over samples and their number; only samples that kept the head count.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HeadImportance {
    /// Sums of |∂L/∂ξ| over samples, by layer and then by head.
    sums: Vec<Vec<f64>>,
    counts: Vec<Vec<u64>>,
}

impl HeadImportance {
    pub(super) fn new(shape: ModelShape) -> Self {
        let ModelShape { layers, heads } = shape;
        Self { sums: vec![vec![0.0; heads]; layers], counts: vec![vec![0; heads]; layers] }
    }

    pub(super) fn add(&mut self, layer: usize, head: usize, importance: f64) {
        self.sums[layer][head] += importance;
        self.counts[layer][head] += 1;
    }

    /// Largest number of samples that kept the same head.
    pub(super) fn samples(&self) -> u64 {
        self.counts.iter().flatten().copied().max().unwrap_or_default()
    }

    /// Mean importance of each head of a layer, scaled so that the vector has length 1. Without scaling, deeper layers
    /// would seem less important because their gradients are smaller.
    pub(super) fn of_layer(&self, layer: usize) -> Vec<f64> {
        let means = self.sums[layer].iter().zip(&self.counts[layer]).map(|(sum, count)| sum / (*count).max(1) as f64);
        let means: Vec<f64> = means.collect();
        let norm = means.iter().map(|mean| mean * mean).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
        means.into_iter().map(|mean| mean / norm).collect()
    }

    /// Rejects an importance from a checkpoint if it belongs to a model of another size, or has values that no training
    /// run can produce.
    pub(super) fn check_with(&self, ModelShape { layers, heads }: ModelShape) -> Result<()> {
        let sizes = |rows: Vec<usize>| rows == vec![heads; layers];
        let like = sizes(self.sums.iter().map(Vec::len).collect()) && sizes(self.counts.iter().map(Vec::len).collect());
        if like && self.sums.iter().flatten().all(|sum| sum.is_finite() && *sum >= 0.0) {
            return Ok(());
        }
        let expected = format!("finite sums and counts of {layers} layers of {heads} heads");
        Err(Error::state("importance of heads", expected, "others"))
    }
}
