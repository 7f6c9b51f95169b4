//! Gradients of a sublayer's weights W₁ and W₂, computed from the row gradients of all blocks.
//!
//! Each gradient is a matrix product: (wide, hidden) for W₁, and (inner, hidden) for the transpose of W₂. The right
//! factor is the input x or the gradient of W₂'s output, and is packed once for each block. The rows of a gradient are
//! computed in chunks: a chunk is an attention head or some neurons. The gradient of a chunk is a sum over the segments
//! (groups of samples) that ran it, in a fixed order.

use std::ops::Range;

use rayon::prelude::*;

use super::product::{Destination, Matrix, Packed, product};
use super::projection::gather;
use super::real::Real;
use super::rows::{add_assign, sum_of};
use super::sublayer::{RowGradients, SegmentGradients};

/// Sizes of the chunks in which weight gradients are computed. A chunk is an attention head or a group of neurons.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GradientChunks {
    /// Number of rows of the first weight W₁ that belong to one chunk.
    pub(crate) inward: usize,
    /// Number of columns of the second weight W₂ that belong to one chunk.
    pub(crate) outward: usize,
    /// Number of rows of the whole first weight W₁. Its last chunk may be smaller than the others.
    pub(crate) wide: usize,
    /// Number of columns of the whole second weight W₂.
    pub(crate) inner: usize,
}

/// Gradients of a sublayer's parameters. They are zeros for heads and neurons that did not run.
pub(crate) struct SublayerGradients<T> {
    /// Gradient of the first weight W₁, (wide, hidden). If single dimensions were pruned from attention, it consists of
    /// the gradients of Q, K and V, each (outputs, inputs), one after the other.
    pub(crate) inward: Vec<T>,
    pub(crate) inward_bias: Vec<T>,
    /// Transposed gradient of the second weight W₂, (inner, hidden).
    pub(crate) outward: Vec<T>,
    pub(crate) outward_bias: Vec<T>,
    pub(crate) scale: Vec<T>,
    pub(crate) shift: Vec<T>,
}

/// Computes the gradients of a sublayer's parameters. Each block has the sublayer's input x and the gradients of its
/// rows.
pub(crate) fn sublayer_gradients<T: Real>(
    blocks: &[(Vec<T>, RowGradients<T>)],
    hidden: usize,
    chunks: GradientChunks,
) -> SublayerGradients<T> {
    let pack = |rows: &[T]| {
        let _span = tracing::trace_span!("products of weight gradients").entered();
        Packed::new(Matrix::new(rows, rows.len() / hidden, hidden))
    };
    let packed: Vec<_> = blocks.par_iter().map(|(x, rows)| [pack(x), pack(&rows.norm.dh)]).collect();
    let segments = |side: usize| -> Vec<_> {
        let packed = packed.iter().map(move |sides: &[Packed<T>; 2]| &sides[side]);
        blocks.iter().zip(packed).flat_map(|((_, rows), right)| rows.segments.iter().map(move |s| (s, right))).collect()
    };
    let (inward, outward) = rayon::join(
        || weight_gradient(&segments(0), |segment| &segment.du, chunks.inward, chunks.wide, hidden),
        || weight_gradient(&segments(1), |segment| &segment.inner, chunks.outward, chunks.inner, hidden),
    );
    let mut inward_bias = vec![T::ZERO; chunks.wide];
    for segment in blocks.iter().flat_map(|(_, rows)| &rows.segments) {
        for (bias, position) in inward_bias.chunks_mut(chunks.inward).zip(&*segment.positions) {
            if let Some(position) = position {
                let end = segment.inward_bias.len().min((position + 1) * chunks.inward);
                add_assign(bias, &segment.inward_bias[position * chunks.inward..end]);
            }
        }
    }
    with_norm(blocks, [inward, inward_bias, outward])
}

