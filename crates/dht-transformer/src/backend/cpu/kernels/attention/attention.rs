//! Attention softmax(Q·Kᵀ/√d + bias)·V for each sample and head of packed rows. The backward pass computes the
//! attention probabilities again.

use std::ops::Range;

use rayon::prelude::*;

use super::scores::Scores;
use super::shape::{DistanceBias, HeadShape, ProbabilityDropout};
use crate::backend::cpu::kernels::product::{Destination, Matrix, product};
use crate::backend::cpu::kernels::real::Real;
use crate::backend::cpu::kernels::rows::{CHUNK_ROWS, add_assign, sum2};
use crate::tensors::Spans;

/// Computes the attention output dropout(P)·V of each head for the rows `rows`, where P are the attention
/// probabilities. `qkv` is (tokens, wide). The outputs of the heads are concatenated in `context` (rows, inner).
pub(crate) fn attention<T: Real>(
    qkv: &[T],
    spans: &Spans,
    shape: &HeadShape<T>,
    dropout: Option<ProbabilityDropout<'_>>,
    rows: Range<usize>,
    context: &mut [T],
) {
    let _span = tracing::trace_span!("attention").entered();
    let (wide, inner) = (shape.wide, shape.inner);
    let mut scores = Scores::default();
    for sample in 0..spans.samples() {
        let range = spans.range(sample);
        let overlap = range.start.max(rows.start)..range.end.min(rows.end);
        if overlap.is_empty() {
            continue;
        }
        let length = range.len();
        let queries = overlap.start - range.start..overlap.end - range.start;
        let qkv = &qkv[range.start * wide..range.end * wide];
        let context = &mut context[(overlap.start - rows.start) * inner..(overlap.end - rows.start) * inner];
        scores.resize(queries.len(), length);
        for (number, head) in shape.heads.iter().enumerate() {
            scores.set_probabilities(qkv, queries.clone(), number, shape);
            if let Some(dropout) = dropout {
                scores.drop(dropout, sample, number, queries.start);
            }
            let [.., v] = head.qkv;
            let v = Matrix::strided(&qkv[v..], length, head.value, wide);
            let context = &mut context[head.context..];
            product(context, inner, Destination::Overwrite, T::ONE, scores.matrix(), v);
        }
    }
}

/// Backward pass of [`attention`]. From the gradient of the attention output, it computes the gradient of `qkv`, and
/// the gradients of the relative-position biases if the model has them.
///
/// S are the attention scores, P their probabilities, A = dropout(P), and C the output. Then dV = Aᵀ·dC, dA = dC·Vᵀ, dP
/// = dropout(dA), dS = P∘(dP − rowsum(dP∘P)), dQ = scale·dS·K, dK = scale·dSᵀ·Q. The gradient of the bias for a
/// distance is the sum of dS over all pairs of tokens at this distance.
pub(crate) fn attention_backward<T: Real>(
    qkv: &[T],
    dcontext: &[T],
    spans: &Spans,
    shape: &HeadShape<T>,
    dropout: Option<ProbabilityDropout<'_>>,
) -> (Vec<T>, Option<DistanceBias<T>>) {
    let stride = shape.wide;
    let mut dqkv = tracing::trace_span!("allocation").in_scope(|| vec![T::ZERO; spans.tokens() * stride]);
    let mut rest = &mut dqkv[..];
    let chunks = spans.groups(CHUNK_ROWS).into_iter().map(|samples| {
        let rows = spans.range(samples.end - 1).end - spans.range(samples.start).start;
        let (chunk, after) = std::mem::take(&mut rest).split_at_mut(rows * stride);
        rest = after;
        (samples, chunk)
    });
    let chunks: Vec<_> = chunks.collect();
    let biases = chunks.into_par_iter().with_max_len(1).map(|(samples, dqkv)| {
        let _span = tracing::trace_span!("attention, backward").entered();
        backward_of_samples(qkv, dcontext, spans, samples, shape, dropout, dqkv)
    });
    let biases: Vec<_> = biases.collect();
    let bias = biases.into_iter().flatten().reduce(|mut sum, bias| {
        sum.heads_mut().zip(bias.heads()).for_each(|(sum, bias)| add_assign(sum, bias));
        sum
    });
    (dqkv, bias)
}

