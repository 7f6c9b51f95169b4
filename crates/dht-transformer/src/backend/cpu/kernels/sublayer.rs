//! Forward and backward pass of an encoder's sublayer (attention or feed-forward) for consecutive samples.
//!
//! ```text
//! y = LayerNorm(x + dropout(f(x·W₁ᵀ + b₁)·W₂ᵀ + b₂))
//! ```
//!
//! The inner function f is attention in the first sublayer of a layer, and an activation in the second. Samples may run
//! different heads or neurons; neighbouring samples that run the same heads or neurons form a segment. Weights are
//! packed for products: transposed for the forward pass, and untransposed for the backward pass. A backward pass
//! returns the gradients of rows. From the row gradients, [`sublayer_gradients`](super::sublayer_gradients) computes
//! the gradients of the weights, which are sums over the rows of all samples.

use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;

use super::activation::{bias_activation, bias_activation_backward};
use super::attention::{DistanceBias, HeadShape, ProbabilityDropout, attention, attention_backward, gate_gradients};
use super::dropout::Dropout;
use super::norm::{Norm, ResidualNormGradients, RowKeys, residual_norm, residual_norm_backward};
use super::product::{Destination, Matrix, PackedSlice, product};
use super::projection::Projection;
use super::real::Real;
use super::rows::{CHUNK_ROWS, add_assign, column_sums, sum_of, vectorised};
use crate::config::Activation;
use crate::tensors::Spans;

/// Last step of a sublayer, which all segments of a block share: the bias b₂ (hidden) of the second matrix product,
/// dropout and layer norm.
#[derive(Clone, Copy)]
pub(crate) struct OutputNorm<'a, T> {
    pub(crate) outward_bias: &'a [T],
    pub(crate) norm: Norm<'a, T>,
    pub(crate) dropout: Option<(Dropout, RowKeys<'a>)>,
}

/// Neighbouring samples of a block that run the same heads or neurons of a sublayer, with the packed weights for them.
pub(crate) struct Segment<'a, T> {
    /// Range of rows within the block that belong to the segment's samples.
    pub(crate) rows: Range<usize>,
    /// Rows of the first weight W₁ that the segment uses, packed for one direction. Attention may have three
    /// projections (Q, K and V); otherwise there is one.
    pub(crate) inward: Vec<Projection<'a, T>>,
    /// Values of the first bias b₁ that the segment uses, shape (wide).
    pub(crate) inward_bias: &'a [T],
    /// Columns of the second weight W₂ that the segment uses, packed for one direction.
    pub(crate) outward: PackedSlice<'a, T>,
    pub(crate) function: InnerFunction<'a, T>,
    /// Entry for each head (or chunk of neurons) of the whole layer: its index among those that run, or `None` if it
    /// does not run.
    pub(crate) positions: Arc<[Option<usize>]>,
}

/// Function between the two matrix products of a sublayer, (tokens, wide) → (tokens, inner).
pub(crate) enum InnerFunction<'a, T> {
    /// Attention within each sample of the segment.
    Attention { spans: Spans, shape: HeadShape<T>, dropout: Option<ProbabilityDropout<'a>> },
    /// Activation, applied element by element, so that wide = inner.
    Activation(Activation),
}

impl<T: Real> Segment<'_, T> {
    fn wide(&self) -> usize {
        self.inward_bias.len()
    }

    fn inner(&self) -> usize {
        match &self.function {
            InnerFunction::Attention { shape, .. } => shape.inner,
            InnerFunction::Activation(_) => self.wide(),
        }
    }

    /// Index range of the segment's values in a block whose rows have `width` values.
    fn range(&self, width: usize) -> Range<usize> {
        self.rows.start * width..self.rows.end * width
    }

    fn product_spans(&self) -> [tracing::Span; 2] {
        match self.function {
            InnerFunction::Attention { .. } => {
                [tracing::trace_span!("product, QKV"), tracing::trace_span!("product, attention output")]
            }
            InnerFunction::Activation(_) => {
                [tracing::trace_span!("product, feed-forward up"), tracing::trace_span!("product, feed-forward down")]
            }
        }
    }
}

/// Values that the forward pass of a sublayer saves for its backward pass.
pub(crate) struct SavedActivations<T> {
    segments: Vec<SavedSegment<T>>,
    z: Vec<T>,
}

struct SavedSegment<T> {
    /// Result of the first matrix product: Q, K and V of attention, or the input of the activation without its bias.
    u: Vec<T>,
    /// Output of attention. It is empty in a feed-forward sublayer, where the backward pass computes the activation
    /// again.
    context: Vec<T>,
}

/// Gradients of a block's rows at several points within a sublayer. The gradients of the sublayer's weights are
/// computed from them.
pub(crate) struct RowGradients<T> {
    pub(crate) segments: Vec<SegmentGradients<T>>,
    pub(crate) norm: ResidualNormGradients<T>,
}

