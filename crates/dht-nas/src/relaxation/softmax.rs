//! Softmax weights of units (such as heads), with which the [report](crate#source) on differentiable search for BERT
//! relaxes heads.

use candle_core::{D, Tensor};
use dht_transformer::model::Gate;
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use super::Relaxation;
use super::check::positive;
use super::gate_math::{shaped, uniform};
use crate::error::Result;
use crate::space::Group;

/// Softmax relaxation: the gates of the n units in a block, such as the heads of a layer, are z = n·softmax(α), with
/// architecture variables α. The report on differentiable search for BERT prints z = softmax(α) (5.5.2, equation 5).
/// Without the factor n, the initial attention output of a layer would be n times smaller. With the factor, all gates
/// start near 1.
///
/// The gates of a block always add up to n, or to 1 without the factor. A cost term can therefore not change the number
/// of kept units. The target cost determines this number, and each block keeps its best units. With and without the
/// factor, a unit counts with min(1, n·softmax(α)) in the expected cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WeightedSoftmax {
    /// Variance, above 0, of the initial architecture variables α, whose mean is 0. The report on differentiable search
    /// for BERT states "Normal(0, 0.01)". Set .01 if the second number is a variance, and .0001 if it is a standard
    /// deviation.
    pub variance: f64,
    /// True if the softmax weights are multiplied by n, the number of units (such as heads) in a block.
    pub times_n: bool,
}

impl Default for WeightedSoftmax {
    /// Initial architecture variables α from N(0, .01), as in the report on differentiable search for BERT, where .01
    /// is read as the variance. The softmax weights of a block of units are multiplied by the number of units, so that
    /// they start near 1.
    fn default() -> Self {
        Self { variance: 0.01, times_n: true }
    }
}

impl WeightedSoftmax {
    /// Softmax weights that are not multiplied by the number of units in a block, as in equation 5 of the report on
    /// differentiable search for BERT.
    pub fn printed() -> Self {
        Self { times_n: false, ..Self::default() }
    }

    pub(super) fn check(&self) -> Result<()> {
        positive("weighted_softmax.variance", self.variance)
    }

    fn factor(&self, group: &Group) -> f64 {
        if self.times_n { group.width as f64 } else { 1.0 }
    }

    /// Softmax of the architecture variables α within each block of units.
    fn softmax(alpha: &Tensor, group: &Group) -> Result<Tensor> {
        let rows = alpha.reshape((group.blocks, group.width))?;
        let exp = rows.broadcast_sub(&rows.max_keepdim(D::Minus1)?.detach())?.exp()?;
        Ok(exp.broadcast_div(&exp.sum_keepdim(D::Minus1)?)?.flatten_all()?)
    }
}

impl Relaxation for WeightedSoftmax {
    fn start(&self, group: &Group, rng: &mut dyn Rng) -> Vec<f32> {
        // Two uniform numbers give one normal number (Box and Muller 1958).
        let mut normal = || {
            let (u, angle) = (uniform(rng), rng.random_range(0.0..std::f64::consts::TAU));
            (-2.0 * u.ln()).sqrt() * angle.cos()
        };
        (0..group.units()).map(|_| (self.variance.sqrt() * normal()) as f32).collect()
    }

    fn sample(&self, alpha: &Tensor, group: &Group, _: f64, _: &mut dyn Rng) -> Result<Gate> {
        shaped(&(Self::softmax(alpha, group)? * self.factor(group))?, group)
    }

    /// Degree to which each unit counts in the expected cost: min(1, n·softmax(α)), with n units in a block.
    fn open(&self, alpha: &Tensor, group: &Group) -> Result<Tensor> {
        let weights = (Self::softmax(alpha, group)? * group.width as f64)?;
        Ok((1.0 - (1.0 - weights)?.relu()?)?)
    }

    fn score(&self, alpha: &[f32], group: &Group) -> Vec<f64> {
        self.value(alpha, group)
    }

    /// Selects the units with the largest weights, a share `share` of each block, as the report on differentiable
    /// search for BERT does.
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
            exp.into_iter().map(move |exp| exp / sum * self.factor(group)).collect::<Vec<_>>()
        };
        alpha.chunks(group.width).flat_map(weights).collect()
    }
}
