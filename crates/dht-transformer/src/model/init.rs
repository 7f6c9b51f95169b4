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

/// Standard deviation of the initial embedding tables, as in BERT. A layer norm follows the tables, so only the
/// directions of the vectors matter. Adam's steps have a fixed length, so they turn vectors of a small scale quickly.
pub(crate) const TABLES: f64 = 0.02;
/// Factor on the initial scale of the matrices that add to the residual stream. With this factor each layer changes the
/// stream only a little. Otherwise deep post-norm encoders stay on a plateau of the loss (measured on generated texts).
const RESIDUAL: f64 = 0.2;

/// Standard deviation of a matrix's initial values; `name` determines its kind.
pub(crate) fn deviation(config: &BertConfig, name: &str) -> f64 {
    match name {
        name if name.ends_with("embeddings.weight") => TABLES,
        name if name.ends_with(names::DOWN) => RESIDUAL * config.initializer_range,
        _ => config.initializer_range,
    }
}

/// Standard deviation 1/√inputs, with which the outputs of a matrix have the scale of its inputs. It suits layers that
/// are trained for few steps.
pub(crate) fn of_inputs(config: &BertConfig, name: &str) -> f64 {
    let inputs = names::shape(config, name).last().copied().unwrap_or(1);
    (inputs as f64).sqrt().recip()
}

/// Initial tensors of an encoder, drawn in the order of [`names::all`]. Matrices are random, norms have scale one and
/// shift zero, and biases are zero.
pub(crate) fn tensors<R: Rng + ?Sized>(config: &BertConfig, rng: &mut R) -> Result<BTreeMap<String, Tensor>> {
    let named = |name: String| Ok((name.clone(), tensor(config, &name, deviation(config, &name), rng)?));
    names::all(config).into_iter().map(named).collect()
}

/// Initial values of one tensor: random for a matrix, one for the scale of a norm, and zero for its shift and for
/// biases.
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
