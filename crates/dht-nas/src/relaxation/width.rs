//! Width sampling of TAS, transformable architecture search (Dong and Yang 2019): two candidate widths are sampled and
//! mixed.

use candle_core::{D, Tensor};
use dht_transformer::model::Gate;
use rand::Rng;
use serde::{Deserialize, Serialize};

use super::Relaxation;
use super::check::positive;
use super::gate_math::{annealed, uniform};
use crate::error::{Error, Result};
use crate::space::Group;

/// Width sampling of TAS, transformable architecture search (Dong and Yang 2019, equations 3 to 5). Each group of units
/// selects one of several widths c₁ < … < c_k with probabilities p = softmax(α). A training step draws a set I of two
/// widths by Gumbel-softmax with the temperature τ, and mixes the outputs of the two widths to the output O.
///
/// ```text
/// p̂ᵢ = softmax((ln pᵢ + oᵢ)/τ),  oᵢ ~ Gumbel(0, 1);   I: the two greatest p̂ᵢ
/// O = Σ_{j ∈ I} p̂ⱼ/Σ_I p̂ · CWI(x₁…x_{cⱼ}, max_I c)
/// CWI(x, n)ᵢ = mean of x from ⌊i·c/n⌋ to ⌈(i + 1)·c/n⌉ − 1
/// ```
///
/// Channel-wise interpolation (CWI) widens the narrower output to the larger width. A width keeps the first units
/// (dimensions, neurons or heads) of its group, which should therefore be the most important ones;
/// [`Encoder::prune`](dht_transformer::Encoder::prune) can sort neurons. A unit's score is the probability that the
/// unit is within the selected width.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WidthSampling {
    /// Candidate widths as shares of the full width, ascending, in (0, 1].
    pub widths: Vec<f64>,
    /// Initial temperature τ, above 0.
    pub first_temperature: f64,
    /// Final temperature τ, above 0.
    pub last_temperature: f64,
}

impl Default for WidthSampling {
    /// Widths in steps of one eighth, and a temperature τ that falls from 10 to .1, as in TAS (Dong and Yang 2019).
    fn default() -> Self {
        let widths = (1..=8).map(|eighth| f64::from(eighth) / 8.0).collect();
        Self { widths, first_temperature: 10.0, last_temperature: 0.1 }
    }
}

impl WidthSampling {
    pub(super) fn check(&self) -> Result<()> {
        positive("width_sampling.first_temperature", self.first_temperature)?;
        positive("width_sampling.last_temperature", self.last_temperature)?;
        let right = self.widths.len() >= 2
            && self.widths.is_sorted_by(|a, b| a < b)
            && self.widths.iter().all(|width| *width > 0.0 && *width <= 1.0);
        match right {
            true => Ok(()),
            false => {
                let got = format!("{:?}", self.widths);
                Err(Error::argument("width_sampling.widths", "two or more ascending shares in (0, 1]", got))
            }
        }
    }

    /// Candidate widths of a group in units. Rounding may make widths equal.
    fn candidates(&self, group: &Group) -> Vec<usize> {
        let units = |share: &f64| ((share * group.width as f64).round() as usize).clamp(group.minimum, group.width);
        self.widths.iter().map(units).collect()
    }

    /// Probability that each unit is within the selected width, from the probabilities of the widths.
    fn within(&self, probabilities: &[f64], group: &Group) -> Vec<f64> {
        let candidates = self.candidates(group);
        let of_unit = |unit: usize| {
            let wider = candidates.iter().zip(probabilities).filter(|(width, _)| **width > unit % group.width);
            wider.map(|(_, p)| p).sum()
        };
        (0..group.units()).map(of_unit).collect()
    }

    fn probabilities(alpha: &[f32]) -> Vec<f64> {
        let largest = alpha.iter().copied().fold(f32::MIN, f32::max);
        let exp: Vec<f64> = alpha.iter().map(|alpha| f64::from(alpha - largest).exp()).collect();
        let sum: f64 = exp.iter().sum();
        exp.into_iter().map(|exp| exp / sum).collect()
    }
}

