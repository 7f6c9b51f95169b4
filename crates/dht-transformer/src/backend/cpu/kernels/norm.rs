//! Layer norm with residual, y = LayerNorm(x + dropout(h + bias)), the last step of each sublayer. Without the residual
//! x it is the norm of the embeddings.

use std::ops::Range;

use super::dropout::Dropout;
use super::real::Real;
use super::rows::{add_assign, sum, sum2, vectorised};

/// Parameters of a layer norm: scale γ, shift β, and the constant ε that is added to the variance.
#[derive(Clone, Copy)]
pub(crate) struct Norm<'a, T> {
    pub(crate) scale: &'a [T],
    pub(crate) shift: &'a [T],
    pub(crate) epsilon: f64,
}

/// Sample id and token position of each row, which determine the row's dropout mask.
#[derive(Clone, Copy)]
pub(crate) struct RowKeys<'a> {
    pub(crate) samples: &'a [u64],
    pub(crate) tokens: &'a [u32],
}

impl<'a> RowKeys<'a> {
    /// Returns the keys of a range of rows.
    pub(crate) fn rows(self, rows: Range<usize>) -> Self {
        Self { samples: &self.samples[rows.clone()], tokens: &self.tokens[rows] }
    }
}

/// Replaces h by z = x + dropout(h + bias), and computes the layer norm y = (z − mean)/√(variance + ε)·γ + β of each
/// row.
pub(crate) fn residual_norm<T: Real>(
    h: &mut [T],
    bias: &[T],
    x: Option<&[T]>,
    norm: Norm<'_, T>,
    dropout: Option<(Dropout, RowKeys<'_>)>,
    y: &mut [T],
) {
    let _span = tracing::trace_span!("residual and norm").entered();
    let width = bias.len();
    vectorised(
        #[inline(always)]
        move || {
            for (row, (y, h)) in y.chunks_exact_mut(width).zip(h.chunks_exact_mut(width)).enumerate() {
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
}

/// Computes the layer norm of one row, y = (z − mean)/√(variance + ε)·γ + β.
#[inline(always)]
pub(crate) fn normalise<T: Real>(z: &[T], norm: Norm<'_, T>, y: &mut [T]) {
    let (mean, inverse) = moments(z, norm.epsilon);
    for (((y, z), scale), shift) in y.iter_mut().zip(z).zip(norm.scale).zip(norm.shift) {
        *y = (*z - mean) * inverse * *scale + *shift;
    }
}

/// Mean of the values in a row, and 1/√(variance + ε).
#[inline(always)]
fn moments<T: Real>(z: &[T], epsilon: f64) -> (T, T) {
    let count = T::from_f64(z.len() as f64);
    let mean = sum(z, |z| z) / count;
    let variance = sum(z, |z| (z - mean) * (z - mean)) / count;
    (mean, T::ONE / (variance + T::from_f64(epsilon)).sqrt())
}

/// Gradients that [`residual_norm_backward`] computes.
pub(crate) struct ResidualNormGradients<T> {
    /// Gradient of the norm's input z = x + dropout(h + bias), which is also the gradient of the residual x.
    pub(crate) dz: Vec<T>,
    /// Gradient of h, the input of the dropout: the sublayer's second matrix product.
    pub(crate) dh: Vec<T>,
    pub(crate) dscale: Vec<T>,
    pub(crate) dshift: Vec<T>,
    pub(crate) dbias: Vec<T>,
}

/// Backward pass of [`residual_norm`]. Its arguments are the gradient dy of the output y, and z = x + dropout(h +
/// bias), by which the forward pass replaced h.
///
/// With r = 1/√(variance + ε), x̂ = (z − mean)·r and g = dy·γ: dz = r·(g − mean(g) − x̂·mean(g·x̂)).
pub(crate) fn residual_norm_backward<T: Real>(
    z: &[T],
    dy: &[T],
    norm: Norm<'_, T>,
    dropout: Option<(Dropout, RowKeys<'_>)>,
) -> ResidualNormGradients<T> {
    let _span = tracing::trace_span!("residual and norm, backward").entered();
    let width = norm.scale.len();
    let count = T::from_f64(width as f64);
    let (mut dz, mut dh) = (vec![T::ZERO; z.len()], vec![T::ZERO; z.len()]);
    let mut sums = [(); 3].map(|()| vec![T::ZERO; width]);
    let (mut unit, mut weighted) = (vec![T::ZERO; width], vec![T::ZERO; width]);
    {
        let (dz, dh, unit, weighted) = (&mut dz[..], &mut dh[..], &mut unit[..], &mut weighted[..]);
        let [dscale, dshift, dbias] = sums.each_mut().map(Vec::as_mut_slice);
        vectorised(
            #[inline(always)]
            move || {
                for (row, (dz, dh)) in dz.chunks_exact_mut(width).zip(dh.chunks_exact_mut(width)).enumerate() {
                    let z = &z[row * width..(row + 1) * width];
                    let dy = &dy[row * width..(row + 1) * width];
                    let (mean, inverse) = moments(z, norm.epsilon);
                    for (unit, z) in unit.iter_mut().zip(z) {
                        *unit = (*z - mean) * inverse;
                    }
                    for ((weighted, dy), scale) in weighted.iter_mut().zip(dy).zip(norm.scale) {
                        *weighted = *dy * *scale;
                    }
                    for (((dscale, dshift), dy), unit) in
                        dscale.iter_mut().zip(dshift.iter_mut()).zip(dy).zip(unit.iter())
                    {
                        *dscale += *dy * *unit;
                        *dshift += *dy;
                    }
                    let mean_g = sum(weighted, |g| g) / count;
                    let mean_gx = sum2(weighted, unit, |g, x| g * x) / count;
                    for ((dz, g), x) in dz.iter_mut().zip(weighted.iter()).zip(unit.iter()) {
                        *dz = inverse * (*g - mean_g - *x * mean_gx);
                    }
                    dh.copy_from_slice(dz);
                    if let Some((dropout, keys)) = dropout {
                        dropout.apply(keys.samples[row], keys.tokens[row] as usize, 0, dh);
                    }
                    add_assign(dbias, dh);
                }
            },
        );
    }
    let [dscale, dshift, dbias] = sums;
    ResidualNormGradients { dz, dh, dscale, dshift, dbias }
}
