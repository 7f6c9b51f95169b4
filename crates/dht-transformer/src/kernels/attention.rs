//! softmax(Q·Kᵀ/√d)·V for each (sample, head) of packed rows, and its backward with the probabilities recomputed.

use std::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::dropout::Dropout;
use super::product::{Destination, Matrix, product};
use super::real::Real;
use super::rows::{LANES, TASK_ROWS, sum2, vectorised};
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

/// Scores of some queries, a row each; rows are whole vectors long, so that no loop over them has a rest. What is behind
/// the keys is of no meaning.
#[derive(Default, Clone)]
struct Scores<T> {
    numbers: Vec<T>,
    keys: usize,
}

impl<T: Real> Scores<T> {
    fn stride(&self) -> usize {
        self.keys.next_multiple_of(LANES)
    }

    /// Makes room.
    fn resize(&mut self, queries: usize, keys: usize) {
        self.keys = keys;
        self.numbers.resize(queries * self.stride(), T::ZERO);
    }

    fn queries(&self) -> usize {
        self.numbers.len() / self.stride()
    }

    fn matrix(&self) -> Matrix<'_, T> {
        Matrix::strided(&self.numbers, self.queries(), self.keys, self.stride())
    }

    /// Becomes scale·A·Bᵀ.
    fn set_product(&mut self, scale: T, a: Matrix<'_, T>, b: Matrix<'_, T>) {
        let stride = self.stride();
        product(&mut self.numbers, stride, Destination::OverwriteVectors, scale, a, b.transposed());
    }

    /// Becomes softmax(scale·Q·Kᵀ) of one head of one sample for some of its rows.
    fn set_probabilities(&mut self, qkv: &[T], queries: Range<usize>, head: usize, shape: HeadShape) {
        let (dim, stride, [q, k, _]) = (shape.head_dim, 3 * shape.inner(), shape.columns(head));
        let q = Matrix::strided(&qkv[queries.start * stride + q..], queries.len(), dim, stride);
        let k = Matrix::strided(&qkv[k..], self.keys, dim, stride);
        self.set_product(shape.scale(), q, k);
        let (stride, keys, numbers) = (self.stride(), self.keys, &mut self.numbers[..]);
        pulp::Arch::new().dispatch(Softmax { numbers, stride, keys });
    }

    /// Drops some of them; rows are those of queries from `first` on.
    fn drop(&mut self, dropout: ProbabilityDropout<'_>, sample: usize, head: usize, first: usize) {
        let (stride, keys, numbers) = (self.stride(), self.keys, &mut self.numbers[..]);
        vectorised(
            #[inline(always)]
            move || {
                for (query, row) in numbers.chunks_exact_mut(stride).enumerate() {
                    let (sample, head) = (dropout.sample_ids[sample], dropout.kept[head]);
                    dropout.dropout.apply(sample, first + query, head, &mut row[..keys]);
                }
            },
        );
    }

    /// Becomes P∘(dP − rowsum(dP∘P)), having been dP.
    fn softmax_backward(&mut self, p: &Self) {
        let (stride, keys, ds) = (self.stride(), self.keys, &mut self.numbers[..]);
        pulp::Arch::new().dispatch(SoftmaxBackward { p: &p.numbers, ds, stride, keys });
    }
}

/// `inside` where the last vector of a row of so many numbers has one of them, and `behind` them.
#[inline(always)]
fn last_vector<T: Real>(numbers: usize, inside: T, behind: T) -> [T; LANES] {
    std::array::from_fn(|i| if i < (numbers + LANES - 1) % LANES + 1 { inside } else { behind })
}

/// Softmax of the first `keys` numbers of each row. Its steps go through all rows one after another, so that no row waits
/// for another one's chain of sums.
struct Softmax<'a, T> {
    numbers: &'a mut [T],
    stride: usize,
    keys: usize,
}