/// Runs [`attention_backward`] for a range of samples. `dqkv` only has the rows of these samples.
fn backward_of_samples<T: Real>(
    qkv: &[T],
    dcontext: &[T],
    spans: &Spans,
    samples: Range<usize>,
    shape: &HeadShape<T>,
    dropout: Option<ProbabilityDropout<'_>>,
    dqkv: &mut [T],
) -> Option<DistanceBias<T>> {
    let mut dbias = shape.bias.as_ref().map(|bias| DistanceBias::zeros(shape.heads.len(), bias.longest()));
    let (inner, stride, beginning) = (shape.inner, shape.wide, spans.range(samples.start).start);
    let (mut p, mut dropped, mut ds) = (Scores::default(), Scores::default(), Scores::default());
    for sample in samples {
        let range = spans.range(sample);
        let length = range.len();
        let qkv = &qkv[range.start * stride..range.end * stride];
        let dcontext = &dcontext[range.start * inner..range.end * inner];
        let dqkv = &mut dqkv[(range.start - beginning) * stride..(range.end - beginning) * stride];
        p.resize(length, length);
        ds.resize(length, length);
        for (number, head) in shape.heads.iter().enumerate() {
            let [at_q, at_k, at_v] = head.qkv;
            p.set_probabilities(qkv, 0..length, number, shape);
            let a = match dropout {
                Some(dropout) => {
                    dropped.clone_from(&p);
                    dropped.drop(dropout, sample, number, 0);
                    &dropped
                }
                None => &p,
            };
            let dc = Matrix::strided(&dcontext[head.context..], length, head.value, inner);
            let v = Matrix::strided(&qkv[at_v..], length, head.value, stride);
            let dv = &mut dqkv[at_v..];
            product(dv, stride, Destination::Overwrite, T::ONE, a.matrix().transposed(), dc);
            ds.set_product(T::ONE, dc, v);
            if let Some(dropout) = dropout {
                ds.drop(dropout, sample, number, 0);
            }
            ds.softmax_backward(&p);
            if let Some(dbias) = &mut dbias {
                ds.add_diagonals_to(dbias, number);
            }
            let ds = ds.matrix();
            let q = Matrix::strided(&qkv[at_q..], length, head.query_key, stride);
            let k = Matrix::strided(&qkv[at_k..], length, head.query_key, stride);
            let scale = shape.scale();
            product(&mut dqkv[at_q..], stride, Destination::Overwrite, scale, ds, k);
            let dk = &mut dqkv[at_k..];
            product(dk, stride, Destination::Overwrite, scale, ds.transposed(), q);
        }
    }
    dbias
}

/// Computes the gradient ∂L/∂ξ of the loss L with respect to a gate ξ = 1 that multiplies the output of a head for a
/// sample, (samples, heads).
///
/// It is the sum Σ c·dc over the rows of the sample, where c is the attention output of the head and dc its gradient.
/// `context` and `dcontext` have them for all heads, (tokens, inner).
pub(crate) fn gate_gradients<T: Real>(context: &[T], dcontext: &[T], spans: &Spans, shape: &HeadShape<T>) -> Vec<T> {
    let inner = shape.inner;
    let mut gradients = vec![T::ZERO; spans.samples() * shape.heads.len()];
    for (sample, gradients) in gradients.chunks_exact_mut(shape.heads.len()).enumerate() {
        let rows = spans.range(sample).start * inner..spans.range(sample).end * inner;
        for (c, dc) in context[rows.clone()].chunks_exact(inner).zip(dcontext[rows].chunks_exact(inner)) {
            for (gradient, head) in gradients.iter_mut().zip(&shape.heads) {
                *gradient += sum2(head.context_of(c), head.context_of(dc), |c, dc| c * dc);
            }
        }
    }
    gradients
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::cpu::kernels::test_support::wave;

    #[test]
    fn attention_equals_its_definition() {
        let spans = Spans::from_lengths([3, 1, 5]).unwrap();
        let mut bias = DistanceBias::zeros(2, 5);
        bias.heads_mut().zip([0.3, 0.7]).for_each(|(row, phase)| row.copy_from_slice(&wave(9, phase)));
        let bias_of: Vec<Vec<f64>> = bias.heads().map(<[f64]>::to_vec).collect();
        let shape = HeadShape::alike(2, 4).with_bias(Some(bias));
        let (inner, stride) = (8, 24);
        let qkv: Vec<f64> = wave(spans.tokens() * stride, 0.61);
        let mut context = vec![0.0; spans.tokens() * inner];
        // The chunks end within a sample.
        for (chunk, context) in context.chunks_mut(2 * inner).enumerate() {
            attention(&qkv, &spans, &shape, None, 2 * chunk..2 * chunk + context.len() / inner, context);
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
                            (dot / 2.0 + bias_of[head][key + 4 - query]).exp()
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

    /// Checks that a text whose scores overflow does not change the results of two other texts in the batch.
    fn an_overflow_stays_within_its_text<T: Real + std::fmt::Debug>(huge: f64) {
        let shape = HeadShape::alike(2, 8);
        let (inner, stride) = (16, 48);
        let of = |lengths: &[usize], qkv: &[T]| {
            let spans = Spans::from_lengths(lengths.iter().copied()).unwrap();
            let mut context = vec![T::ZERO; spans.tokens() * inner];
            attention(qkv, &spans, &shape, None, 0..spans.tokens(), &mut context);
            let (dqkv, _) = attention_backward(qkv, &wave(spans.tokens() * inner, 0.3)[..], &spans, &shape, None);
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
        // The vectors are so short that the product does not write all values after the keys.
        an_overflow_stays_within_its_text::<f64>(1e200);
    }
}
