//! softmax(Q·Kᵀ/√d)·V for each (sample, head) of packed rows, and its backward with the probabilities recomputed.

use std::ops::Range;

use super::dropout::Dropout;
use super::product::{Destination, Matrix, product};
use super::real::Real;
use super::rows::{largest, sum, sum2, vectorised};
use crate::Spans;

/// How the columns of a packed QKV matrix divide: for each of `heads` heads `head_dim` columns of Q, as many of K, as many
/// of V, so that what belongs to a head lies together.
#[derive(Clone, Copy)]
pub(crate) struct HeadShape {
    pub(crate) heads: usize,
    pub(crate) head_dim: usize,
}

impl HeadShape {
    /// Columns of Q (and of K, of V, and of the context).
    pub(crate) fn inner(self) -> usize {
        self.heads * self.head_dim
    }

    /// The first columns of a head's Q, K and V.
    fn columns(self, head: usize) -> [usize; 3] {
        [0, 1, 2].map(|part| (3 * head + part) * self.head_dim)
    }

    fn scale<T: Real>(self) -> T {
        T::from_f64(1.0 / (self.head_dim as f64).sqrt())
    }
}

/// Dropout of attention probabilities: the samples' numbers key the masks, `kept[h]` is the number of the h-th kept head.
#[derive(Clone, Copy)]
pub(crate) struct ProbabilityDropout<'a> {
    pub(crate) dropout: Dropout,
    pub(crate) sample_ids: &'a [u64],
    pub(crate) kept: &'a [usize],
}

/// P = softmax(scale·Q·Kᵀ) of one head of one sample for some of its rows, into `probabilities` (queries × length).
fn probabilities<T: Real>(
    qkv: &[T],
    length: usize,
    queries: Range<usize>,
    head: usize,
    shape: HeadShape,
    probabilities: &mut [T],
) {
    let (dim, stride, [q, k, _]) = (shape.head_dim, 3 * shape.inner(), shape.columns(head));
    let q = Matrix::strided(&qkv[queries.start * stride + q..], queries.len(), dim, stride);
    let k = Matrix::strided(&qkv[k..], length, dim, stride);
    product(probabilities, length, Destination::Overwrite, shape.scale(), q, k.transposed());
    vectorised(
        #[inline(always)]
        move || {
            // A loop and no `for_each`, whose body might be compiled without the vector instructions.
            for row in probabilities.chunks_exact_mut(length) {
                softmax(row);
            }
        },
    );
}

#[inline(always)]
fn softmax<T: Real>(row: &mut [T]) {
    let largest = largest(row);
    for x in row.iter_mut() {
        *x = (*x - largest).exp();
    }
    let inverse = T::ONE / sum(row, |x| x);
    for x in row.iter_mut() {
        *x *= inverse;
    }
}

fn drop_probabilities<T: Real>(
    dropout: ProbabilityDropout<'_>,
    sample: usize,
    head: usize,
    (first, length): (usize, usize),
    matrix: &mut [T],
) {
    vectorised(
        #[inline(always)]
        move || {
            for (query, row) in matrix.chunks_exact_mut(length).enumerate() {
                dropout.dropout.apply(dropout.sample_ids[sample], first + query, dropout.kept[head], row);
            }
        },
    );
}

/// Some of the context rows: for each head dropout(P)·V, heads side by side. `qkv` is (tokens, 3·inner), the result
/// (rows, inner).
pub(crate) fn attention<T: Real>(
    qkv: &[T],
    spans: &Spans,
    shape: HeadShape,
    dropout: Option<ProbabilityDropout<'_>>,
    rows: Range<usize>,
    context: &mut [T],
) {
    let _span = tracing::trace_span!("attention").entered();
    let inner = shape.inner();
    let mut scratch = Vec::new();
    for sample in 0..spans.samples() {
        let range = spans.range(sample);
        let wanted = range.start.max(rows.start)..range.end.min(rows.end);
        if wanted.is_empty() {
            continue;
        }
        let length = range.len();
        let queries = wanted.start - range.start..wanted.end - range.start;
        let qkv = &qkv[range.start * 3 * inner..range.end * 3 * inner];
        let context = &mut context[(wanted.start - rows.start) * inner..(wanted.end - rows.start) * inner];
        scratch.resize(queries.len() * length, T::ZERO);
        for head in 0..shape.heads {
            probabilities(qkv, length, queries.clone(), head, shape, &mut scratch);
            if let Some(dropout) = dropout {
                drop_probabilities(dropout, sample, head, (queries.start, length), &mut scratch);
            }
            let [.., v] = shape.columns(head);
            let v = Matrix::strided(&qkv[v..], length, shape.head_dim, 3 * inner);
            let p = Matrix::new(&scratch, queries.len(), length);
            product(&mut context[head * shape.head_dim..], inner, Destination::Overwrite, T::ONE, p, v);
        }
    }
}