impl<T: Real> WithSimd for Softmax<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { numbers, stride, keys } = self;
        let (inside, behind) = (last_vector(keys, T::ALL_BITS, T::ZERO), last_vector(keys, T::ZERO, T::LEAST));
        let (inside, behind) = (T::vectors::<S>(&inside), T::vectors::<S>(&behind));
        for row in numbers.chunks_exact_mut(stride) {
            let row = T::vectors_mut::<S>(row);
            // The whole vector is written: of one that is written in parts, the next read would have to wait.
            let last = row.len() - behind.len();
            for ((x, inside), behind) in row[last..].iter_mut().zip(inside).zip(behind) {
                // What is behind may be NaN of another text.
                *x = T::plus(simd, T::common_bits(simd, *x, *inside), *behind);
            }
            let mut largest = T::splat(simd, T::LEAST);
            for x in row.iter() {
                largest = T::larger(simd, largest, *x);
            }
            let largest = T::splat(simd, -T::largest_lane(simd, largest));
            for x in row {
                *x = T::plus(simd, *x, largest);
            }
        }
        for vector in numbers.as_chunks_mut::<LANES>().0 {
            *vector = vector.map(Real::exp);
        }
        for row in numbers.chunks_exact_mut(stride) {
            let row = T::vectors_mut::<S>(row);
            let mut sum = T::splat(simd, T::ZERO);
            for x in row.iter() {
                sum = T::plus(simd, sum, *x);
            }
            let inverse = T::splat(simd, T::ONE / T::sum_of_lanes(simd, sum));
            for x in row {
                *x = T::multiply(simd, *x, inverse);
            }
        }
    }
}

/// dP becomes P∘(dP − rowsum(dP∘P)).
struct SoftmaxBackward<'a, T> {
    p: &'a [T],
    ds: &'a mut [T],
    stride: usize,
    keys: usize,
}

impl<T: Real> WithSimd for SoftmaxBackward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { p, ds, stride, keys } = self;
        let inside = last_vector(keys, T::ALL_BITS, T::ZERO);
        let inside = T::vectors::<S>(&inside);
        for (ds, p) in ds.chunks_exact_mut(stride).zip(p.chunks_exact(stride)) {
            let (ds, p) = (T::vectors_mut::<S>(ds), T::vectors::<S>(p));
            let last = ds.len() - inside.len();
            for (ds, inside) in ds[last..].iter_mut().zip(inside) {
                *ds = T::common_bits(simd, *ds, *inside);
            }
            let mut dot = T::splat(simd, T::ZERO);
            for (ds, p) in ds.iter().zip(p) {
                dot = T::multiply_add(simd, *ds, *p, dot);
            }
            let dot = T::splat(simd, -T::sum_of_lanes(simd, dot));
            for (ds, p) in ds.iter_mut().zip(p) {
                *ds = T::multiply(simd, *p, T::plus(simd, *ds, dot));
            }
        }
    }
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
    let mut scores = Scores::default();
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
        scores.resize(queries.len(), length);
        for head in 0..shape.heads {
            scores.set_probabilities(qkv, queries.clone(), head, shape);
            if let Some(dropout) = dropout {
                scores.drop(dropout, sample, head, queries.start);
            }
            let [.., v] = shape.columns(head);
            let v = Matrix::strided(&qkv[v..], length, shape.head_dim, 3 * inner);
            let context = &mut context[head * shape.head_dim..];
            product(context, inner, Destination::Overwrite, T::ONE, scores.matrix(), v);
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
    let stride = 3 * shape.inner();
    let mut dqkv = tracing::trace_span!("new memory").in_scope(|| vec![T::ZERO; spans.tokens() * stride]);
    let mut rest = &mut dqkv[..];
    let tasks = spans.groups(TASK_ROWS).into_iter().map(|samples| {
        let rows = spans.range(samples.end - 1).end - spans.range(samples.start).start;
        let (task, behind) = std::mem::take(&mut rest).split_at_mut(rows * stride);
        rest = behind;
        (samples, task)
    });
    let tasks: Vec<_> = tasks.collect();
    tasks.into_par_iter().with_max_len(1).for_each(|(samples, dqkv)| {
        let _span = tracing::trace_span!("attention, backward").entered();
        backward_of_samples(qkv, dcontext, spans, samples, shape, dropout, dqkv);
    });
    dqkv
}

