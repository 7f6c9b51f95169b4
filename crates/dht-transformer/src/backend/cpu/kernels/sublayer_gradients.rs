//! The gradients of a half's weights, from the rows of all blocks.
//!
//! Both come out a row for each number between the two products, (wide, hidden) and (inner, hidden): then the right
//! factor, x or the gradient behind W₂, is the same for all of them and is laid out once a block. A task is a head, or a
//! chunk of neurons, so that each adds up the segments that ran it, in their order.

use rayon::prelude::*;

use super::product::{Destination, Matrix, Packed, product};
use super::real::Real;
use super::rows::{add_assign, sum_of};
use super::sublayer::{HalfRows, SegmentRows};

/// The units that weights are cut into: heads, or chunks of neurons.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Units {
    /// Rows of W₁ of a unit.
    pub(crate) inward: usize,
    /// Columns of W₂ of a unit.
    pub(crate) outward: usize,
    /// Rows of W₁ of all units; the last unit may be smaller.
    pub(crate) wide: usize,
    /// Columns of W₂ of all units.
    pub(crate) inner: usize,
}

/// Gradients of a half's weights, zeros where nothing ran. Rows are in the order of the units.
pub(crate) struct HalfGradients<T> {
    /// (wide, hidden)
    pub(crate) inward: Vec<T>,
    pub(crate) inward_bias: Vec<T>,
    /// (inner, hidden): transposed.
    pub(crate) outward: Vec<T>,
    pub(crate) outward_bias: Vec<T>,
    pub(crate) scale: Vec<T>,
    pub(crate) shift: Vec<T>,
}

/// The gradients from each block's x and rows.
pub(crate) fn half_gradients<T: Real>(
    blocks: &[(Vec<T>, HalfRows<T>)],
    hidden: usize,
    units: Units,
) -> HalfGradients<T> {
    let of = |part: fn(&HalfRows<T>) -> &[T]| {
        let _span = tracing::trace_span!("adding up gradients").entered();
        sum_of(blocks.iter().map(|(_, rows)| part(rows)))
    };
    let lay_out = |rows: &[T]| {
        let _span = tracing::trace_span!("products of weight gradients").entered();
        Packed::new(Matrix::new(rows, rows.len() / hidden, hidden))
    };
    let laid_out: Vec<_> = blocks.par_iter().map(|(x, rows)| [lay_out(x), lay_out(&rows.norm.dh)]).collect();
    let segments = |side: usize| -> Vec<_> {
        let laid_out = laid_out.iter().map(move |sides: &[Packed<T>; 2]| &sides[side]);
        blocks
            .iter()
            .zip(laid_out)
            .flat_map(|((_, rows), right)| rows.segments.iter().map(move |s| (s, right)))
            .collect()
    };
    let (inward, outward) = rayon::join(
        || weight_gradient(&segments(0), |segment| &segment.du, units.inward, units.wide, hidden),
        || weight_gradient(&segments(1), |segment| &segment.inner, units.outward, units.inner, hidden),
    );
    let mut inward_bias = vec![T::ZERO; units.wide];
    for segment in blocks.iter().flat_map(|(_, rows)| &rows.segments) {
        for (bias, place) in inward_bias.chunks_mut(units.inward).zip(&*segment.places) {
            if let Some(place) = place {
                let end = segment.inward_bias.len().min((place + 1) * units.inward);
                add_assign(bias, &segment.inward_bias[place * units.inward..end]);
            }
        }
    }
    HalfGradients {
        inward,
        inward_bias,
        outward,
        outward_bias: of(|rows| &rows.norm.dbias),
        scale: of(|rows| &rows.norm.dscale),
        shift: of(|rows| &rows.norm.dshift),
    }
}

/// Σ leftᵀ·right over segments, (all, hidden), in units of `unit` rows; each segment has columns of its own of `left`,
/// and its rows of what is laid out.
fn weight_gradient<T: Real>(
    segments: &[(&SegmentRows<T>, &Packed<T>)],
    left: fn(&SegmentRows<T>) -> &[T],
    unit: usize,
    all: usize,
    hidden: usize,
) -> Vec<T> {
    let mut gradient = tracing::trace_span!("new memory").in_scope(|| vec![T::ZERO; all * hidden]);
    gradient.par_chunks_mut(unit * hidden).with_max_len(1).enumerate().for_each(|(number, gradient)| {
        let _span = tracing::trace_span!("products of weight gradients").entered();
        for (segment, right) in segments {
            let Some(place) = segment.places[number] else { continue };
            let (rows, left) = (segment.rows.len(), left(segment));
            let width = left.len() / rows;
            let columns = unit.min(width - place * unit);
            let left = Matrix::strided(&left[place * unit..], rows, columns, width).transposed();
            let right = right.part(std::slice::from_ref(&segment.rows), &[0], hidden);
            product(gradient, hidden, Destination::Accumulate, T::ONE, left, right);
        }
    });
    gradient
}
