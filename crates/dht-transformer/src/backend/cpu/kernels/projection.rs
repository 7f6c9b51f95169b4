//! Linear maps that read and write only some columns of rows.

use std::ops::Range;

use super::product::{Destination, Matrix, PackedSlice, product};
use super::real::Real;
use super::rows::CHUNK_ROWS;

/// Linear map from some columns of the input rows to some columns of the output rows, such as the projection of Q.
pub(crate) struct Projection<'a, T> {
    /// Columns of the input rows that the map reads; `None` for all columns.
    pub(crate) inputs: Option<&'a [u32]>,
    /// Columns of the output rows that the map writes.
    pub(crate) outputs: Range<usize>,
    /// Weight of the map, packed for one direction: (inputs, outputs) for the forward pass, (outputs, inputs) for the
    /// backward pass.
    pub(crate) weight: PackedSlice<'a, T>,
}

impl<T: Real> Projection<'_, T> {
    /// Computes x·Wᵀ with the map's weight W, and stores it in the map's columns of u. Rows of x have `hidden` values,
    /// rows of u have `wide` values.
    pub(super) fn forward(&self, x: &[T], hidden: usize, u: &mut [T], wide: usize) {
        let mut run = |first: usize, x: Matrix<'_, T>| {
            let u = &mut u[first * wide + self.outputs.start..];
            product(u, wide, Destination::Overwrite, T::ONE, x, self.weight);
        };
        let Some(inputs) = self.inputs else { return run(0, Matrix::new(x, x.len() / hidden, hidden)) };
        let mut gathered = Vec::new();
        for (chunk, x) in x.chunks(CHUNK_ROWS * hidden).enumerate() {
            gathered.clear();
            gather(x, hidden, inputs, &mut gathered);
            run(chunk * CHUNK_ROWS, Matrix::new(&gathered, x.len() / hidden, inputs.len()));
        }
    }

    /// Adds du·W to the columns of dx that the map reads, where W is the map's weight and du the gradient of its
    /// output. Rows of du have `wide` values, rows of dx have `hidden` values.
    pub(super) fn backward(&self, du: &[T], wide: usize, dx: &mut [T], hidden: usize) {
        let Some(inputs) = self.inputs else {
            return product(dx, hidden, Destination::Accumulate, T::ONE, self.gradients(du, wide), self.weight);
        };
        let mut gathered = vec![T::ZERO; CHUNK_ROWS * inputs.len()];
        for (du, dx) in du.chunks(CHUNK_ROWS * wide).zip(dx.chunks_mut(CHUNK_ROWS * hidden)) {
            let du = self.gradients(du, wide);
            product(&mut gathered, inputs.len(), Destination::Overwrite, T::ONE, du, self.weight);
            for (dx, gathered) in dx.chunks_exact_mut(hidden).zip(gathered.chunks_exact(inputs.len())) {
                inputs.iter().zip(gathered).for_each(|(input, number)| dx[*input as usize] += *number);
            }
        }
    }

    fn gradients<'d>(&self, du: &'d [T], wide: usize) -> Matrix<'d, T> {
        Matrix::strided(&du[self.outputs.start..], du.len() / wide, self.outputs.len(), wide)
    }
}

/// Appends the selected columns of each row to `gathered`.
pub(super) fn gather<T: Real>(rows: &[T], width: usize, columns: &[u32], gathered: &mut Vec<T>) {
    gathered.reserve(rows.len() / width * columns.len());
    rows.chunks_exact(width).for_each(|row| gathered.extend(columns.iter().map(|column| row[*column as usize])));
}
