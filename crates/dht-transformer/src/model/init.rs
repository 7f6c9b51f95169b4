//! Seeded initial weights. Candle's own generator cannot be seeded on the CPU.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use rand::{Rng, RngExt};
use rand_distr::StandardNormal;

use super::names;
use crate::config::BertConfig;
use crate::error::Result;

/// Draws a matrix from N(0, deviation²).
pub(crate) fn normal<R: Rng + ?Sized>(shape: &[usize], deviation: f64, rng: &mut R) -> Result<Tensor> {
    let count = shape.iter().product();
    let numbers: Vec<f32> = (0..count).map(|_| (deviation * rng.sample::<f64, _>(StandardNormal)) as f32).collect();
    Ok(Tensor::from_vec(numbers, shape, &Device::Cpu)?)
}

/// Standard deviation of the embedding tables, as in BERT. A norm follows the tables, so only directions matter, and
/// vectors of a small scale turn quickly under Adam's steps of fixed length.
pub(crate) const TABLES: f64 = 0.02;
/// Factor on the initial scale of matrices that write into the residual stream. With this factor each layer changes the
/// stream only a little, and deep post-norm encoders leave the plateau of the loss on which they otherwise stay
/// (measured on the generated texts).
const RESIDUAL: f64 = 0.2;

/// Standard deviation of a matrix's initial values, by its name.
pub(crate) fn deviation(config: &BertConfig, name: &str) -> f64 {
    match name {
        name if name.ends_with("embeddings.weight") => TABLES,
        name if name.ends_with(names::DOWN) => RESIDUAL * config.initializer_range,
        _ => config.initializer_range,
    }
}

/// Standard deviation 1/√inputs, with which a matrix's outputs have the scale of its inputs. This scale is for layers
/// that learn in few steps.
pub(crate) fn of_inputs(config: &BertConfig, name: &str) -> f64 {
    let inputs = names::shape(config, name).last().copied().unwrap_or(1);
    (inputs as f64).sqrt().recip()
}

/// Initial values of an encoder's tensors, drawn in the order of [`names::all`]. Matrices are random, norms have scale
/// one and shift zero, and biases are zero.
pub(crate) fn tensors<R: Rng + ?Sized>(config: &BertConfig, rng: &mut R) -> Result<BTreeMap<String, Tensor>> {
    let named = |name: String| Ok((name.clone(), tensor(config, &name, deviation(config, &name), rng)?));
    names::all(config).into_iter().map(named).collect()
}

/// Initial values of one tensor. A matrix is random, a norm has scale one and shift zero, and a bias is zero.
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
