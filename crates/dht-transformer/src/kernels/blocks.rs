//! The two halves of an encoder block, each forward with what its backward needs.
//!
//! ```text
//! attention half:     y = LayerNorm(x + dropout(attention(x·Wᵀ + b)·Wₒᵀ + bₒ))
//! feed-forward half:  y = LayerNorm(x + dropout(f(x·W₁ᵀ + b₁)·W₂ᵀ + b₂))
//! ```
//!
//! Weights are (out, in) matrices, as Hugging Face stores them.

use super::activation::{Activation, bias_activation, bias_activation_backward};
use super::attention::{HeadShape, ProbabilityDropout, attention, attention_backward};
use super::dropout::Dropout;
use super::norm::{Norm, RowKeys, residual_norm, residual_norm_backward};
use super::product::{Destination, Matrix, Threads, product};
use super::real::Real;
use super::rows::{column_sums, fill_rows};
use crate::Spans;

/// Weights of an attention half for the kept heads: `qkv` is (3·inner, hidden), `output` (hidden, inner).
#[derive(Clone, Copy)]
pub(crate) struct AttentionWeights<'a, T> {
    pub(crate) qkv: &'a [T],
    pub(crate) qkv_bias: &'a [T],
    pub(crate) output: &'a [T],
    pub(crate) output_bias: &'a [T],
    pub(crate) norm: Norm<'a, T>,
}

/// The masks of an attention half.
#[derive(Clone, Copy)]
pub(crate) struct AttentionDropout<'a> {
    pub(crate) probabilities: Option<ProbabilityDropout<'a>>,
    pub(crate) output: Option<(Dropout, RowKeys<'a>)>,
}

/// What the forward of an attention half leaves for its backward.
pub(crate) struct AttentionSaved<T> {
    qkv: Vec<T>,
    context: Vec<T>,
    z: Vec<T>,
}

/// Gradients of an attention half, for the kept heads.
pub(crate) struct AttentionGradients<T> {
    pub(crate) dx: Option<Vec<T>>,
    pub(crate) weights: Option<AttentionWeightGradients<T>>,
}

pub(crate) struct AttentionWeightGradients<T> {
    pub(crate) qkv: Vec<T>,
    pub(crate) qkv_bias: Vec<T>,
    pub(crate) output: Vec<T>,
    pub(crate) output_bias: Vec<T>,
    pub(crate) scale: Vec<T>,
    pub(crate) shift: Vec<T>,
}

/// x·Wᵀ (+ b) for packed rows: (rows, in) × (out, in)ᵀ → (rows, out).
pub(crate) fn linear<T: Real>(x: &[T], weight: &[T], bias: Option<&[T]>, inputs: usize, outputs: usize) -> Vec<T> {
    linear_strided(x, Matrix::new(weight, outputs, inputs), bias, inputs, outputs)
}

fn linear_strided<T: Real>(
    x: &[T],
    weight: Matrix<'_, T>,
    bias: Option<&[T]>,
    inputs: usize,
    outputs: usize,
) -> Vec<T> {
    let rows = x.len() / inputs;
    let mut y = vec![T::ZERO; rows * outputs];
    let destination = match bias {
        Some(bias) => {
            fill_rows(&mut y, bias);
            Destination::Accumulate
        }
        None => Destination::Overwrite,
    };
    let x = Matrix::new(x, rows, inputs);
    product(&mut y, outputs, destination, T::ONE, x, weight.transposed(), Threads::All);
    y
}

/// dyᵀ·x: the gradient of a weight (out, in).
pub(crate) fn weight_gradient<T: Real>(dy: &[T], x: &[T], outputs: usize, inputs: usize) -> Vec<T> {
    let rows = x.len() / inputs;
    let mut gradient = vec![T::ZERO; outputs * inputs];
    let dy = Matrix::new(dy, rows, outputs).transposed();
    let x = Matrix::new(x, rows, inputs);
    product(&mut gradient, inputs, Destination::Overwrite, T::ONE, dy, x, Threads::All);
    gradient
}

/// dx ← dx + dy·W.
pub(crate) fn add_input_gradient<T: Real>(
    dx: &mut [T],
    dy: &[T],
    weight: Matrix<'_, T>,
    inputs: usize,
    outputs: usize,
) {
    let dy = Matrix::new(dy, dx.len() / inputs, outputs);
    product(dx, inputs, Destination::Accumulate, T::ONE, dy, weight, Threads::All);
}

/// The attention half. `x` is (tokens, hidden). `keep` says whether a backward will follow.
pub(crate) fn attention_half<T: Real>(
    x: &[T],
    spans: &Spans,
    shape: HeadShape,
    weights: AttentionWeights<'_, T>,
    dropout: AttentionDropout<'_>,
    keep: bool,
) -> (Vec<T>, Option<AttentionSaved<T>>) {
    let (hidden, inner) = (weights.output_bias.len(), shape.inner());
    let qkv = linear(x, weights.qkv, Some(weights.qkv_bias), hidden, 3 * inner);
    let context = attention(&qkv, spans, shape, dropout.probabilities);
    let mut z = linear(&context, weights.output, None, inner, hidden);
    let y = residual_norm(&mut z, weights.output_bias, Some(x), weights.norm, dropout.output);
    (y, keep.then_some(AttentionSaved { qkv, context, z }))
}

