//! Random initial weights from a seed. Candle's own generator has no seed on the CPU.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use rand::{Rng, RngExt};
use rand_distr::StandardNormal;

use super::names;
use crate::config::BertConfig;
use crate::error::Result;

/// Draws a matrix from the normal distribution N(0, deviation²).
pub(crate) fn normal<R: Rng + ?Sized>(shape: &[usize], deviation: f64, rng: &mut R) -> Result<Tensor> {
    let count = shape.iter().product();
    let numbers: Vec<f32> = (0..count).map(|_| (deviation * rng.sample::<f64, _>(StandardNormal)) as f32).collect();
    Ok(Tensor::from_vec(numbers, shape, &Device::Cpu)?)
}

/// Standard deviation of the initial values in embedding tables, as in BERT. A layer norm follows the tables, so only
/// the directions of the vectors matter. Adam's steps have a fixed length, so vectors of a small scale quickly change
/// their directions.
pub(crate) const TABLES: f64 = 0.02;
/// Factor that reduces the initial weights of the feed-forward output. Each layer then adds only a little to the
/// residual stream. Without the factor, the loss of deep post-norm encoders stays on a plateau (measured on generated
/// texts).
const RESIDUAL: f64 = 0.2;

/// Standard deviation of the initial values of a matrix. It depends on the kind of matrix, which `name` determines.
pub(crate) fn deviation(config: &BertConfig, name: &str) -> f64 {
    match name {
        name if name.ends_with("embeddings.weight") => TABLES,
        name if name.ends_with(names::DOWN) => RESIDUAL * config.initializer_range,
        _ => config.initializer_range,
    }
}

/// Standard deviation 1/√inputs for the initial values of a matrix. The matrix's outputs then have the scale of its
/// inputs. It suits layers that are trained for few steps.
pub(crate) fn of_inputs(config: &BertConfig, name: &str) -> f64 {
    let inputs = names::shape(config, name).last().copied().unwrap_or(1);
    (inputs as f64).sqrt().recip()
}

/// Draws the initial tensors of an encoder, in the order of [`names::all`]. Matrices are random, layer norms have scale
/// one and shift zero, and biases are zero.
pub(crate) fn tensors<R: Rng + ?Sized>(config: &BertConfig, rng: &mut R) -> Result<BTreeMap<String, Tensor>> {
    let named = |name: String| Ok((name.clone(), tensor(config, &name, deviation(config, &name), rng)?));
    names::all(config).into_iter().map(named).collect()
}

/// Draws the initial values of one tensor, whose kind `name` determines: random numbers for a matrix, ones for the
/// scale of a layer norm, zeros for its shift and for biases.
pub(crate) fn tensor<R: Rng + ?Sized>(config: &BertConfig, name: &str, deviation: f64, rng: &mut R) -> Result<Tensor> {
    let shape = names::shape(config, name);
    Ok(if name.ends_with("LayerNorm.weight") {
        Tensor::from_vec(vec![1f32; shape[0]], shape, &Device::Cpu)?
    } else if name.ends_with(".bias") {
        Tensor::from_vec(vec![0f32; shape[0]], shape, &Device::Cpu)?
    } else {
        normal(&shape, deviation, rng)?
    })
}
