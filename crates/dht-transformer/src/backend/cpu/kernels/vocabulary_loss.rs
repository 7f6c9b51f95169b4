//! Cross-entropy after a linear layer with many outputs (a vocabulary), without storing the logits of all rows.
//!
//! ```text
//! lᵢ = log Σⱼ exp(xᵢ·wⱼ + bⱼ) − (xᵢ·w_t + b_t)      t: the target of row i
//! ```
//!
//! Rows are processed in blocks of [`BLOCK`] rows, and only the logits of one block are stored. After the losses of a
//! block, the gradient of its logits overwrites the logits. From it, the gradients of the rows, the weight and the bias
//! are computed.

use rayon::prelude::*;

use super::product::{Destination, Matrix, Packed, product};
use super::real::Real;
use super::rows::{add_assign, column_sums, vectorised};

/// Number of rows in a block. The logits of one block are stored at the same time: with 30,522 outputs they take 31 MB
/// in f32.
const BLOCK: usize = 256;

/// Number of rows of a matrix product that one thread computes at a time.
const CHUNK: usize = 32;

/// Gradients of the mean cross-entropy over a vocabulary.
pub(crate) struct VocabularyLossGradients<T> {
    /// Gradient of the input rows, (rows, inputs).
    pub(crate) dx: Vec<T>,
    /// Gradient of the decoder's weight, (outputs, inputs).
    pub(crate) weight: Vec<T>,
    /// Gradient of the decoder's bias, (outputs).
    pub(crate) bias: Vec<T>,
}

/// Computes the mean cross-entropy of the logits x·Wᵀ + b against `targets`, for `x` (rows, inputs), `weight` (outputs,
/// inputs) and `bias` (outputs). If `gradients` is `true`, also returns the gradients of this loss. There must be at
/// least one row, and each target must be below the number of outputs.
pub(crate) fn decoder_cross_entropy<T: Real>(
    x: &[T],
    weight: &[T],
    bias: &[T],
    targets: &[u32],
    gradients: bool,
) -> (T, Option<VocabularyLossGradients<T>>) {
    let (outputs, rows) = (bias.len(), targets.len());
    let inputs = x.len() / rows;
    let share = T::from_f64(1.0 / rows as f64);
    let matrix = Matrix::new(weight, outputs, inputs);
    // The matrix is packed once, since every block of rows is multiplied by the whole matrix.
    let forth = Packed::new(matrix.transposed());
    let back = gradients.then(|| Packed::new(matrix));
    let mut sums = gradients.then(|| VocabularyLossGradients {
        dx: vec![T::ZERO; x.len()],
        weight: vec![T::ZERO; weight.len()],
        bias: vec![T::ZERO; outputs],
    });
    let mut loss = T::ZERO;
    let mut logits = vec![T::ZERO; BLOCK.min(rows) * outputs];
    for (block, (x, targets)) in x.chunks(BLOCK * inputs).zip(targets.chunks(BLOCK)).enumerate() {
        let logits = &mut logits[..targets.len() * outputs];
        let work = logits.par_chunks_mut(CHUNK * outputs).zip(x.par_chunks(CHUNK * inputs));
        work.for_each(|(logits, x)| {
            logits.chunks_exact_mut(outputs).for_each(|row| row.copy_from_slice(bias));
            let x = Matrix::new(x, x.len() / inputs, inputs);
            product(logits, outputs, Destination::Accumulate, T::ONE, x, &forth);
        });
        let losses: Vec<T> = logits
            .par_chunks_exact_mut(outputs)
            .zip(targets)
            .map(|(logits, target)| {
                vectorised(
                    #[inline(always)]
                    move || row_loss(logits, *target as usize, share),
                )
            })
            .collect();
        loss += losses.into_iter().sum();
        if let (Some(sums), Some(back)) = (&mut sums, &back) {
            let dx = &mut sums.dx[block * BLOCK * inputs..][..targets.len() * inputs];
            let work = dx.par_chunks_mut(CHUNK * inputs).zip(logits.par_chunks(CHUNK * outputs));
            work.for_each(|(dx, dlogits)| {
                let dlogits = Matrix::new(dlogits, dlogits.len() / outputs, outputs);
                product(dx, inputs, Destination::Overwrite, T::ONE, dlogits, back);
            });
            let x = Packed::new(Matrix::new(x, targets.len(), inputs));
            let dlogits = &*logits;
            sums.weight.par_chunks_mut(CHUNK * inputs).enumerate().for_each(|(chunk, weight)| {
                let first = chunk * CHUNK;
                let columns = weight.len() / inputs;
                // (rows, columns): the columns of the logits' gradients for these outputs
                let part = Matrix::strided(&dlogits[first..], targets.len(), columns, outputs);
                product(weight, inputs, Destination::Accumulate, T::ONE, part.transposed(), &x);
            });
            add_assign(&mut sums.bias, &column_sums(logits, outputs));
        }
    }
    (loss * share, sums)
}

