//! Half of an encoder layer for some consecutive samples, forward with what its backward needs.
//!
//! ```text
//! y = LayerNorm(x + dropout(between(x·W₁ᵀ + b₁)·W₂ᵀ + b₂))
//! ```
//!
//! What lies between is attention in the first half of a layer and a non-linearity in the second. Not all samples need
//! run the same heads or neurons: neighbours that do make a segment. Weights come laid out for products, transposed for
//! the forward and as they are for the backward. A backward gives the gradients of rows; those of the weights are sums
//! over the rows of all samples and follow from them ([`half_gradients`](super::half_gradients)).

use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;

use super::activation::{bias_activation, bias_activation_backward};
use super::attention::{HeadShape, ProbabilityDropout, attention, attention_backward, gate_slopes};
use super::dropout::Dropout;
use super::norm::{Norm, ResidualNormGradients, RowKeys, residual_norm, residual_norm_backward};
use super::product::{Destination, Matrix, Part, product};
use super::real::Real;
use super::rows::{TASK_ROWS, add_assign, column_sums, sum_of, vectorised};
use crate::config::Activation;
use crate::tensors::Spans;

/// What all segments share: b₂ (hidden) and the norm.
#[derive(Clone, Copy)]
pub(crate) struct End<'a, T> {
    pub(crate) outward_bias: &'a [T],
    pub(crate) norm: Norm<'a, T>,
    pub(crate) dropout: Option<(Dropout, RowKeys<'a>)>,
}

/// Neighbouring samples of a block that run the same heads or neurons.
pub(crate) struct Segment<'a, T> {
    /// Their rows in the block.
    pub(crate) rows: Range<usize>,
    /// The part of W₁ that they run, for a direction.
    pub(crate) inward: Part<'a, T>,
    /// Of b₁, (wide).
    pub(crate) inward_bias: &'a [T],
    /// Of W₂.
    pub(crate) outward: Part<'a, T>,
    pub(crate) between: Between<'a>,
    /// For each head of the layer, or each chunk of neurons, its place among those that run.
    pub(crate) places: Arc<[Option<usize>]>,
}

/// What lies between the two products: (tokens, wide) → (tokens, inner).
pub(crate) enum Between<'a> {
    /// wide = 3·inner: for each head the columns of Q, of K, of V. The spans are the segment's own.
    Attention { spans: Spans, shape: HeadShape, dropout: Option<ProbabilityDropout<'a>> },
    /// wide = inner.
    Activation(Activation),
}

impl<T> Segment<'_, T> {
    fn wide(&self) -> usize {
        self.inward_bias.len()
    }

    fn inner(&self) -> usize {
        match &self.between {
            Between::Attention { shape, .. } => shape.inner(),
            Between::Activation(_) => self.wide(),
        }
    }

    /// Its part of rows of `width` numbers.
    fn of(&self, width: usize) -> Range<usize> {
        self.rows.start * width..self.rows.end * width
    }

    /// What the spans of the two products are called.
    fn product_spans(&self) -> [tracing::Span; 2] {
        match self.between {
            Between::Attention { .. } => {
                [tracing::trace_span!("product, QKV"), tracing::trace_span!("product, attention output")]
            }
            Between::Activation(_) => {
                [tracing::trace_span!("product, feed-forward up"), tracing::trace_span!("product, feed-forward down")]
            }
        }
    }
}

/// What the forward of a half leaves for its backward.
pub(crate) struct HalfSaved<T> {
    segments: Vec<SegmentSaved<T>>,
    z: Vec<T>,
}

struct SegmentSaved<T> {
    /// Q, K and V; or what goes into the activation, without its bias.
    u: Vec<T>,
    /// The context of attention. The activation is computed anew.
    context: Vec<T>,
}

/// What the gradients of a half's weights follow from.
pub(crate) struct HalfRows<T> {
    pub(crate) segments: Vec<SegmentRows<T>>,
    pub(crate) norm: ResidualNormGradients<T>,
}

pub(crate) struct SegmentRows<T> {
    pub(crate) rows: Range<usize>,
    pub(crate) places: Arc<[Option<usize>]>,
    pub(crate) du: Vec<T>,
    pub(crate) inner: Vec<T>,
    pub(crate) inward_bias: Vec<T>,
    /// Of each (sample, head), where they are wanted.
    gates: Vec<T>,
}