/// [`attention_backward`] of some samples, whose rows of the gradient `dqkv` are.
fn backward_of_samples<T: Real>(
    qkv: &[T],
    dcontext: &[T],
    spans: &Spans,
    samples: Range<usize>,
    shape: HeadShape,
    dropout: Option<ProbabilityDropout<'_>>,
    dqkv: &mut [T],
) {
    let (inner, dim) = (shape.inner(), shape.head_dim);
    let (stride, beginning) = (3 * inner, spans.range(samples.start).start);
    let (mut p, mut dropped, mut ds) = (Scores::default(), Scores::default(), Scores::default());
    for sample in samples {
        let range = spans.range(sample);
        let length = range.len();
        let qkv = &qkv[range.start * stride..range.end * stride];
        let dcontext = &dcontext[range.start * inner..range.end * inner];
        let dqkv = &mut dqkv[(range.start - beginning) * stride..(range.end - beginning) * stride];
        p.resize(length, length);
        ds.resize(length, length);
        for head in 0..shape.heads {
            let [at_q, at_k, at_v] = shape.columns(head);
            p.set_probabilities(qkv, 0..length, head, shape);
            let a = match dropout {
                Some(dropout) => {
                    dropped.clone_from(&p);
                    dropped.drop(dropout, sample, head, 0);
                    &dropped
                }
                None => &p,
            };
            let dc = Matrix::strided(&dcontext[head * dim..], length, dim, inner);
            let v = Matrix::strided(&qkv[at_v..], length, dim, stride);
            let dv = &mut dqkv[at_v..];
            product(dv, stride, Destination::Overwrite, T::ONE, a.matrix().transposed(), dc);
            ds.set_product(T::ONE, dc, v);
            if let Some(dropout) = dropout {
                ds.drop(dropout, sample, head, 0);
            }
            ds.softmax_backward(&p);
            let ds = ds.matrix();
            let q = Matrix::strided(&qkv[at_q..], length, dim, stride);
            let k = Matrix::strided(&qkv[at_k..], length, dim, stride);
            let scale = shape.scale();
            product(&mut dqkv[at_q..], stride, Destination::Overwrite, scale, ds, k);
            let dk = &mut dqkv[at_k..];
            product(dk, stride, Destination::Overwrite, scale, ds.transposed(), q);
        }
    }
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

    /// Three texts of which the first overflows, beside the same without that.
    fn an_overflow_stays_within_its_text<T: Real + std::fmt::Debug>(huge: f64) {
        let shape = HeadShape { heads: 2, head_dim: 8 };
        let (inner, stride) = (16, 48);
        let of = |lengths: &[usize], qkv: &[T]| {
            let spans = Spans::from_lengths(lengths.iter().copied()).unwrap();
            let mut context = vec![T::ZERO; spans.tokens() * inner];
            attention(qkv, &spans, shape, None, 0..spans.tokens(), &mut context);
            let dqkv = attention_backward(qkv, &wave(spans.tokens() * inner, 0.3)[..], &spans, shape, None);
            (context, dqkv)
        };
        let mut qkv: Vec<T> = wave((3 + 3 + 17) * stride, 0.61);
        let (context, dqkv) = of(&[3, 3, 17], &qkv);
        qkv[..3 * stride].iter_mut().for_each(|x| *x *= T::from_f64(huge));
        let (context_beside, dqkv_beside) = of(&[3, 3, 17], &qkv);
        assert!(context_beside[..3 * inner].iter().any(|x| x.partial_cmp(x).is_none()), "it overflows");
        assert_eq!(context_beside[3 * inner..], context[3 * inner..]);
        assert_eq!(dqkv_beside[3 * stride..], dqkv[3 * stride..]);
    }

    #[test]
    fn a_text_whose_scores_overflow_leaves_the_others_as_they_are() {
        an_overflow_stays_within_its_text::<f32>(1e25);
        // Vectors of so few numbers that some behind the keys are not written by the product.
        an_overflow_stays_within_its_text::<f64>(1e200);
    }
}
