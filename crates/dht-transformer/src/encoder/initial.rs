//! Seeded initial weights. Candle's own generator cannot be seeded on the CPU.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use rand::{Rng, RngExt};
use rand_distr::StandardNormal;

use super::names;
use crate::{BertConfig, Result};

/// A matrix of draws from N(0, deviation²).
pub(super) fn normal<R: Rng + ?Sized>(shape: &[usize], deviation: f64, rng: &mut R) -> Result<Tensor> {
    let count = shape.iter().product();
    let numbers: Vec<f32> = (0..count).map(|_| (deviation * rng.sample::<f64, _>(StandardNormal)) as f32).collect();
    Ok(Tensor::from_vec(numbers, shape, &Device::Cpu)?)
}

/// All tensors of an encoder, in the order of [`names::all`]: matrices random, norms one and zero, biases zero.
///
/// The two matrices of each layer that write into the residual stream start smaller, by 1/√(2·layers) as in GPT-2
/// (Radford et al. 2019): each norm then changes the stream a little, and deep post-norm encoders leave the plateau that
/// they otherwise stay on for thousands of steps.
pub(super) fn tensors<R: Rng + ?Sized>(config: &BertConfig, rng: &mut R) -> Result<BTreeMap<String, Tensor>> {
    names::all(config)
        .into_iter()
        .map(|name| {
            let shape = names::shape(config, &name);
            let writes_residual = name.ends_with(names::OUTPUT) || name.ends_with(names::DOWN);
            let residual = if writes_residual { 1.0 / (2.0 * config.num_hidden_layers as f64).sqrt() } else { 1.0 };
            let tensor = if name.ends_with("LayerNorm.weight") {
                Tensor::from_vec(vec![1f32; shape[0]], shape, &Device::Cpu)?
            } else if name.ends_with(".bias") {
                Tensor::from_vec(vec![0f32; shape[0]], shape, &Device::Cpu)?
            } else {
                normal(&shape, residual * config.initializer_range, rng)?
            };
            Ok((name, tensor))
        })
        .collect()
}
