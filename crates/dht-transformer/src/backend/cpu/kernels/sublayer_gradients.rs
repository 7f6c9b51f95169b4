//! The gradients of a sublayer's weights, from the rows of all blocks.
//!
//! Both have a row for each column between the two products, (wide, hidden) and (inner, hidden): the right factor, x or the
//! gradient after W₂, is then the same for all of them and is packed once a block. A chunk is a head or some neurons; each
//! adds up the segments that ran it, in their order.

use rayon::prelude::*;

use super::product::{Destination, Matrix, Packed, product};
use super::real::Real;
use super::rows::{add_assign, sum_of};
use super::sublayer::{RowGradients, SegmentGradients};

/// The chunks whose gradients are computed separately: heads, or some neurons each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GradientChunks {
    /// Rows of W₁ of a chunk.
    pub(crate) inward: usize,
    /// Columns of W₂ of a chunk.
    pub(crate) outward: usize,
    /// Rows of W₁ of all chunks; the last one may be smaller.
    pub(crate) wide: usize,
    /// Columns of W₂ of all chunks.
    pub(crate) inner: usize,
}

/// Gradients of a sublayer's weights, zeros where nothing ran. Rows are in the order of the chunks.
pub(crate) struct SublayerGradients<T> {
    /// (wide, hidden)
    pub(crate) inward: Vec<T>,
    pub(crate) inward_bias: Vec<T>,
    /// (inner, hidden): transposed.
    pub(crate) outward: Vec<T>,
    pub(crate) outward_bias: Vec<T>,
    pub(crate) scale: Vec<T>,
    pub(crate) shift: Vec<T>,
}

/// The gradients from each block's x and row gradients.
pub(crate) fn sublayer_gradients<T: Real>(
    blocks: &[(Vec<T>, RowGradients<T>)],
    hidden: usize,
    chunks: GradientChunks,
) -> SublayerGradients<T> {
    let of = |part: fn(&RowGradients<T>) -> &[T]| {
        let _span = tracing::trace_span!("adding up gradients").entered();
        sum_of(blocks.iter().map(|(_, rows)| part(rows)))
    };
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
    SublayerGradients {
        inward,
        inward_bias,
        outward,
        outward_bias: of(|rows| &rows.norm.dbias),
        scale: of(|rows| &rows.norm.dscale),
        shift: of(|rows| &rows.norm.dshift),
    }
}

/// Σ leftᵀ·right over segments, (all, hidden), in chunks of `chunk` rows; each segment has columns of its own of `left`,
/// and its rows of the packed right factor.
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
