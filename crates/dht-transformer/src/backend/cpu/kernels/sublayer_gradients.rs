//! Gradients of a sublayer's weights, from the rows of all blocks.
//!
//! Both gradients have a row for each column between the two products: (wide, hidden) and (inner, hidden). The right
//! factor, x or the gradient after W₂, is then the same for all these rows and is packed once for each block. A chunk
//! is a head or some neurons. The gradient of a chunk is a sum over the segments that ran the chunk, in order.

use std::ops::Range;

use rayon::prelude::*;

use super::product::{Destination, Matrix, Packed, product};
use super::projection::gather;
use super::real::Real;
use super::rows::{add_assign, sum_of};
use super::sublayer::{RowGradients, SegmentGradients};

/// Chunks whose gradients are computed separately: heads, or groups of neurons.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GradientChunks {
    /// Number of rows of W₁ in a chunk.
    pub(crate) inward: usize,
    /// Number of columns of W₂ in a chunk.
    pub(crate) outward: usize,
    /// Number of rows of W₁ in all chunks; the last chunk may be smaller.
    pub(crate) wide: usize,
    /// Number of columns of W₂ in all chunks.
    pub(crate) inner: usize,
}

/// Gradients of a sublayer's weights; zeros for parts that did not run. Rows are in the order of the chunks.
pub(crate) struct SublayerGradients<T> {
    /// Gradient of W₁, (wide, hidden); for projections, the gradients (outputs, inputs), concatenated.
    pub(crate) inward: Vec<T>,
    pub(crate) inward_bias: Vec<T>,
    /// Gradient of W₂, transposed: (inner, hidden).
    pub(crate) outward: Vec<T>,
    pub(crate) outward_bias: Vec<T>,
    pub(crate) scale: Vec<T>,
    pub(crate) shift: Vec<T>,
}

/// Computes the weight gradients from each block's x and row gradients.
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

/// Computes the weight gradients if all samples ran the same sublayer, whose W₁ consists of projections. The arguments
/// have, for each projection, the columns of x that it reads and the columns that it writes.
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

/// Adds the gradients of the parameters after the second product.
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

/// Number of columns of the left factor that are multiplied at once.
const COLUMNS: usize = 96;

/// Computes Σ leftᵀ·right, (columns, width), over terms. A term has a left factor with rows of `wide` values, of which
/// `columns` are used, the number of its rows, and a right factor.
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

/// Computes Σ leftᵀ·right over segments, (all, hidden), in chunks of `chunk` rows. Each segment has its own columns of
/// `left` and its own rows of the packed right factor.
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
