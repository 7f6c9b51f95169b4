//! Attention scores of one head in one sample: matrix product, softmax and backward pass.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::shape::{DistanceBias, HeadShape, ProbabilityDropout};
use crate::backend::cpu::kernels::product::{Destination, Matrix, product};
use crate::backend::cpu::kernels::real::Real;
use crate::backend::cpu::kernels::rows::{LANES, add_assign, array, vectorised};

/// Attention scores or probabilities of one head in one sample. Each row belongs to a query. Rows are padded to whole
/// SIMD vectors, so that loops over a row have no remainder; values after the last key are undefined.
#[derive(Default, Clone)]
pub(crate) struct Scores<T> {
    numbers: Vec<T>,
    keys: usize,
}

impl<T: Real> Scores<T> {
    fn stride(&self) -> usize {
        self.keys.next_multiple_of(LANES)
    }

    pub(crate) fn resize(&mut self, queries: usize, keys: usize) {
        self.keys = keys;
        self.numbers.resize(queries * self.stride(), T::ZERO);
    }

    fn queries(&self) -> usize {
        self.numbers.len() / self.stride()
    }

    pub(crate) fn matrix(&self) -> Matrix<'_, T> {
        Matrix::strided(&self.numbers, self.queries(), self.keys, self.stride())
    }

    /// Sets the scores to scale·A·Bᵀ.
    pub(crate) fn set_product(&mut self, scale: T, a: Matrix<'_, T>, b: Matrix<'_, T>) {
        let stride = self.stride();
        product(&mut self.numbers, stride, Destination::OverwriteVectors, scale, a, b.transposed());
    }

    /// Computes the attention probabilities softmax(scale·Q·Kᵀ + bias) of one head for a range of queries, and stores
    /// them in place of the former values.
    pub(crate) fn set_probabilities(&mut self, qkv: &[T], queries: Range<usize>, head: usize, shape: &HeadShape<T>) {
        let (width, stride, [q, k, _]) = (shape.heads[head].query_key, shape.wide, shape.heads[head].qkv);
        let q = Matrix::strided(&qkv[queries.start * stride + q..], queries.len(), width, stride);
        let k = Matrix::strided(&qkv[k..], self.keys, width, stride);
        self.set_product(shape.scale(), q, k);
        let (stride, keys, numbers) = (self.stride(), self.keys, &mut self.numbers[..]);
        if let Some(bias) = &shape.bias {
            vectorised(
                #[inline(always)]
                || {
                    for (query, row) in queries.zip(numbers.chunks_exact_mut(stride)) {
                        add_assign(row, bias.of_query(head, query, stride));
                    }
                },
            );
        }
        pulp::Arch::new().dispatch(Softmax { numbers, stride, keys });
    }

    /// Adds gradients of attention scores to the gradients of a head's relative-position biases. All pairs of tokens at
    /// the same distance, a diagonal of the matrix, share a bias. Values after the last key must be zeros.
    pub(crate) fn add_diagonals_to(&self, gradient: &mut DistanceBias<T>, head: usize) {
        let (stride, numbers) = (self.stride(), &self.numbers[..]);
        vectorised(
            #[inline(always)]
            || {
                for (query, row) in numbers.chunks_exact(stride).enumerate() {
                    add_assign(gradient.of_query_mut(head, query, stride), row);
                }
            },
        );
    }

    /// Applies dropout to attention probabilities. The first row belongs to the query at position `first` of the
    /// sample.
    pub(crate) fn drop(&mut self, dropout: ProbabilityDropout<'_>, sample: usize, head: usize, first: usize) {
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

    /// Backward pass of the softmax. Replaces the gradient dP of the probabilities by the gradient P∘(dP −
    /// rowsum(dP∘P)) of the scores, where P are the probabilities in `p`.
    pub(crate) fn softmax_backward(&mut self, p: &Self) {
        let (stride, keys, ds) = (self.stride(), self.keys, &mut self.numbers[..]);
        pulp::Arch::new().dispatch(SoftmaxBackward { p: &p.numbers, ds, stride, keys });
    }
}

/// Mask for the last SIMD vectors of a row with `numbers` values. It is `inside` in lanes that hold values of the row,
/// and `after` in lanes beyond its end.
#[inline(always)]
fn last_vector<T: Real>(numbers: usize, inside: T, after: T) -> [T; LANES] {
    array(|i| if i < (numbers + LANES - 1) % LANES + 1 { inside } else { after })
}

/// Softmax over the first `keys` values of each row. Each step processes all rows before the next step begins, so that
/// a row need not wait for the sequential sum of another.
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
        let (inside, after) = (last_vector(keys, T::ALL_BITS, T::ZERO), last_vector(keys, T::ZERO, T::LEAST));
        let (inside, after) = (T::vectors::<S>(&inside), T::vectors::<S>(&after));
        for row in numbers.chunks_exact_mut(stride) {
            let row = T::vectors_mut::<S>(row);
            // The whole vector is written, since the next read would stall after partial writes.
            let last = row.len() - after.len();
            for ((x, inside), after) in row[last..].iter_mut().zip(inside).zip(after) {
                // The values after the keys may be NaN values of another text.
                *x = T::plus(simd, T::common_bits(simd, *x, *inside), *after);
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
            for value in vector {
                *value = value.exp();
            }
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

/// Backward pass of the softmax. Replaces the gradient dP of the probabilities P by the gradient P∘(dP − rowsum(dP∘P))
/// of the scores.
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