/// Interpolation matrix of shape (width, width) that maps the first `from` units to `to` units (channel-wise
/// interpolation). All other entries are 0.
pub(super) fn interpolation(from: usize, to: usize, width: usize) -> Vec<f32> {
    let mut matrix = vec![0.0; width * width];
    for row in 0..to {
        let (first, end) = (row * from / to, ((row + 1) * from).div_ceil(to));
        matrix[row * width + first..row * width + end].fill(1.0 / (end - first) as f32);
    }
    matrix
}

fn softmax(x: &Tensor) -> Result<Tensor> {
    let exp = x.broadcast_sub(&x.max_keepdim(D::Minus1)?.detach())?.exp()?;
    Ok(exp.broadcast_div(&exp.sum_keepdim(D::Minus1)?)?)
}

impl Relaxation for WidthSampling {
    fn start(&self, _: &Group, _: &mut dyn Rng) -> Vec<f32> {
        vec![0.0; self.widths.len()]
    }

    fn sample(&self, alpha: &Tensor, group: &Group, share: f64, rng: &mut dyn Rng) -> Result<Gate> {
        let temperature = annealed(self.first_temperature, self.last_temperature, share);
        let noise: Vec<f32> = (0..alpha.elem_count()).map(|_| -(-uniform(rng).ln()).ln() as f32).collect();
        let noise = Tensor::from_vec(noise, alpha.dims(), alpha.device())?;
        // ln p and α differ by a constant, which cancels in a softmax.
        let drawn = softmax(&((alpha + noise)? / temperature)?)?;
        let numbers: Vec<f32> = drawn.to_vec1()?;
        let mut order: Vec<usize> = (0..numbers.len()).collect();
        order.sort_by(|a, b| numbers[*b].total_cmp(&numbers[*a]));
        let two = [order[0], order[1]];
        let candidates = self.candidates(group);
        let widest = candidates[two[0]].max(candidates[two[1]]);
        let at = Tensor::from_vec(two.map(|place| place as u32).to_vec(), 2, alpha.device())?;
        let weights = drawn.index_select(&at, 0)?;
        let weights = weights.broadcast_div(&weights.sum_all()?)?;
        let mut mix: Option<Tensor> = None;
        for (place, candidate) in two.into_iter().enumerate() {
            let matrix = interpolation(candidates[candidate], widest, group.width);
            let matrix = Tensor::from_vec(matrix, (group.width, group.width), alpha.device())?;
            let weighed = matrix.broadcast_mul(&weights.narrow(0, place, 1)?)?;
            mix = Some(match mix {
                None => weighed,
                Some(sum) => (sum + weighed)?,
            });
        }
        mix.map(Gate::Mix).ok_or_else(|| Error::argument("width_sampling.widths", "two or more", "none"))
    }

    fn open(&self, alpha: &Tensor, group: &Group) -> Result<Tensor> {
        let (units, candidates) = (group.units(), self.candidates(group));
        let inside = |unit: usize| candidates.iter().map(move |width| f32::from(u8::from(*width > unit % group.width)));
        let inside: Vec<f32> = (0..units).flat_map(inside).collect();
        let inside = Tensor::from_vec(inside, (units, candidates.len()), alpha.device())?;
        Ok(inside.matmul(&softmax(alpha)?.unsqueeze(1)?)?.squeeze(1)?)
    }

    fn score(&self, alpha: &[f32], group: &Group) -> Vec<f64> {
        self.within(&Self::probabilities(alpha), group)
    }

    /// Selects the units within the most probable width.
    fn kept(&self, alpha: &[f32], group: &Group, _: f64) -> Vec<bool> {
        let mut best = 0;
        for (place, value) in alpha.iter().enumerate() {
            if *value > alpha[best] {
                best = place;
            }
        }
        let width = self.candidates(group)[best];
        (0..group.units()).map(|unit| unit % group.width < width).collect()
    }

    fn value(&self, _: &[f32], group: &Group) -> Vec<f64> {
        vec![1.0; group.units()]
    }
}
