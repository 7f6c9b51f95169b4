//! Formulas and random draws that several relaxations use.

use candle_core::Tensor;
use dht_transformer::model::Gate;
use rand::{Rng, RngExt};

use crate::error::Result;
use crate::space::Group;

/// Creates the gate of a [group](Group) of units from one factor for each unit. Shape: (heads, head_dim) for output
/// dimensions of heads, otherwise (units).
pub(super) fn shaped(units: &Tensor, group: &Group) -> Result<Gate> {
    Ok(Gate::Scale(match group.part.is_by_head() {
        true => units.reshape((group.blocks, group.width))?,
        false => units.clone(),
    }))
}

pub(super) fn sigmoid_tensor(x: &Tensor) -> Result<Tensor> {
    Ok((x.neg()?.exp()? + 1.0)?.recip()?)
}

pub(super) fn sigmoid_of(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// Draws a uniform number u from (0, 1) for which ln u and ln(1 − u) are finite.
pub(super) fn uniform(rng: &mut dyn Rng) -> f64 {
    rng.random_range(1e-7..1.0 - 1e-7)
}

/// Draws logistic noise ln u − ln(1 − u), with u uniform in (0, 1), for each unit. This is the distribution of the
/// difference of two Gumbel variables. Shape: (units).
pub(super) fn logistic(alpha: &Tensor, rng: &mut dyn Rng) -> Result<Tensor> {
    let draw = |_| {
        let u = uniform(rng);
        (u.ln() - (1.0 - u).ln()) as f32
    };
    let noise: Vec<f32> = (0..alpha.elem_count()).map(draw).collect();
    Ok(Tensor::from_vec(noise, alpha.dims(), alpha.device())?)
}

/// Temperature that decreases geometrically: from·(to/from)^share. `share` is the completed share of the training
/// steps, between 0 and 1.
pub(super) fn annealed(from: f64, to: f64, share: f64) -> f64 {
    from * (to / from).powf(share.clamp(0.0, 1.0))
}