/// Computes the gradients of an attention sublayer's parameters if Q, K and V have separate weights, because single
/// dimensions were pruned. All samples must have run the whole sublayer. Each item of `projections` has the columns of
/// the input that a projection reads, and the columns of the result that it writes.
pub(crate) fn projection_gradients<T: Real>(
    blocks: &[(Vec<T>, RowGradients<T>)],
    hidden: usize,
    projections: &[(Option<&[u32]>, Range<usize>)],
    inner: usize,
) -> SublayerGradients<T> {
    let wide = projections.iter().map(|(_, outputs)| outputs.end).max().unwrap_or(0);
    let segments: Vec<_> =
        blocks.iter().flat_map(|(x, rows)| rows.segments.iter().map(move |s| (x, rows, s))).collect();
    let inward = projections.iter().map(|(inputs, outputs)| {
        let columns = inputs.map_or(hidden, <[u32]>::len);
        let terms = segments.par_iter().map(|(x, _, segment)| {
            let _span = tracing::trace_span!("products of weight gradients").entered();
            let (rows, x) = (segment.rows.len(), &x[segment.rows.start * hidden..segment.rows.end * hidden]);
            let mut gathered = Vec::new();
            let x = inputs.map_or(x, |inputs| {
                gather(x, hidden, inputs, &mut gathered);
                &gathered
            });
            (&segment.du[..], rows, Packed::new(Matrix::new(x, rows, columns)))
        });
        product_of_columns(&terms.collect::<Vec<_>>(), outputs.clone(), wide, columns)
    });
    let inward = inward.collect::<Vec<_>>().concat();
    let terms = segments.par_iter().map(|(_, rows, segment)| {
        let _span = tracing::trace_span!("products of weight gradients").entered();
        let dh = &rows.norm.dh[segment.rows.start * hidden..segment.rows.end * hidden];
        (&segment.inner[..], segment.rows.len(), Packed::new(Matrix::new(dh, segment.rows.len(), hidden)))
    });
    let outward = product_of_columns(&terms.collect::<Vec<_>>(), 0..inner, inner, hidden);
    let inward_bias = sum_of(segments.iter().map(|(_, _, segment)| &segment.inward_bias[..]));
    with_norm(blocks, [inward, inward_bias, outward])
}

/// Adds the gradients of the second bias and of the layer norm's scale and shift to the gradients of the weights.
fn with_norm<T: Real>(
    blocks: &[(Vec<T>, RowGradients<T>)],
    [inward, inward_bias, outward]: [Vec<T>; 3],
) -> SublayerGradients<T> {
    let of = |part: fn(&RowGradients<T>) -> &[T]| {
        let _span = tracing::trace_span!("adding up gradients").entered();
        sum_of(blocks.iter().map(|(_, rows)| part(rows)))
    };
    SublayerGradients {
        inward,
        inward_bias,
        outward,
        outward_bias: of(|rows| &rows.norm.dbias),
        scale: of(|rows| &rows.norm.dscale),
        shift: of(|rows| &rows.norm.dshift),
    }
}

/// Number of columns of the left factor that one thread multiplies at a time.
const COLUMNS: usize = 96;

/// Computes the sum of leftᵀ·right over all `terms`, (columns, width). A term has a left factor with rows of `wide`
/// values, the number of these rows, and a packed right factor. Only the range `columns` of each left factor is used.
fn product_of_columns<T: Real>(
    terms: &[(&[T], usize, Packed<T>)],
    columns: Range<usize>,
    wide: usize,
    width: usize,
) -> Vec<T> {
    let mut gradient = tracing::trace_span!("allocation").in_scope(|| vec![T::ZERO; columns.len() * width]);
    gradient.par_chunks_mut((COLUMNS * width).max(1)).with_max_len(1).enumerate().for_each(|(chunk, gradient)| {
        let _span = tracing::trace_span!("products of weight gradients").entered();
        let first = columns.start + chunk * COLUMNS;
        for (left, rows, right) in terms {
            let left = Matrix::strided(&left[first..], *rows, gradient.len() / width, wide).transposed();
            product(gradient, width, Destination::Accumulate, T::ONE, left, right);
        }
    });
    gradient
}

/// Computes the gradient of one weight, the sum of leftᵀ·right over all segments, (all, hidden), in chunks of `chunk`
/// rows. In each segment, the left factor has the columns of the heads or neurons that ran, and the right factor has
/// the segment's rows.
fn weight_gradient<T: Real>(
    segments: &[(&SegmentGradients<T>, &Packed<T>)],
    left: fn(&SegmentGradients<T>) -> &[T],
    chunk: usize,
    all: usize,
    hidden: usize,
) -> Vec<T> {
    let mut gradient = tracing::trace_span!("allocation").in_scope(|| vec![T::ZERO; all * hidden]);
    gradient.par_chunks_mut(chunk * hidden).with_max_len(1).enumerate().for_each(|(number, gradient)| {
        let _span = tracing::trace_span!("products of weight gradients").entered();
        for (segment, right) in segments {
            let Some(position) = segment.positions[number] else { continue };
            let (rows, left) = (segment.rows.len(), left(segment));
            let width = left.len() / rows;
            let columns = chunk.min(width - position * chunk);
            let left = Matrix::strided(&left[position * chunk..], rows, columns, width).transposed();
            let right = right.part(std::slice::from_ref(&segment.rows), &[0], hidden);
            product(gradient, hidden, Destination::Accumulate, T::ONE, left, right);
        }
    });
    gradient
}