impl<T> HalfRows<T> {
    /// For each sample, in order, the heads that ran and the slopes along gates on them, if they were wanted.
    pub(crate) fn slopes(&self) -> impl Iterator<Item = (Vec<usize>, &[T])> {
        self.segments.iter().flat_map(|segment| {
            let places = segment.places.iter().enumerate();
            let ran: Vec<usize> = places.filter_map(|(head, place)| place.map(|_| head)).collect();
            segment.gates.chunks_exact(ran.len()).map(move |slopes| (ran.clone(), slopes))
        })
    }
}

/// What a backward gives beside what the gradients of the weights follow from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    /// The gradient of x.
    pub(crate) input: bool,
    /// The slopes along gates on heads.
    pub(crate) gates: bool,
}

/// Memory that a forward leaves for the next one: memory that is new would have to be filled with zeros first.
#[derive(Debug)]
pub(crate) struct Scratch<T> {
    u: Vec<T>,
    middle: Vec<T>,
    z: Vec<T>,
    /// For the result.
    pub(crate) y: Vec<T>,
}

impl<T> Default for Scratch<T> {
    fn default() -> Self {
        Self { u: Vec::new(), middle: Vec::new(), z: Vec::new(), y: Vec::new() }
    }
}

/// The half of a block. `x` is (tokens, hidden), the weights are laid out for the forward. `keep` says whether a backward
/// will follow. `task` rows at a time are a task: of a block that is alone, so that other threads can help; a row's bits
/// do not depend on it.
pub(crate) fn half<T: Real>(
    x: &[T],
    segments: &[Segment<'_, T>],
    end: End<'_, T>,
    (keep, task): (bool, usize),
    scratch: &mut Scratch<T>,
) -> (Vec<T>, Option<HalfSaved<T>>) {
    let hidden = end.outward_bias.len();
    let task = task.min(x.len() / hidden).max(1);
    let mut saved = Vec::with_capacity(segments.len());
    grow(&mut scratch.z, x.len());
    for segment in segments {
        let (wide, inner) = (segment.wide(), segment.inner());
        let x = &x[segment.of(hidden)];
        let mut u = std::mem::take(&mut scratch.u);
        grow(&mut u, segment.rows.len() * wide);
        let attends = matches!(segment.between, Between::Attention { .. });
        u.par_chunks_mut(task * wide).zip(x.par_chunks(task * hidden)).for_each(|(u, x)| {
            segment.product_spans()[0].in_scope(|| {
                let x = Matrix::new(x, x.len() / hidden, hidden);
                product(u, wide, Destination::Overwrite, T::ONE, x, segment.inward);
            });
            if attends {
                add_to_rows(u, segment.inward_bias);
            }
        });
        let mut middle = match (attends, keep) {
            (true, _) => std::mem::take(&mut scratch.middle),
            (false, true) => tracing::trace_span!("new memory").in_scope(|| u.clone()),
            // Without a backward the numbers are not needed twice.
            (false, false) => std::mem::take(&mut u),
        };
        grow(&mut middle, segment.rows.len() * inner);
        let z = scratch.z[segment.of(hidden)].par_chunks_mut(task * hidden);
        middle.par_chunks_mut(task * inner).zip(z).enumerate().for_each(|(number, (middle, z))| {
            let rows = z.len() / hidden;
            match &segment.between {
                Between::Attention { spans, shape, dropout } => {
                    attention(&u, spans, *shape, *dropout, number * task..number * task + rows, middle);
                }
                Between::Activation(activation) => bias_activation(middle, segment.inward_bias, *activation),
            }
            segment.product_spans()[1].in_scope(|| {
                let middle = Matrix::new(middle, rows, inner);
                product(z, hidden, Destination::Overwrite, T::ONE, middle, segment.outward);
            });
        });
        match (keep, attends) {
            (true, _) => saved.push(SegmentSaved { u, context: if attends { middle } else { Vec::new() } }),
            (false, true) => (scratch.u, scratch.middle) = (u, middle),
            (false, false) => scratch.u = middle,
        }
    }
    let mut y = std::mem::take(&mut scratch.y);
    grow(&mut y, x.len());
    let rows = y.par_chunks_mut(task * hidden).zip(scratch.z.par_chunks_mut(task * hidden));
    rows.zip(x.par_chunks(task * hidden)).enumerate().for_each(|(number, ((y, z), x))| {
        let rows = number * task..number * task + z.len() / hidden;
        let dropout = end.dropout.map(|(dropout, keys)| (dropout, keys.of(rows)));
        residual_norm(z, end.outward_bias, Some(x), end.norm, dropout, y);
    });
    let saved = keep.then(|| HalfSaved { segments: saved, z: std::mem::take(&mut scratch.z) });
    (y, saved)
}

/// Backward of [`half`], with weights laid out for it: the gradient of x where it is asked for, and what the gradients of
/// the weights follow from.
pub(crate) fn half_backward<T: Real>(
    dy: &[T],
    saved: HalfSaved<T>,
    segments: &[Segment<'_, T>],
    end: End<'_, T>,
    wanted: Wanted,
) -> (Option<Vec<T>>, HalfRows<T>) {
    let hidden = end.outward_bias.len();
    let mut norm = residual_norm_backward(&saved.z, dy, end.norm, end.dropout);
    drop(saved.z);
    let mut dx = std::mem::take(&mut norm.dz);
    let work = segments.iter().zip(saved.segments);
    let segments = work.map(|(segment, SegmentSaved { mut u, context })| {
        let (wide, inner, rows) = (segment.wide(), segment.inner(), segment.rows.len());
        let mut dmiddle = Vec::new();
        grow(&mut dmiddle, rows * inner);
        let dh = norm.dh[segment.of(hidden)].par_chunks(TASK_ROWS * hidden);
        dmiddle.par_chunks_mut(TASK_ROWS * inner).zip(dh).for_each(|(dmiddle, dh)| {
            row_gradients(dmiddle, inner, Destination::Overwrite, (dh, hidden), segment.outward);
        });
        let mut gates = Vec::new();
        let (inner, du, inward_bias) = match &segment.between {
            Between::Attention { spans, shape, dropout } => {
                if wanted.gates {
                    gates = gate_slopes(&context, &dmiddle, spans, *shape);
                }
                let du = attention_backward(&u, &dmiddle, spans, *shape, *dropout);
                let bias = tracing::trace_span!("bias of QKV").in_scope(|| column_sums(&du, wide));
                (context, du, bias)
            }
            Between::Activation(activation) => {
                let tasks = u.par_chunks_mut(TASK_ROWS * wide).zip(dmiddle.par_chunks_mut(TASK_ROWS * wide));
                let biases: Vec<_> =
                    tasks.map(|(u, da)| bias_activation_backward(u, segment.inward_bias, da, *activation)).collect();
                let bias = sum_of(biases.iter().map(Vec::as_slice));
                (u, dmiddle, bias)
            }
        };
        if wanted.input {
            let dx = dx[segment.of(hidden)].par_chunks_mut(TASK_ROWS * hidden);
            dx.zip(du.par_chunks(TASK_ROWS * wide)).for_each(|(dx, du)| {
                row_gradients(dx, hidden, Destination::Accumulate, (du, wide), segment.inward);
            });
        }
        SegmentRows { rows: segment.rows.clone(), places: segment.places.clone(), du, inner, inward_bias, gates }
    });
    let segments = segments.collect();
    (wanted.input.then_some(dx), HalfRows { segments, norm })
}

/// A product of some rows, `width` numbers each, with a weight, for the gradient of other rows.
fn row_gradients<T: Real>(
    gradient: &mut [T],
    stride: usize,
    destination: Destination,
    (rows, width): (&[T], usize),
    weight: Part<'_, T>,
) {
    let _span = tracing::trace_span!("products of row gradients").entered();
    product(gradient, stride, destination, T::ONE, Matrix::new(rows, rows.len() / width, width), weight);
}

/// Makes memory that long; what was there stays, and is going to be written over.
fn grow<T: Real>(memory: &mut Vec<T>, length: usize) {
    let _span = tracing::trace_span!("new memory").entered();
    memory.resize(length, T::ZERO);
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