pub(crate) struct SegmentGradients<T> {
    pub(crate) rows: Range<usize>,
    pub(crate) positions: Arc<[Option<usize>]>,
    pub(crate) du: Vec<T>,
    pub(crate) inner: Vec<T>,
    pub(crate) inward_bias: Vec<T>,
    /// Gradients of the relative-position biases; `None` if the model has none.
    pub(crate) bias: Option<DistanceBias<T>>,
    /// Gradients of gates on attention heads, shape (samples, heads). Empty unless they are requested.
    gates: Vec<T>,
}

impl<T> RowGradients<T> {
    /// Numbers of the attention heads that ran, and the gradients of their gates, for each sample in order. The
    /// iterator is empty unless these gradients were requested.
    pub(crate) fn gate_gradients(&self) -> impl Iterator<Item = (Vec<usize>, &[T])> {
        self.segments.iter().flat_map(|segment| {
            let positions = segment.positions.iter().enumerate();
            let ran: Vec<usize> = positions.filter_map(|(head, position)| position.map(|_| head)).collect();
            segment.gates.chunks_exact(ran.len()).map(move |gate_gradients| (ran.clone(), gate_gradients))
        })
    }
}

/// Optional results of a sublayer's backward pass, in addition to the row gradients.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RequestedGradients {
    pub(crate) input: bool,
    pub(crate) gates: bool,
}

/// Buffers that consecutive forward passes reuse. New memory would have to be filled with zeros first.
#[derive(Debug)]
pub(crate) struct Scratch<T> {
    u: Vec<T>,
    inner_rows: Vec<T>,
    z: Vec<T>,
    pub(crate) results: Vec<Vec<T>>,
}

impl<T> Default for Scratch<T> {
    fn default() -> Self {
        Self { u: Vec::new(), inner_rows: Vec::new(), z: Vec::new(), results: Vec::new() }
    }
}