/// Backward of [`attention_half`]. Weight products run only where `weights_needed`, and what lies below only where one
/// of the two is asked for.
#[expect(clippy::too_many_arguments, reason = "the forward's arguments, what it saved, and what is asked for")]
pub(crate) fn attention_half_backward<T: Real>(
    x: &[T],
    dy: &[T],
    saved: AttentionSaved<T>,
    spans: &Spans,
    shape: HeadShape,
    weights: AttentionWeights<'_, T>,
    dropout: AttentionDropout<'_>,
    (weights_needed, input_needed): (bool, bool),
) -> AttentionGradients<T> {
    let (hidden, inner) = (weights.output_bias.len(), shape.inner());
    let AttentionSaved { qkv, context, z } = saved;
    let norm = residual_norm_backward(&z, dy, weights.norm, dropout.output);
    drop(z);
    let output = weights_needed.then(|| weight_gradient(&norm.dh, &context, hidden, inner));
    let mut dcontext = context; // its numbers are not needed any more
    let dh = Matrix::new(&norm.dh, spans.tokens(), hidden);
    let output_weight = Matrix::new(weights.output, hidden, inner);
    product(&mut dcontext, inner, Destination::Overwrite, T::ONE, dh, output_weight, Threads::All);
    let dqkv = attention_backward(&qkv, &dcontext, spans, shape, dropout.probabilities);
    let dx = input_needed.then(|| {
        let mut dx = norm.dz;
        add_input_gradient(&mut dx, &dqkv, Matrix::new(weights.qkv, 3 * inner, hidden), hidden, 3 * inner);
        dx
    });
    let weights = output.map(|output| AttentionWeightGradients {
        qkv: weight_gradient(&dqkv, x, 3 * inner, hidden),
        qkv_bias: column_sums(&dqkv, 3 * inner),
        output,
        output_bias: norm.dbias,
        scale: norm.dscale,
        shift: norm.dshift,
    });
    AttentionGradients { dx, weights }
}

/// Weights of a feed-forward half whose first `width` neurons run: `up` is (neurons, hidden), `down` (hidden, neurons).
#[derive(Clone, Copy)]
pub(crate) struct FeedForwardWeights<'a, T> {
    pub(crate) up: &'a [T],
    pub(crate) up_bias: &'a [T],
    pub(crate) down: &'a [T],
    pub(crate) down_bias: &'a [T],
    pub(crate) norm: Norm<'a, T>,
    pub(crate) activation: Activation,
    /// Neurons that run; `up_bias` has all of them.
    pub(crate) width: usize,
}

impl<'a, T: Real> FeedForwardWeights<'a, T> {
    fn up_matrix(&self) -> Matrix<'a, T> {
        Matrix::new(self.up, self.width, self.down_bias.len())
    }

    fn down_matrix(&self) -> Matrix<'a, T> {
        Matrix::strided(self.down, self.down_bias.len(), self.width, self.up_bias.len())
    }
}

/// What the forward of a feed-forward half leaves for its backward.
pub(crate) struct FeedForwardSaved<T> {
    u: Vec<T>,
    z: Vec<T>,
}

/// Gradients of a feed-forward half; `up`, `up_bias` and `down` cover the neurons that ran.
pub(crate) struct FeedForwardGradients<T> {
    pub(crate) dx: Option<Vec<T>>,
    pub(crate) weights: Option<FeedForwardWeightGradients<T>>,
}

pub(crate) struct FeedForwardWeightGradients<T> {
    pub(crate) up: Vec<T>,
    pub(crate) up_bias: Vec<T>,
    pub(crate) down: Vec<T>,
    pub(crate) down_bias: Vec<T>,
    pub(crate) scale: Vec<T>,
    pub(crate) shift: Vec<T>,
}

/// The feed-forward half. `x` is (tokens, hidden).
pub(crate) fn feed_forward_half<T: Real>(
    x: &[T],
    weights: FeedForwardWeights<'_, T>,
    dropout: Option<(Dropout, RowKeys<'_>)>,
    keep: bool,
) -> (Vec<T>, Option<FeedForwardSaved<T>>) {
    let (hidden, width) = (weights.down_bias.len(), weights.width);
    let u = linear_strided(x, weights.up_matrix(), None, hidden, width);
    let a = bias_activation(&u, &weights.up_bias[..width], weights.activation);
    let saved_u = keep.then_some(u);
    let mut z = linear_strided(&a, weights.down_matrix(), None, width, hidden);
    let y = residual_norm(&mut z, weights.down_bias, Some(x), weights.norm, dropout);
    (y, saved_u.map(|u| FeedForwardSaved { u, z }))
}

/// Backward of [`feed_forward_half`].
pub(crate) fn feed_forward_half_backward<T: Real>(
    x: &[T],
    dy: &[T],
    saved: FeedForwardSaved<T>,
    weights: FeedForwardWeights<'_, T>,
    dropout: Option<(Dropout, RowKeys<'_>)>,
    (weights_needed, input_needed): (bool, bool),
) -> FeedForwardGradients<T> {
    let (hidden, width) = (weights.down_bias.len(), weights.width);
    let rows = x.len() / hidden;
    let FeedForwardSaved { mut u, z } = saved;
    let norm = residual_norm_backward(&z, dy, weights.norm, dropout);
    drop(z);
    let mut da = vec![T::ZERO; rows * width];
    let dh = Matrix::new(&norm.dh, rows, hidden);
    product(&mut da, width, Destination::Overwrite, T::ONE, dh, weights.down_matrix(), Threads::All);
    let up_bias = bias_activation_backward(&mut u, &weights.up_bias[..width], &mut da, weights.activation);
    let (a, du) = (u, da);
    let dx = input_needed.then(|| {
        let mut dx = norm.dz;
        add_input_gradient(&mut dx, &du, weights.up_matrix(), hidden, width);
        dx
    });
    let weights = weights_needed.then(|| FeedForwardWeightGradients {
        down: weight_gradient(&norm.dh, &a, hidden, width),
        down_bias: norm.dbias,
        up: weight_gradient(&du, x, width, hidden),
        up_bias,
        scale: norm.dscale,
        shift: norm.dshift,
    });
    FeedForwardGradients { dx, weights }
}
