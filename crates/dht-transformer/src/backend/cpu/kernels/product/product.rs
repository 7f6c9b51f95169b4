//! Matrix product: the only function that computes matrix products of this crate on the CPU. It also counts FLOPs.
//!
//! A product runs on one thread. Blocks of rows run in parallel, and each block runs all its products, so that the
//! output of a product is still in the cache when the next product reads it. The right factor is packed in panels of
//! three vectors. Weights are packed once for all blocks, in floating point or as bytes. Small factors are read in
//! place if their rows are contiguous.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::int8::Int8Product;
use super::matrix::{Destination, Matrix};
use super::packed::{Packed, PackedSlice, Panels, VECTORS, lanes, pack};
use super::tile::{Lines, Panel, Strip};
use crate::backend::cpu::kernels::real::Real;
use crate::flops::executed;

/// Right factor of a product: a plain matrix, or a part of a packed one.
#[derive(Clone, Copy)]
pub(crate) enum Right<'a, T> {
    Matrix(Matrix<'a, T>),
    PackedSlice(PackedSlice<'a, T>),
}

impl<'a, T> From<Matrix<'a, T>> for Right<'a, T> {
    fn from(matrix: Matrix<'a, T>) -> Self {
        Self::Matrix(matrix)
    }
}

impl<'a, T> From<PackedSlice<'a, T>> for Right<'a, T> {
    fn from(part: PackedSlice<'a, T>) -> Self {
        Self::PackedSlice(part)
    }
}

impl<'a, T: Real> From<&'a Packed<T>> for Right<'a, T> {
    fn from(packed: &'a Packed<T>) -> Self {
        Self::PackedSlice(packed.whole())
    }
}

/// Computes the matrix product C ← scale·A·B, or C ← C + scale·A·B, as `destination` says. Rows of C begin `stride`
/// values apart.
pub(crate) fn product<'a, T: Real>(
    c: &mut [T],
    stride: usize,
    destination: Destination,
    scale: T,
    a: Matrix<'_, T>,
    b: impl Into<Right<'a, T>>,
) {
    let b = b.into();
    let (inner, columns) = match b {
        Right::Matrix(b) => {
            b.check("right factor");
            (b.rows, b.columns)
        }
        Right::PackedSlice(b) => (b.rows.iter().map(Range::len).sum(), b.groups.len() * b.columns),
    };
    assert_eq!(a.columns, inner, "inner dimensions of a product");
    a.check("left factor");
    if a.rows == 0 || columns == 0 {
        return;
    }
    assert!((a.rows - 1) * stride + columns <= c.len(), "destination is too short");
    assert!(a.rows == 1 || columns <= stride, "rows of the destination overlap");
    executed::add(2 * (a.rows * columns * inner) as u64);
    pulp::Arch::new().dispatch(Product { c, stride, destination, scale, a, b });
}

struct Product<'c, 'a, 'b, T> {
    c: &'c mut [T],
    stride: usize,
    destination: Destination,
    scale: T,
    a: Matrix<'a, T>,
    b: Right<'b, T>,
}