/// Returns the cross-entropy of one row, and replaces its logits by their gradient (softmax − one-hot)·share. `share`
/// is the row's weight in the mean, 1/rows.
#[inline(always)]
fn row_loss<T: Real>(logits: &mut [T], target: usize, share: T) -> T {
    let target_logit = logits[target];
    let largest = largest(logits);
    for logit in logits.iter_mut() {
        *logit = (*logit - largest).exp();
    }
    let total = sum(logits);
    let scale = share / total;
    for logit in logits.iter_mut() {
        *logit *= scale;
    }
    logits[target] = logits[target] - share;
    largest - target_logit + total.ln()
}

/// Number of partial maxima and partial sums in a row, so that the loops over the row vectorise.
const LANES: usize = 16;

#[inline(always)]
fn largest<T: Real>(row: &[T]) -> T {
    let mut lanes = [row[0]; LANES];
    let (chunks, rest) = row.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane = x.max(*lane);
        }
    }
    lanes.iter().chain(rest).fold(row[0], |largest, x| x.max(largest))
}

#[inline(always)]
fn sum<T: Real>(row: &[T]) -> T {
    let mut lanes = [T::ZERO; LANES];
    let (chunks, rest) = row.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane += *x;
        }
    }
    lanes.iter().chain(rest).copied().sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::cpu::kernels::test_support::wave;

    const ROWS: usize = BLOCK + 3;
    const INPUTS: usize = 5;
    const OUTPUTS: usize = 37;

    fn targets() -> Vec<u32> {
        (0..ROWS).map(|row| ((row * 11) % OUTPUTS) as u32).collect()
    }

    fn loss(x: &[f64], weight: &[f64], bias: &[f64]) -> f64 {
        decoder_cross_entropy(x, weight, bias, &targets(), false).0
    }

    #[test]
    fn vocabulary_loss_is_exact_and_agrees_with_finite_differences() {
        let x: Vec<f64> = wave(ROWS * INPUTS, 0.7);
        let weight: Vec<f64> = wave::<f64>(OUTPUTS * INPUTS, 0.3).iter().map(|w| 2.0 * w).collect();
        let bias: Vec<f64> = wave(OUTPUTS, 0.9);
        let mut expected = 0.0;
        for (row, target) in x.chunks(INPUTS).zip(targets()) {
            let logit = |j: usize| bias[j] + row.iter().zip(&weight[j * INPUTS..]).map(|(a, b)| a * b).sum::<f64>();
            let total: f64 = (0..OUTPUTS).map(|j| logit(j).exp()).sum();
            expected += (total.ln() - logit(target as usize)) / ROWS as f64;
        }
        let (got, gradients) = decoder_cross_entropy(&x, &weight, &bias, &targets(), true);
        approx::assert_relative_eq!(got, expected, epsilon = 1e-12);
        assert_eq!(got, loss(&x, &weight, &bias));

        let gradients = gradients.expect("they were asked for");
        let step = 1e-5;
        let check = |numbers: &[f64], gradient: &[f64], f: &dyn Fn(&[f64]) -> f64| {
            assert_eq!(numbers.len(), gradient.len());
            for index in (0..numbers.len()).step_by(7) {
                let at = |shift: f64| {
                    let mut moved = numbers.to_vec();
                    moved[index] += shift;
                    f(&moved)
                };
                let slope = (at(step) - at(-step)) / (2.0 * step);
                approx::assert_relative_eq!(gradient[index], slope, epsilon = 1e-9, max_relative = 1e-5);
            }
        };
        check(&x, &gradients.dx, &|x| loss(x, &weight, &bias));
        check(&weight, &gradients.weight, &|weight| loss(&x, weight, &bias));
        check(&bias, &gradients.bias, &|bias| loss(&x, &weight, bias));
    }

    #[test]
    fn a_large_logit_does_not_overflow_and_nan_is_not_hidden() {
        let (loss, _) = decoder_cross_entropy(&[1.0f32], &[500.0, -500.0], &[0.0; 2], &[1], true);
        approx::assert_relative_eq!(loss, 1000.0);
        let (loss, _) = decoder_cross_entropy(&[f32::NAN], &[1.0, 2.0], &[0.0; 2], &[1], true);
        assert!(loss.is_nan());
    }
}