/// Runs a sublayer on one block of rows. `x` is (tokens, hidden), and the weights must be packed for the forward pass.
/// If `keep` is `true`, also returns the activations that the backward pass needs.
///
/// The block is processed in chunks of `chunk_rows` rows, so that other threads can help with it. The result does not
/// depend on `chunk_rows`, bit for bit.
pub(crate) fn sublayer<T: Real>(
    x: &[T],
    segments: &[Segment<'_, T>],
    output_norm: OutputNorm<'_, T>,
    (keep, chunk_rows): (bool, usize),
    scratch: &mut Scratch<T>,
) -> (Vec<T>, Option<SavedActivations<T>>) {
    let hidden = output_norm.outward_bias.len();
    let chunk_rows = chunk_rows.min(x.len() / hidden).max(1);
    let mut saved = Vec::with_capacity(segments.len());
    grow(&mut scratch.z, x.len());
    for segment in segments {
        let (wide, inner) = (segment.wide(), segment.inner());
        let x = &x[segment.range(hidden)];
        let mut u = std::mem::take(&mut scratch.u);
        grow(&mut u, segment.rows.len() * wide);
        let attends = matches!(segment.function, InnerFunction::Attention { .. });
        u.par_chunks_mut(chunk_rows * wide).zip(x.par_chunks(chunk_rows * hidden)).for_each(|(u, x)| {
            segment.product_spans()[0].in_scope(|| {
                segment.inward.iter().for_each(|part| part.forward(x, hidden, u, wide));
            });
            if attends {
                add_to_rows(u, segment.inward_bias);
            }
        });
        let mut inner_rows = match (attends, keep) {
            (true, _) => std::mem::take(&mut scratch.inner_rows),
            (false, true) => tracing::trace_span!("allocation").in_scope(|| u.clone()),
            // Without a backward pass the input of the activation is not needed again.
            (false, false) => std::mem::take(&mut u),
        };
        grow(&mut inner_rows, segment.rows.len() * inner);
        let z = scratch.z[segment.range(hidden)].par_chunks_mut(chunk_rows * hidden);
        inner_rows.par_chunks_mut(chunk_rows * inner).zip(z).enumerate().for_each(|(number, (inner_rows, z))| {
            let rows = z.len() / hidden;
            match &segment.function {
                InnerFunction::Attention { spans, shape, dropout } => {
                    attention(&u, spans, shape, *dropout, number * chunk_rows..number * chunk_rows + rows, inner_rows);
                }
                InnerFunction::Activation(activation) => bias_activation(inner_rows, segment.inward_bias, *activation),
            }
            segment.product_spans()[1].in_scope(|| {
                let inner_rows = Matrix::new(inner_rows, rows, inner);
                product(z, hidden, Destination::Overwrite, T::ONE, inner_rows, segment.outward);
            });
        });
        match (keep, attends) {
            (true, _) => saved.push(SavedSegment { u, context: if attends { inner_rows } else { Vec::new() } }),
            (false, true) => (scratch.u, scratch.inner_rows) = (u, inner_rows),
            (false, false) => scratch.u = inner_rows,
        }
    }
    let mut y = scratch.results.pop().unwrap_or_default();
    grow(&mut y, x.len());
    let rows = y.par_chunks_mut(chunk_rows * hidden).zip(scratch.z.par_chunks_mut(chunk_rows * hidden));
    rows.zip(x.par_chunks(chunk_rows * hidden)).enumerate().for_each(|(number, ((y, z), x))| {
        let rows = number * chunk_rows..number * chunk_rows + z.len() / hidden;
        let dropout = output_norm.dropout.map(|(dropout, keys)| (dropout, keys.rows(rows)));
        residual_norm(z, output_norm.outward_bias, Some(x), output_norm.norm, dropout, y);
    });
    let saved = keep.then(|| SavedActivations { segments: saved, z: std::mem::take(&mut scratch.z) });
    (y, saved)
}

/// Runs the backward pass of [`sublayer`] on one block of rows. The weights must be packed for the backward pass.
/// Returns the gradient of the input x if it is requested, and the row gradients from which the gradients of the
/// weights are computed.
pub(crate) fn sublayer_backward<T: Real>(
    dy: &[T],
    saved: SavedActivations<T>,
    segments: &[Segment<'_, T>],
    output_norm: OutputNorm<'_, T>,
    requested: RequestedGradients,
) -> (Option<Vec<T>>, RowGradients<T>) {
    let hidden = output_norm.outward_bias.len();
    let mut norm = residual_norm_backward(&saved.z, dy, output_norm.norm, output_norm.dropout);
    drop(saved.z);
    let mut dx = std::mem::take(&mut norm.dz);
    let work = segments.iter().zip(saved.segments);
    let segments = work.map(|(segment, SavedSegment { mut u, context })| {
        let (wide, inner, rows) = (segment.wide(), segment.inner(), segment.rows.len());
        let mut d_inner_rows = Vec::new();
        grow(&mut d_inner_rows, rows * inner);
        let dh = norm.dh[segment.range(hidden)].par_chunks(CHUNK_ROWS * hidden);
        d_inner_rows.par_chunks_mut(CHUNK_ROWS * inner).zip(dh).for_each(|(d_inner_rows, dh)| {
            let _span = tracing::trace_span!("products of row gradients").entered();
            let dh = Matrix::new(dh, dh.len() / hidden, hidden);
            product(d_inner_rows, inner, Destination::Overwrite, T::ONE, dh, segment.outward);
        });
        let (mut gates, mut bias) = (Vec::new(), None);
        let (inner, du, inward_bias) = match &segment.function {
            InnerFunction::Attention { spans, shape, dropout } => {
                if requested.gates {
                    gates = gate_gradients(&context, &d_inner_rows, spans, shape);
                }
                let du;
                (du, bias) = attention_backward(&u, &d_inner_rows, spans, shape, *dropout);
                let inward_bias = tracing::trace_span!("bias of QKV").in_scope(|| column_sums(&du, wide));
                (context, du, inward_bias)
            }
            InnerFunction::Activation(activation) => {
                let chunks = u.par_chunks_mut(CHUNK_ROWS * wide).zip(d_inner_rows.par_chunks_mut(CHUNK_ROWS * wide));
                let biases: Vec<_> =
                    chunks.map(|(u, da)| bias_activation_backward(u, segment.inward_bias, da, *activation)).collect();
                let bias = sum_of(biases.iter().map(Vec::as_slice));
                (u, d_inner_rows, bias)
            }
        };
        if requested.input {
            let dx = dx[segment.range(hidden)].par_chunks_mut(CHUNK_ROWS * hidden);
            dx.zip(du.par_chunks(CHUNK_ROWS * wide)).for_each(|(dx, du)| {
                let _span = tracing::trace_span!("products of row gradients").entered();
                segment.inward.iter().for_each(|part| part.backward(du, wide, dx, hidden));
            });
        }
        SegmentGradients {
            rows: segment.rows.clone(),
            positions: segment.positions.clone(),
            du,
            inner,
            inward_bias,
            bias,
            gates,
        }
    });
    let segments = segments.collect();
    (requested.input.then_some(dx), RowGradients { segments, norm })
}

/// Resizes a buffer. Its old values may remain, because the caller overwrites all of them.
fn grow<T: Real>(memory: &mut Vec<T>, length: usize) {
    let _span = tracing::trace_span!("allocation").entered();
    memory.resize(length, T::ZERO);
}

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