impl<T: Real> WithSimd for Product<'_, '_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { c, stride, destination, scale, a, b } = self;
        let width = VECTORS * lanes::<S, T>();
        match b {
            Right::Matrix(b) => {
                let every = 0..b.rows;
                let mut panel = Vec::new();
                for first in (0..b.columns).step_by(width) {
                    let wide = width.min(b.columns - first);
                    let strip = Strip { a, rows: std::slice::from_ref(&every), wide, stride, destination, scale };
                    let c = &mut c[first..];
                    // The last vector may read beyond the columns, if there are values.
                    let end = (b.rows.max(1) - 1) * b.row_stride + first + wide.next_multiple_of(lanes::<S, T>());
                    if b.column_stride == 1 && end <= b.data.len() {
                        let lines = Lines { numbers: &b.data[first..], stride: b.row_stride };
                        strip.run_widest(simd, lines, c);
                    } else {
                        panel.resize(width * b.rows, T::ZERO);
                        pack(b, first..first + wide, &mut panel, width, 0);
                        strip.run_widest(simd, Panel(&panel), c);
                    }
                }
            }
            Right::PackedSlice(part) => {
                let (rows, columns) = (part.rows, part.columns);
                let numbers = match &part.packed.panels {
                    Panels::Real(numbers) => numbers,
                    Panels::Int8(panels) => {
                        return Int8Product { c, stride, destination, scale, a, part, panels }.run();
                    }
                };
                for (place, group) in part.groups.iter().enumerate() {
                    for first in (0..columns).step_by(width) {
                        let panel = part.packed.panel(numbers, width, *group, first);
                        let wide = width.min(columns - first);
                        let strip = Strip { a, rows, wide, stride, destination, scale };
                        strip.run_widest(simd, Panel(panel), &mut c[place * columns + first..]);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::cpu::kernels::product::Concatenated;

    fn naive(a: &[f64], b: &[f64], m: usize, n: usize, k: usize) -> Vec<f64> {
        let mut c = vec![0.0; m * n];
        for i in 0..m {
            for j in 0..n {
                c[i * n + j] = (0..k).map(|l| a[i * k + l] * b[l * n + j]).sum();
            }
        }
        c
    }

    #[test]
    fn a_product_equals_the_sum_of_its_definition_in_every_layout() {
        for (m, n, k) in [(1, 1, 1), (3, 5, 7), (17, 33, 9), (64, 70, 31), (29, 144, 5), (0, 3, 2), (3, 2, 0)] {
            let a: Vec<f64> = (0..m * k).map(|i| (i as f64 * 0.37).sin()).collect();
            let b: Vec<f64> = (0..k * n).map(|i| (i as f64 * 0.73).cos()).collect();
            let expected = naive(&a, &b, m, n, k);
            let mut b_transposed = vec![0.0; n * k];
            for l in 0..k {
                for j in 0..n {
                    b_transposed[j * k + l] = b[l * n + j];
                }
            }
            let mut a_transposed = vec![0.0; m * k];
            for i in 0..m {
                for l in 0..k {
                    a_transposed[l * m + i] = a[i * k + l];
                }
            }
            let lefts = [Matrix::new(&a, m, k), Matrix::new(&a_transposed, k, m).transposed()];
            let rights = [Matrix::new(&b, k, n), Matrix::new(&b_transposed, n, k).transposed()];
            for (left, right) in lefts.into_iter().flat_map(|left| rights.map(|right| (left, right))) {
                let mut c = vec![1.0; m * n];
                product(&mut c, n, Destination::Overwrite, 1.0, left, right);
                product(&mut c, n, Destination::Accumulate, 2.0, left, &Packed::new(right));
                for (got, want) in c.iter().zip(&expected) {
                    approx::assert_relative_eq!(*got, 3.0 * want, epsilon = 1e-10);
                }
            }
        }
    }

    #[test]
    fn a_product_with_part_of_a_packed_matrix_uses_its_submatrix() {
        // The factor has 40 rows and three groups of 50 columns. A group consists of two matrices of 20 and 30 columns
        // side by side, or of 20 and 30 rows below one another.
        let (rows, columns) = (40, 150);
        let b: Vec<f64> = (0..rows * columns).map(|i| (i as f64 * 0.73).cos()).collect();
        let matrix = |row: usize, column: usize, rows, width| {
            Matrix::strided(&b[row * columns + column..], rows, width, columns)
        };
        let beside: Vec<_> =
            (0..3).map(|group| vec![matrix(0, 50 * group, rows, 20), matrix(0, 50 * group + 20, rows, 30)]).collect();
        let below = vec![matrix(0, 0, 7, columns), matrix(7, 0, 33, columns)];
        let turned: Vec<_> = [matrix(0, 0, 15, columns), matrix(15, 0, 25, columns)].map(Matrix::transposed).into();
        let a: Vec<f64> = (0..11 * columns).map(|i| (i as f64 * 0.37).sin()).collect();
        let check =
            |packed: &Packed<f64>, at: &dyn Fn(usize, usize) -> f64, ranges: &[Range<usize>], groups: &[usize]| {
                let inner: Vec<usize> = ranges.iter().cloned().flatten().collect();
                for wide in [packed.columns, packed.columns - 9, 5] {
                    let width = groups.len() * wide;
                    let mut c = vec![0.0; 11 * width];
                    let left = Matrix::new(&a, 11, inner.len());
                    product(&mut c, width, Destination::Overwrite, 1.0, left, packed.part(ranges, groups, wide));
                    for (place, got) in c.iter().enumerate() {
                        let (i, j) = (place / width, place % width);
                        let column = groups[j / wide] * packed.columns + j % wide;
                        let terms = inner.iter().enumerate().map(|(l, row)| a[i * inner.len() + l] * at(*row, column));
                        approx::assert_relative_eq!(*got, terms.sum::<f64>(), epsilon = 1e-10);
                    }
                }
            };
        let straight = |row: usize, column: usize| b[row * columns + column];
        check(&Packed::from_groups(&beside, Concatenated::Columns), &straight, &[3..10, 12..13, 13..40], &[2, 0]);
        check(&Packed::from_groups(&[below], Concatenated::Rows), &straight, &[30..33, 0..8], &[0]);
        check(
            &Packed::from_groups(&[turned], Concatenated::Columns),
            &|row, column| straight(column, row),
            std::slice::from_ref(&(0..150)),
            &[0],
        );
    }

    #[test]
    #[should_panic(expected = "does not fit")]
    fn a_matrix_that_reaches_beyond_its_slice_is_refused() {
        let (mut c, a, b) = ([0.0; 4], [0.0; 3], [0.0; 4]);
        product(&mut c, 2, Destination::Overwrite, 1.0, Matrix::new(&a, 2, 2), Matrix::new(&b, 2, 2));
    }
}
