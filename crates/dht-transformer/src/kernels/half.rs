//! Half of an encoder layer for some consecutive samples, forward with what its backward needs.
//!
//! ```text
//! y = LayerNorm(x + dropout(between(x·W₁ᵀ + b₁)·W₂ᵀ + b₂))
//! ```
//!
//! What lies between is attention in the first half of a layer and a non-linearity in the second. Weights are (out, in)
//! matrices, as Hugging Face stores them; here they come laid out for products, transposed for the forward and as they
//! are for the backward. A backward gives the gradients of rows; those of the weights are sums over the rows of all
//! samples and follow from them.

use rayon::prelude::*;

use super::activation::{Activation, bias_activation, bias_activation_backward};
use super::attention::{HeadShape, ProbabilityDropout, attention, attention_backward, gate_slopes};
use super::dropout::Dropout;
use super::norm::{Norm, ResidualNormGradients, RowKeys, residual_norm, residual_norm_backward};
use super::product::{Destination, Matrix, Packed, product};
use super::real::Real;
use super::rows::{add_assign, column_sums, sum_of, vectorised};
use crate::Spans;

/// Weights of a half: W₁ is (wide, hidden), W₂ (hidden, inner).
#[derive(Clone, Copy)]
pub(crate) struct HalfWeights<'a, T> {
    pub(crate) inward: &'a Packed<T>,
    /// b₁ (wide).
    pub(crate) inward_bias: &'a [T],
    pub(crate) outward: &'a Packed<T>,
    /// b₂ (hidden).
    pub(crate) outward_bias: &'a [T],
    pub(crate) norm: Norm<'a, T>,
}

/// What lies between the two products: (tokens, wide) → (tokens, inner).
#[derive(Clone, Copy)]
pub(crate) enum Between<'a> {
    /// wide = 3·inner: the columns of Q, of K, of V.
    Attention { spans: &'a Spans, shape: HeadShape, dropout: Option<ProbabilityDropout<'a>> },
    /// wide = inner.
    Activation(Activation),
}

impl Between<'_> {
    fn inner(&self, wide: usize) -> usize {
        match self {
            Self::Attention { shape, .. } => shape.inner(),
            Self::Activation(_) => wide,
        }
    }

    /// What the spans of the two products are called.
    fn product_spans(&self) -> [tracing::Span; 2] {
        match self {
            Self::Attention { .. } => {
                [tracing::trace_span!("product, QKV"), tracing::trace_span!("product, attention output")]
            }
            Self::Activation(_) => {
                [tracing::trace_span!("product, feed-forward up"), tracing::trace_span!("product, feed-forward down")]
            }
        }
    }
}

/// What the forward of a half leaves for its backward.
pub(crate) struct HalfSaved<T> {
    /// Q, K and V; or what goes into the activation, without its bias.
    u: Vec<T>,
    /// The context of attention. The activation is computed anew.
    context: Option<Vec<T>>,
    z: Vec<T>,
}

/// What the gradients of a half's weights follow from.
pub(crate) struct HalfRows<T> {
    du: Vec<T>,
    inner: Vec<T>,
    inward_bias: Vec<T>,
    norm: ResidualNormGradients<T>,
    /// Of each (sample, head), where they are wanted.
    pub(crate) gates: Vec<T>,
}

/// What a backward gives beside what the gradients of the weights follow from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    /// The gradient of x.
    pub(crate) input: bool,
    /// The slopes along gates on heads.
    pub(crate) gates: bool,
}

/// Gradients of a half's weights.
pub(crate) struct HalfGradients<T> {
    pub(crate) inward: Vec<T>,
    pub(crate) inward_bias: Vec<T>,
    pub(crate) outward: Vec<T>,
    pub(crate) outward_bias: Vec<T>,
    pub(crate) scale: Vec<T>,
    pub(crate) shift: Vec<T>,
}

