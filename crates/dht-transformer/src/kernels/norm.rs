//! y = LayerNorm(x + dropout(h + bias)): the end of both halves of a block; without x, the norm of the embeddings.

use rayon::prelude::*;

use super::dropout::Dropout;
use super::real::Real;
use super::rows::{CHUNK, add_assign, vectorised, zip_chunks_summing};

/// Scale γ, shift β and ε of a layer norm.
#[derive(Clone, Copy)]
pub(crate) struct Norm<'a, T> {
    pub(crate) scale: &'a [T],
    pub(crate) shift: &'a [T],
    pub(crate) epsilon: f64,
}

/// The token of its sample, and the sample's number, for each row: what keys a dropout mask.
#[derive(Clone, Copy)]
pub(crate) struct RowKeys<'a> {
    pub(crate) samples: &'a [u64],
    pub(crate) tokens: &'a [u32],
}

/// z = x + dropout(h + bias) in place of h, and y = (z − mean)/√(variance + ε)·γ + β.
pub(crate) fn residual_norm<T: Real>(
    h: &mut [T],
    bias: &[T],
    x: Option<&[T]>,
    norm: Norm<'_, T>,
    dropout: Option<(Dropout, RowKeys<'_>)>,
) -> Vec<T> {
    let width = bias.len();
    let mut y = vec![T::ZERO; h.len()];
    y.par_chunks_mut(CHUNK * width).zip(h.par_chunks_mut(CHUNK * width)).enumerate().for_each(|(chunk, (y, h))| {
        let first = chunk * CHUNK;
        vectorised(
            #[inline(always)]
            || {
                for (index, (y, h)) in y.chunks_exact_mut(width).zip(h.chunks_exact_mut(width)).enumerate() {
                    let row = first + index;
                    add_assign(h, bias);
                    if let Some((dropout, keys)) = dropout {
                        dropout.apply(keys.samples[row], keys.tokens[row] as usize, 0, h);
                    }
                    if let Some(x) = x {
                        add_assign(h, &x[row * width..(row + 1) * width]);
                    }
                    normalise(h, norm, y);
                }
            },
        );
    });
    y
}

/// One row: y = (z − mean)/√(variance + ε)·γ + β.
#[inline(always)]
pub(crate) fn normalise<T: Real>(z: &[T], norm: Norm<'_, T>, y: &mut [T]) {
    let (mean, inverse) = moments(z, norm.epsilon);
    for (((y, z), scale), shift) in y.iter_mut().zip(z).zip(norm.scale).zip(norm.shift) {
        *y = (*z - mean) * inverse * *scale + *shift;
    }
}

/// Mean and 1/√(variance + ε) of a row.
#[inline(always)]
fn moments<T: Real>(z: &[T], epsilon: f64) -> (T, T) {
    let count = T::from_f64(z.len() as f64);
    let mean = sum(z, |z| z) / count;
    let variance = sum(z, |z| (z - mean) * (z - mean)) / count;
    (mean, T::ONE / (variance + T::from_f64(epsilon)).sqrt())
}

/// Σ f(z), in sixteen lanes so that it vectorises with a fixed order of summation.
#[inline(always)]
fn sum<T: Real>(z: &[T], f: impl Fn(T) -> T) -> T {
    let mut lanes = [T::ZERO; 16];
    let chunks = z.chunks_exact(16);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (lane, z) in lanes.iter_mut().zip(chunk) {
            *lane += f(*z);
        }
    }
    for (lane, z) in lanes.iter_mut().zip(rest) {
        *lane += f(*z);
    }
    lanes.into_iter().sum()
}

/// Σ f(a, b), like [`sum`].
#[inline(always)]
fn sum2<T: Real>(a: &[T], b: &[T], f: impl Fn(T, T) -> T) -> T {
    let mut lanes = [T::ZERO; 16];
    let whole = a.len() / 16 * 16;
    for (a, b) in a[..whole].chunks_exact(16).zip(b[..whole].chunks_exact(16)) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += f(*a, *b);
        }
    }
    for ((lane, a), b) in lanes.iter_mut().zip(&a[whole..]).zip(&b[whole..]) {
        *lane += f(*a, *b);
    }
    lanes.into_iter().sum()
}

/// What flows back out of [`residual_norm`].
pub(crate) struct ResidualNormGradients<T> {
    /// With respect to z, and so to x.
    pub(crate) dz: Vec<T>,
    /// With respect to h.
    pub(crate) dh: Vec<T>,
    pub(crate) dscale: Vec<T>,
    pub(crate) dshift: Vec<T>,
    pub(crate) dbias: Vec<T>,
}

/// The backward of [`residual_norm`] from z (what it left in place of h) and dy.
///
/// With x̂ = (z − mean)·r and g = dy·γ: dz = r·(g − mean(g) − x̂·mean(g·x̂)).
pub(crate) fn residual_norm_backward<T: Real>(
    z: &[T],
    dy: &[T],
    norm: Norm<'_, T>,
    dropout: Option<(Dropout, RowKeys<'_>)>,
) -> ResidualNormGradients<T> {
    let width = norm.scale.len();
    let count = T::from_f64(width as f64);
    let mut dz = vec![T::ZERO; z.len()];
    let mut dh = vec![T::ZERO; z.len()];
    let sums = zip_chunks_summing(&mut dz, width, &mut dh, width, 3 * width, #[inline(always)] |first, dz, dh, sums| {
        let (dscale, rest) = sums.split_at_mut(width);
        let (dshift, dbias) = rest.split_at_mut(width);
        let mut unit = vec![T::ZERO; width];
        let mut weighted = vec![T::ZERO; width];
        for (index, (dz, dh)) in dz.chunks_exact_mut(width).zip(dh.chunks_exact_mut(width)).enumerate() {
            let row = first + index;
            let z = &z[row * width..(row + 1) * width];
            let dy = &dy[row * width..(row + 1) * width];
            let (mean, inverse) = moments(z, norm.epsilon);
            for (unit, z) in unit.iter_mut().zip(z) {
                *unit = (*z - mean) * inverse;
            }
            for ((weighted, dy), scale) in weighted.iter_mut().zip(dy).zip(norm.scale) {
                *weighted = *dy * *scale;
            }
            for (((dscale, dshift), dy), unit) in dscale.iter_mut().zip(dshift.iter_mut()).zip(dy).zip(&unit) {
                *dscale += *dy * *unit;
                *dshift += *dy;
            }
            let mean_g = sum(&weighted, |g| g) / count;
            let mean_gx = sum2(&weighted, &unit, |g, x| g * x) / count;
            for ((dz, g), x) in dz.iter_mut().zip(&weighted).zip(&unit) {
                *dz = inverse * (*g - mean_g - *x * mean_gx);
            }
            dh.copy_from_slice(dz);
            if let Some((dropout, keys)) = dropout {
                dropout.apply(keys.samples[row], keys.tokens[row] as usize, 0, dh);
            }
            add_assign(dbias, dh);
        }
    });
    let (dscale, rest) = sums.split_at(width);
    let (dshift, dbias) = rest.split_at(width);
    ResidualNormGradients { dz, dh, dscale: dscale.to_vec(), dshift: dshift.to_vec(), dbias: dbias.to_vec() }
}