/// Backward of [`attention`]: the gradient of `qkv` from that of the context.
///
/// With A = dropout(P): dV = Aᵀ·dC, dA = dC·Vᵀ, dP = dropout(dA), dS = P∘(dP − rowsum(dP∘P)), dQ = scale·dS·K,
/// dK = scale·dSᵀ·Q.
pub(crate) fn attention_backward<T: Real>(
    qkv: &[T],
    dcontext: &[T],
    spans: &Spans,
    shape: HeadShape,
    dropout: Option<ProbabilityDropout<'_>>,
) -> Vec<T> {
    let _span = tracing::trace_span!("attention, backward").entered();
    let (inner, dim) = (shape.inner(), shape.head_dim);
    let stride = 3 * inner;
    let mut dqkv = vec![T::ZERO; spans.tokens() * stride];
    let (mut p, mut dropped, mut ds) = (Vec::new(), Vec::new(), Vec::new());
    for sample in 0..spans.samples() {
        let range = spans.range(sample);
        let length = range.len();
        let qkv = &qkv[range.start * stride..range.end * stride];
        let dcontext = &dcontext[range.start * inner..range.end * inner];
        let dqkv = &mut dqkv[range.start * stride..range.end * stride];
        p.resize(length * length, T::ZERO);
        ds.resize(length * length, T::ZERO);
        for head in 0..shape.heads {
            let [at_q, at_k, at_v] = shape.columns(head);
            probabilities(qkv, length, 0..length, head, shape, &mut p);
            let a = match dropout {
                Some(dropout) => {
                    dropped.clear();
                    dropped.extend_from_slice(&p);
                    drop_probabilities(dropout, sample, head, (0, length), &mut dropped);
                    Matrix::new(&dropped, length, length)
                }
                None => Matrix::new(&p, length, length),
            };
            let dc = Matrix::strided(&dcontext[head * dim..], length, dim, inner);
            let v = Matrix::strided(&qkv[at_v..], length, dim, stride);
            let dv = &mut dqkv[at_v..];
            product(dv, stride, Destination::Overwrite, T::ONE, a.transposed(), dc);
            product(&mut ds, length, Destination::Overwrite, T::ONE, dc, v.transposed());
            if let Some(dropout) = dropout {
                drop_probabilities(dropout, sample, head, (0, length), &mut ds);
            }
            softmax_backward(&p, length, &mut ds);
            let ds = Matrix::new(&ds, length, length);
            let q = Matrix::strided(&qkv[at_q..], length, dim, stride);
            let k = Matrix::strided(&qkv[at_k..], length, dim, stride);
            let scale = shape.scale();
            product(&mut dqkv[at_q..], stride, Destination::Overwrite, scale, ds, k);
            let dk = &mut dqkv[at_k..];
            product(dk, stride, Destination::Overwrite, scale, ds.transposed(), q);
        }
    }
    dqkv
}

/// The slope of the loss along a gate ξ = 1 on each head of each sample: ∂L/∂ξ = Σ over its rows of c·dc, for context c
/// with gradient dc, both (tokens, inner). (samples, heads).
pub(crate) fn gate_slopes<T: Real>(context: &[T], dcontext: &[T], spans: &Spans, shape: HeadShape) -> Vec<T> {
    let (inner, dim) = (shape.inner(), shape.head_dim);
    let mut slopes = vec![T::ZERO; spans.samples() * shape.heads];
    for (sample, slopes) in slopes.chunks_exact_mut(shape.heads).enumerate() {
        let rows = spans.range(sample).start * inner..spans.range(sample).end * inner;
        for (c, dc) in context[rows.clone()].chunks_exact(inner).zip(dcontext[rows].chunks_exact(inner)) {
            for (slope, (c, dc)) in slopes.iter_mut().zip(c.chunks_exact(dim).zip(dc.chunks_exact(dim))) {
                *slope += sum2(c, dc, |c, dc| c * dc);
            }
        }
    }
    slopes
}

/// dP becomes dS = P∘(dP − rowsum(dP∘P)).
fn softmax_backward<T: Real>(p: &[T], length: usize, dp: &mut [T]) {
    vectorised(
        #[inline(always)]
        move || {
            for (ds, p) in dp.chunks_exact_mut(length).zip(p.chunks_exact(length)) {
                let dot = sum2(ds, p, |ds, p| ds * p);
                for (ds, p) in ds.iter_mut().zip(p) {
                    *ds = *p * (*ds - dot);
                }
            }
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::test_support::wave;

    #[test]
    fn attention_equals_its_definition() {
        let spans = Spans::from_lengths([3, 1, 5]).unwrap();
        let shape = HeadShape { heads: 2, head_dim: 4 };
        let (inner, stride) = (8, 24);
        let qkv: Vec<f64> = wave(spans.tokens() * stride, 0.61);
        let mut context = vec![0.0; spans.tokens() * inner];
        // In tasks that end within a sample.
        for (task, context) in context.chunks_mut(2 * inner).enumerate() {
            attention(&qkv, &spans, shape, None, 2 * task..2 * task + context.len() / inner, context);
        }
        for sample in 0..spans.samples() {
            for query in spans.range(sample) {
                for head in 0..2 {
                    let weight: Vec<f64> = spans
                        .range(sample)
                        .map(|key| {
                            let dot: f64 = (0..4)
                                .map(|c| qkv[query * stride + head * 12 + c] * qkv[key * stride + head * 12 + 4 + c])
                                .sum();
                            (dot / 2.0).exp()
                        })
                        .collect();
                    for c in 0..4 {
                        let value = |key: usize| qkv[key * stride + head * 12 + 8 + c];
                        let expected = spans.range(sample).zip(&weight).map(|(key, w)| w * value(key)).sum::<f64>()
                            / weight.iter().sum::<f64>();
                        approx::assert_relative_eq!(
                            context[query * inner + head * 4 + c],
                            expected,
                            epsilon = 1e-12,
                            max_relative = 1e-10
                        );
                    }
                }
            }
        }
    }
}