/// The half. `x` is (tokens, hidden), the weights are transposed. `keep` says whether a backward will follow.
pub(crate) fn half<T: Real>(
    x: &[T],
    weights: HalfWeights<'_, T>,
    between: Between<'_>,
    dropout: Option<(Dropout, RowKeys<'_>)>,
    keep: bool,
) -> (Vec<T>, Option<HalfSaved<T>>) {
    let (hidden, wide) = (weights.outward_bias.len(), weights.inward_bias.len());
    let inner = between.inner(wide);
    let [into, out] = between.product_spans();
    let mut u = into.in_scope(|| linear(x, weights.inward, hidden, wide));
    let middle = match between {
        Between::Attention { spans, shape, dropout } => {
            add_to_rows(&mut u, weights.inward_bias);
            attention(&u, spans, shape, dropout)
        }
        Between::Activation(activation) => {
            // Without a backward the numbers are not needed twice.
            let mut a = if keep { u.clone() } else { std::mem::take(&mut u) };
            bias_activation(&mut a, weights.inward_bias, activation);
            a
        }
    };
    let mut z = out.in_scope(|| linear(&middle, weights.outward, inner, hidden));
    let y = residual_norm(&mut z, weights.outward_bias, Some(x), weights.norm, dropout);
    let context = matches!(between, Between::Attention { .. }).then_some(middle);
    (y, keep.then_some(HalfSaved { u, context, z }))
}

/// Backward of [`half`], with weights as they are: the gradient of x where it is asked for, and what the gradients of the
/// weights follow from.
pub(crate) fn half_backward<T: Real>(
    dy: &[T],
    saved: HalfSaved<T>,
    weights: HalfWeights<'_, T>,
    between: Between<'_>,
    dropout: Option<(Dropout, RowKeys<'_>)>,
    wanted: Wanted,
) -> (Option<Vec<T>>, HalfRows<T>) {
    let (hidden, wide) = (weights.outward_bias.len(), weights.inward_bias.len());
    let inner = between.inner(wide);
    let HalfSaved { mut u, context, z } = saved;
    let rows = z.len() / hidden;
    let mut norm = residual_norm_backward(&z, dy, weights.norm, dropout);
    drop(z);
    let mut dmiddle = vec![T::ZERO; rows * inner];
    tracing::trace_span!("products of row gradients").in_scope(|| {
        let dh = Matrix::new(&norm.dh, rows, hidden);
        product(&mut dmiddle, inner, Destination::Overwrite, T::ONE, dh, weights.outward);
    });
    let mut gates = Vec::new();
    let (inner, du, inward_bias) = match between {
        Between::Attention { spans, shape, dropout } => {
            let context = context.unwrap_or_default();
            if wanted.gates {
                gates = gate_slopes(&context, &dmiddle, spans, shape);
            }
            let du = attention_backward(&u, &dmiddle, spans, shape, dropout);
            let bias = column_sums(&du, wide);
            (context, du, bias)
        }
        Between::Activation(activation) => {
            let bias = bias_activation_backward(&mut u, weights.inward_bias, &mut dmiddle, activation);
            (u, dmiddle, bias)
        }
    };
    let mut dx = std::mem::take(&mut norm.dz);
    let dx = wanted.input.then(|| {
        let _span = tracing::trace_span!("products of row gradients").entered();
        let du = Matrix::new(&du, rows, wide);
        product(&mut dx, hidden, Destination::Accumulate, T::ONE, du, weights.inward);
        dx
    });
    (dx, HalfRows { du, inner, inward_bias, norm, gates })
}

/// Gradients of a half's weights from the rows of all blocks, each with its x.
pub(crate) fn half_gradients<T: Real>(blocks: &[(Vec<T>, HalfRows<T>)], hidden: usize) -> HalfGradients<T> {
    let of = |part: fn(&HalfRows<T>) -> &[T]| sum_of(blocks.iter().map(|(_, rows)| part(rows)));
    let inward_bias = of(|rows| &rows.inward_bias);
    let inner = blocks.first().map_or(0, |(x, rows)| rows.inner.len() / (x.len() / hidden));
    let inward: Vec<_> = blocks.iter().map(|(x, rows)| (&*rows.du, &**x)).collect();
    let outward: Vec<_> = blocks.iter().map(|(_, rows)| (&*rows.norm.dh, &*rows.inner)).collect();
    let (inward, outward) = rayon::join(
        || weight_gradient(&inward, inward_bias.len(), hidden),
        || weight_gradient(&outward, hidden, inner),
    );
    HalfGradients {
        inward,
        inward_bias,
        outward,
        outward_bias: of(|rows| &rows.norm.dbias),
        scale: of(|rows| &rows.norm.dscale),
        shift: of(|rows| &rows.norm.dshift),
    }
}

/// x·Wᵀ: (rows, in) → (rows, out).
fn linear<T: Real>(x: &[T], weight: &Packed<T>, inputs: usize, outputs: usize) -> Vec<T> {
    let rows = x.len() / inputs;
    let mut y = vec![T::ZERO; rows * outputs];
    product(&mut y, outputs, Destination::Overwrite, T::ONE, Matrix::new(x, rows, inputs), weight);
    y
}

/// Adds a bias to every row.
fn add_to_rows<T: Real>(matrix: &mut [T], bias: &[T]) {
    let _span = tracing::trace_span!("bias of QKV").entered();
    vectorised(
        #[inline(always)]
        move || {
            for row in matrix.chunks_exact_mut(bias.len()) {
                add_assign(row, bias);
            }
        },
    );
}

/// Rows of a weight's gradient that are a task.
const ROWS: usize = 96;

/// Σ dyᵀ·x over blocks of rows, in their order: the gradient of a weight (out, in).
pub(crate) fn weight_gradient<T: Real>(blocks: &[(&[T], &[T])], outputs: usize, inputs: usize) -> Vec<T> {
    let mut gradient = vec![T::ZERO; outputs * inputs];
    gradient.par_chunks_mut(ROWS * inputs).with_max_len(1).enumerate().for_each(|(chunk, gradient)| {
        let _span = tracing::trace_span!("products of weight gradients").entered();
        let height = gradient.len() / inputs;
        for (dy, x) in blocks {
            let rows = x.len() / inputs;
            let dy = Matrix::strided(&dy[chunk * ROWS..], rows, height, outputs).transposed();
            product(gradient, inputs, Destination::Accumulate, T::ONE, dy, Matrix::new(x, rows, inputs));
        }
    });
    gradient
}
