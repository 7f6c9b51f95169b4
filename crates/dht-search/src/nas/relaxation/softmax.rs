//! Units weighed by a softmax: the report's search of heads.

use candle_core::{D, Tensor};
use dht_transformer::model::Gate;
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use super::{Relaxation, positive, shaped};
use crate::error::Result;
use crate::nas::space::Group;

/// z = n·softmax(α) over the n units of a block (report, 5.5.2, equation 5). The report weighs heads without the factor n,
/// which would make a layer's attention n times as small at the beginning; with it all start near 1.
///
/// The weights add up to n whatever α is, so that a cost cannot say how many stay: the target does, and the best of each block
/// are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WeightedSoftmax {
    /// The variance of α at the beginning, around 0; above 0.
    pub variance: f64,
}

impl Default for WeightedSoftmax {
    /// The report's N(0, .01).
    fn default() -> Self {
        Self { variance: 0.01 }
    }
}

impl WeightedSoftmax {
    pub(super) fn check(&self) -> Result<()> {
        positive("weighted_softmax.variance", self.variance)
    }

    fn weights(alpha: &Tensor, group: &Group) -> Result<Tensor> {
        let rows = alpha.reshape((group.blocks, group.width))?;
        let exp = rows.broadcast_sub(&rows.max_keepdim(D::Minus1)?.detach())?.exp()?;
        let weights = (exp.broadcast_div(&exp.sum_keepdim(D::Minus1)?)? * group.width as f64)?;
        Ok(weights.flatten_all()?)
    }
}

impl Relaxation for WeightedSoftmax {
    fn start(&self, group: &Group, rng: &mut dyn Rng) -> Vec<f32> {
        // Two uniform numbers make one of the normal distribution (Box and Muller 1958).
        let mut normal = || {
            let (u, angle) = (super::uniform(rng), rng.random_range(0.0..std::f64::consts::TAU));
            (-2.0 * u.ln()).sqrt() * angle.cos()
        };
        (0..group.units()).map(|_| (self.variance.sqrt() * normal()) as f32).collect()
    }

    fn sample(&self, alpha: &Tensor, group: &Group, _: f64, _: &mut dyn Rng) -> Result<Gate> {
        shaped(&Self::weights(alpha, group)?, group)
    }

    /// min(1, n·softmax(α)).
    fn open(&self, alpha: &Tensor, group: &Group) -> Result<Tensor> {
        Ok((1.0 - (1.0 - Self::weights(alpha, group)?)?.relu()?)?)
    }

    fn score(&self, alpha: &[f32], group: &Group) -> Vec<f64> {
        self.value(alpha, group)
    }

    /// The report's top n of each block.
    fn kept(&self, alpha: &[f32], group: &Group, share: f64) -> Vec<bool> {
        let most = (share * group.width as f64).ceil() as usize;
        let best = |block: &[f32]| {
            let above = |own: usize| {
                let before = |other: usize| block[other] > block[own] || (block[other] == block[own] && other < own);
                (0..block.len()).filter(|other| before(*other)).count()
            };
            (0..block.len()).map(|own| above(own) < most).collect::<Vec<_>>()
        };
        alpha.chunks(group.width).flat_map(best).collect()
    }

    fn value(&self, alpha: &[f32], group: &Group) -> Vec<f64> {
        let weights = |block: &[f32]| {
            let largest = block.iter().copied().fold(f32::MIN, f32::max);
            let exp: Vec<f64> = block.iter().map(|alpha| f64::from(alpha - largest).exp()).collect();
            let sum: f64 = exp.iter().sum();
            exp.into_iter().map(move |exp| exp / sum * group.width as f64).collect::<Vec<_>>()
        };
        alpha.chunks(group.width).flat_map(weights).collect()
    }
}
