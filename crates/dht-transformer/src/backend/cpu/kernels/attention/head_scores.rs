//! Attention scores scale·Q·Kᵀ of each sample and head, with a backward pass. They are used in losses that compare the
//! scores of two models. A matrix of scores is padded to (longest, longest), the size of the longest sample.

use rayon::prelude::*;

use crate::backend::cpu::kernels::product::{Destination, Matrix, product};
use crate::backend::cpu::kernels::real::Real;
use crate::tensors::Spans;

/// Widths of the heads whose attention scores are computed. The columns of a head follow those of the head before, in Q
/// and in K.
#[derive(Debug, Clone)]
pub(crate) struct ComparedHeads {
    /// Number of columns that each head has in Q, and also in K.
    pub(crate) widths: Vec<usize>,
    /// Width of an unpruned head. Scores are divided by its square root.
    pub(crate) head_dim: usize,
}

impl ComparedHeads {
    fn columns(&self) -> usize {
        self.widths.iter().sum()
    }

    fn scale<T: Real>(&self) -> T {
        T::from_f64(1.0 / (self.head_dim as f64).sqrt())
    }

    fn places(&self) -> impl Iterator<Item = (usize, usize)> {
        self.widths.iter().scan(0, |end, width| {
            *end += width;
            Some((*end - width, *width))
        })
    }

    fn part<'a, T>(&self, rows: &'a [T], (first, width): (usize, usize)) -> Matrix<'a, T> {
        // A head without columns may begin at the end of the rows.
        let rows_of_head = rows.get(first..).unwrap_or_default();
        Matrix::strided(rows_of_head, rows.len() / self.columns().max(1), width, self.columns())
    }
}

/// Computes the attention scores of each head, (samples, heads, longest, longest), from the queries Q and keys K, both
/// (tokens, columns). The scores are 0 at positions without a token.
pub(crate) fn head_scores<T: Real>(q: &[T], k: &[T], spans: &Spans, heads: &ComparedHeads) -> Vec<T> {
    let (columns, longest) = (heads.columns(), spans.longest());
    let of_sample = heads.widths.len() * longest * longest;
    let mut scores = vec![T::ZERO; spans.samples() * of_sample];
    scores.par_chunks_mut(of_sample.max(1)).enumerate().for_each(|(sample, scores)| {
        let rows = spans.range(sample).start * columns..spans.range(sample).end * columns;
        for (place, scores) in heads.places().zip(scores.chunks_exact_mut(longest * longest)) {
            let (q, k) = (heads.part(&q[rows.clone()], place), heads.part(&k[rows.clone()], place));
            product(scores, longest, Destination::Overwrite, heads.scale(), q, k.transposed());
        }
    });
    scores
}

/// Backward pass of [`head_scores`]: dQ = scale·dS·K and dK = scale·dSᵀ·Q, where dS is the gradient of the scores.
/// Gradients at positions without a token are not read.
pub(crate) fn head_scores_backward<T: Real>(
    q: &[T],
    k: &[T],
    dscores: &[T],
    spans: &Spans,
    heads: &ComparedHeads,
) -> (Vec<T>, Vec<T>) {
    let (columns, longest) = (heads.columns(), spans.longest());
    let of_sample = heads.widths.len() * longest * longest;
    let (mut dq, mut dk) = (vec![T::ZERO; q.len()], vec![T::ZERO; k.len()]);
    let (mut dq_rest, mut dk_rest) = (&mut dq[..], &mut dk[..]);
    let of_samples = spans.lengths().map(|length| {
        let (of_q, rest) = std::mem::take(&mut dq_rest).split_at_mut(length * columns);
        dq_rest = rest;
        let (of_k, rest) = std::mem::take(&mut dk_rest).split_at_mut(length * columns);
        dk_rest = rest;
        (of_q, of_k)
    });
    let of_samples: Vec<_> = of_samples.collect();
    of_samples.into_par_iter().enumerate().for_each(|(sample, (dq, dk))| {
        let (rows, length) = (spans.range(sample), spans.range(sample).len());
        let rows = rows.start * columns..rows.end * columns;
        let dscores = dscores[sample * of_sample..][..of_sample].chunks_exact(longest * longest);
        for (place, dscores) in heads.places().zip(dscores).filter(|((_, width), _)| *width > 0) {
            let (q, k) = (heads.part(&q[rows.clone()], place), heads.part(&k[rows.clone()], place));
            let ds = Matrix::strided(dscores, length, length, longest);
            product(&mut dq[place.0..], columns, Destination::Overwrite, heads.scale(), ds, k);
            product(&mut dk[place.0..], columns, Destination::Overwrite, heads.scale(), ds.transposed(), q);
        }
    });
    (dq, dk)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::cpu::kernels::test_support::wave;

    #[test]
    fn head_scores_equal_their_definition_and_padding_is_zero() {
        let spans = Spans::from_lengths([3, 1, 5]).unwrap();
        let heads = ComparedHeads { widths: vec![4, 0, 3], head_dim: 4 };
        let (q, k): (Vec<f64>, Vec<f64>) = (wave(9 * 7, 0.61), wave(9 * 7, 0.37));
        let scores = head_scores(&q, &k, &spans, &heads);
        assert_eq!(scores.len(), 3 * 3 * 5 * 5);
        for (index, score) in scores.into_iter().enumerate() {
            let (sample, head, query, key) = (index / 75, index / 25 % 3, index / 5 % 5, index % 5);
            let rows = spans.range(sample);
            let inside = query < rows.len() && key < rows.len();
            let columns = [0..4, 4..4, 4..7][head].clone();
            let of = |all: &[f64], row: usize, column: usize| all[(rows.start + row) * 7 + column];
            let dot: f64 =
                columns.map(|column| if inside { of(&q, query, column) * of(&k, key, column) } else { 0.0 }).sum();
            approx::assert_relative_eq!(score, dot / 2.0, epsilon = 1e-12);
        }
    }
}
