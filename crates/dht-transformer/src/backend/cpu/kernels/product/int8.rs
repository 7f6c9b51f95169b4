//! Matrix products A·B whose factors are rounded to eight bits:
//!
//! ```text
//! c(i, j) = sᵢ·tⱼ·Σₗ q(i, l)·w(l, j)      q = a / sᵢ, w = b / tⱼ, both rounded to −127 … 127
//! ```
//!
//! Each row of A has a scale sᵢ, and each column of B has a scale tⱼ: the largest absolute value divided by 127. A row
//! of the result C thus does not depend on the other rows of A. The sums of integers are exact, so they are the same on
//! every processor.
//!
//! The processor's instruction multiplies unsigned bytes by signed bytes. Hence w is stored as w + 128, and 128·Σₗ q(i,
//! l) is subtracted from the sum. Four rows of B are stored together, column by column, as one *line*. Rows of a line
//! that a product does not use are multiplied by zeros.

use std::cell::RefCell;
use std::ops::Range;

use super::int8_panels::{Int8Panels, OFFSET, rounded, scale_and_factor};
use super::int8_tile::{COLUMNS, Dots, Line, QUAD, Quad};
use super::matrix::{Destination, Matrix};
use super::packed::PackedSlice;
use crate::backend::cpu::kernels::real::Real;
use crate::backend::cpu::kernels::rows::array;

/// Returns whether this processor has instructions for dot products of bytes (AVX-512 VNNI).
pub(crate) fn has_int8_products() -> bool {
    Dots::new().are_accelerated()
}

/// Rows of a product's left factor A, rounded to bytes. Their values are arranged to match the lines (groups of four
/// rows) of the right factor B.
#[derive(Debug, Default)]
struct Rows {
    quads: Vec<Quad>,
    /// Number of quads (four neighbouring bytes) in each row of A.
    stride: usize,
    scales: Vec<f32>,
    /// Correction 128·Σₗ q(i, l) for each row i of A, where q are the rounded values. It is subtracted from the sums,
    /// because 128 is added to the values of the right factor B.
    offsets: Vec<i32>,
}

thread_local! {
    /// Buffer of this thread for the rounded left factor, reused by the next product.
    static ROWS: RefCell<Rows> = RefCell::default();
}

impl Rows {
    /// Rounds the rows of the left factor A to bytes. `rows` are the rows of the right factor B by which A's columns
    /// are multiplied.
    #[inline(always)]
    fn fill<T: Real>(&mut self, a: Matrix<'_, T>, rows: &[Range<usize>]) {
        self.stride = rows.iter().map(|rows| lines_of(rows).len()).sum();
        self.quads.clear();
        self.quads.resize(self.stride * a.rows, Quad::default());
        self.scales.clear();
        self.offsets.clear();
        for row in 0..a.rows {
            let from = row * a.row_stride;
            if a.column_stride == 1 {
                let values = &a.data[from..from + a.columns];
                self.fill_row(row, values, rows);
            } else {
                let values: Vec<T> = a.data[from..].iter().step_by(a.column_stride).take(a.columns).copied().collect();
                self.fill_row(row, &values, rows);
            }
        }
    }

    #[inline(always)]
    fn fill_row<T: Real>(&mut self, row: usize, mut values: &[T], rows: &[Range<usize>]) {
        let (scale, factor) = scale_and_factor(values);
        let mut quads = &mut self.quads[row * self.stride..][..self.stride];
        let mut sum = 0;
        for rows in rows {
            let (of_range, rest) = values.split_at(rows.len());
            let (bytes, others) = std::mem::take(&mut quads).split_at_mut(lines_of(rows).len());
            let bytes = &mut bytes.as_flattened_mut()[rows.start % QUAD..][..of_range.len()];
            for (byte, value) in bytes.iter_mut().zip(of_range) {
                *byte = rounded(value.as_f32(), factor);
            }
            sum += bytes.iter().map(|byte| i32::from(*byte)).sum::<i32>();
            (values, quads) = (rest, others);
        }
        self.scales.push(scale);
        self.offsets.push(OFFSET * sum);
    }

    fn row(&self, row: usize) -> &[Quad] {
        &self.quads[row * self.stride..][..self.stride]
    }
}

/// Indices of the lines (groups of four rows) that contain the rows `rows` of the right factor B.
fn lines_of(rows: &Range<usize>) -> Range<usize> {
    rows.start / QUAD..rows.end.div_ceil(QUAD)
}

/// Matrix product whose right factor is packed as bytes. The fields are the arguments of [`product`](super::product()).
pub(super) struct Int8Product<'c, 'a, 'b, T> {
    pub(super) c: &'c mut [T],
    pub(super) stride: usize,
    pub(super) destination: Destination,
    pub(super) scale: T,
    pub(super) a: Matrix<'a, T>,
    pub(super) part: PackedSlice<'b, T>,
    pub(super) panels: &'b Int8Panels,
}

impl<T: Real> Int8Product<'_, '_, '_, T> {
    #[inline(always)]
    pub(super) fn run(self) {
        let mut left = ROWS.take();
        left.fill(self.a, self.part.rows);
        let dots = Dots::new();
        let lines: Vec<Range<usize>> = self.part.rows.iter().map(lines_of).collect();
        for (place, group) in self.part.groups.iter().enumerate() {
            for first in (0..self.part.columns).step_by(COLUMNS) {
                let (panel, scales) = self.panels.panel(*group, first);
                let wide = COLUMNS.min(self.part.columns - first);
                let strip = Strip {
                    left: &left,
                    panel,
                    lines: &lines,
                    scales,
                    wide,
                    stride: self.stride,
                    destination: self.destination,
                    scale: self.scale.as_f32(),
                    dots,
                };
                strip.run(&mut self.c[place * self.part.columns + first..], self.a.rows);
            }
        }
        ROWS.set(left);
    }
}

/// Product of the left factor with one panel (48 columns) of the right factor.
struct Strip<'a> {
    left: &'a Rows,
    panel: &'a [Line],
    lines: &'a [Range<usize>],
    /// Scale of each column of the panel, by which the column's rounded values are multiplied.
    scales: &'a [f32; COLUMNS],
    /// Number of the panel's columns that the product needs.
    wide: usize,
    stride: usize,
    destination: Destination,
    scale: f32,
    dots: Dots,
}

impl Strip<'_> {
    #[inline(always)]
    fn run<T: Real>(&self, c: &mut [T], rows: usize) {
        let mut row = 0;
        while rows - row >= 8 {
            self.tile::<T, 8>(c, row);
            row += 8;
        }
        while row < rows {
            self.tile::<T, 1>(c, row);
            row += 1;
        }
    }

    #[inline(always)]
    fn tile<T: Real, const R: usize>(&self, c: &mut [T], row: usize) {
        let left: [&[Quad]; R] = array(|r| self.left.row(row + r));
        let dots = self.dots.compute(left, self.panel, self.lines, self.wide);
        for (r, dots) in dots.iter().enumerate() {
            let (scale, offset) = (self.scale * self.left.scales[row + r], self.left.offsets[row + r]);
            let c = &mut c[(row + r) * self.stride..][..self.wide];
            // A whole panel is stored by a loop of known length.
            match <&mut [T; COLUMNS]>::try_from(&mut *c) {
                Ok(c) => self.store(c, dots, (scale, offset)),
                Err(_) => self.store(c, dots, (scale, offset)),
            }
        }
    }

    #[inline(always)]
    fn store<T: Real>(&self, c: &mut [T], dots: &[i32; COLUMNS], (scale, offset): (f32, i32)) {
        let values = dots.iter().zip(self.scales).map(|(dot, own)| scale * own * (*dot - offset) as f32);
        match self.destination {
            Destination::Accumulate => {
                c.iter_mut().zip(values).for_each(|(c, value)| *c += T::from_f64(f64::from(value)));
            }
            Destination::Overwrite | Destination::OverwriteVectors => {
                c.iter_mut().zip(values).for_each(|(c, value)| *c = T::from_f64(f64::from(value)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::cpu::kernels::product::{Concatenated, Packed, product};
    use crate::backend::cpu::kernels::test_support::wave;

    /// Reference implementation of the rounding for tests. Returns the scale of each vector and the rounded values,
    /// computed directly by the formula.
    fn by_definition(numbers: &[f32], vectors: usize, at: impl Fn(usize, usize) -> usize) -> (Vec<f32>, Vec<i64>) {
        let of_vector = numbers.len() / vectors;
        let (mut scales, mut whole) = (Vec::new(), vec![0; numbers.len()]);
        for vector in 0..vectors {
            let values: Vec<f32> = (0..of_vector).map(|place| numbers[at(vector, place)]).collect();
            let most = values.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
            scales.push(most / 127.0);
            for (place, value) in values.iter().enumerate() {
                whole[at(vector, place)] = (f64::from(*value) * 127.0 / f64::from(most)).round() as i64;
            }
        }
        (scales, whole)
    }

    #[test]
    fn a_product_in_bytes_is_that_of_the_rounded_numbers() {
        for (m, n, k) in [(1, 1, 1), (3, 5, 7), (17, 33, 9), (64, 70, 31), (29, 144, 5), (11, 48, 64), (0, 3, 2)] {
            let (a, b) = (wave::<f32>(m * k, 0.37), wave::<f32>(k * n, 0.73));
            let (row_scales, q) = by_definition(&a, m.max(1), |row, l| row * k + l);
            let (column_scales, w) = by_definition(&b, n, |column, l| l * n + column);
            let packed = Packed::new(Matrix::new(&b, k, n)).in_int8();
            let mut c = vec![1.0; m * n];
            product(&mut c, n, Destination::Overwrite, 1.0, Matrix::new(&a, m, k), &packed);
            product(&mut c, n, Destination::Accumulate, 2.0, Matrix::new(&a, m, k), &packed);
            for (place, got) in c.iter().enumerate() {
                let (row, column) = (place / n, place % n);
                let sum: i64 = (0..k).map(|l| q[row * k + l] * w[l * n + column]).sum();
                let want = 3.0 * row_scales[row] * column_scales[column] * sum as f32;
                // An error in the last bit may round a tie to the other side.
                let one = 3.0 * 127.0 * row_scales[row] * column_scales[column];
                assert!((got - want).abs() <= 1.01 * one + 1e-6 * want.abs(), "{m} x {n} x {k}: {got} for {want}");
            }
            let exact =
                |row: usize, column: usize| 3.0 * (0..k).map(|l| a[row * k + l] * b[l * n + column]).sum::<f32>();
            let errors: f32 = c.iter().enumerate().map(|(place, c)| (c - exact(place / n, place % n)).powi(2)).sum();
            let size: f32 = (0..m * n).map(|place| exact(place / n, place % n).powi(2)).sum();
            assert!(errors <= 1e-4 * size, "{m} x {n} x {k}: {errors} of {size}");
        }
    }

    #[test]
    fn a_part_of_a_factor_in_bytes_is_those_rows_and_columns() {
        let (rows, columns) = (40, 150);
        let b = wave::<f32>(rows * columns, 0.73);
        let groups: Vec<_> = (0..3).map(|group| vec![Matrix::strided(&b[50 * group..], rows, 50, columns)]).collect();
        let packed = Packed::from_groups(&groups, Concatenated::Columns).in_int8();
        // The row ranges begin and end within lines, and neighbouring ranges share a line.
        let (ranges, groups) = ([3..10, 12..13, 13..40, 0..1], [2, 0]);
        let inner: Vec<usize> = ranges.iter().cloned().flatten().collect();
        let a = wave::<f32>(11 * inner.len(), 0.37);
        for wide in [50, 41, 5] {
            let mut c = vec![f32::NAN; 11 * 2 * wide];
            let left = Matrix::new(&a, 11, inner.len());
            product(&mut c, 2 * wide, Destination::Overwrite, 1.0, left, packed.part(&ranges, &groups, wide));
            for (place, got) in c.iter().enumerate() {
                let (i, j) = (place / (2 * wide), place % (2 * wide));
                let column = groups[j / wide] * 50 + j % wide;
                let terms = inner.iter().enumerate().map(|(l, row)| a[i * inner.len() + l] * b[row * columns + column]);
                let want: f32 = terms.sum();
                assert!((got - want).abs() < 0.05, "{got} for {want}");
            }
        }
    }

    #[test]
    fn a_row_is_independent_of_others_and_non_finite_becomes_nan() {
        let (a, b) = (wave::<f32>(19 * 30, 0.37), wave::<f32>(30 * 20, 0.73));
        let packed = Packed::new(Matrix::new(&b, 30, 20)).in_int8();
        let of = |a: &[f32]| {
            let mut c = vec![0.0; a.len() / 30 * 20];
            product(&mut c, 20, Destination::Overwrite, 1.0, Matrix::new(a, a.len() / 30, 30), &packed);
            c
        };
        let all = of(&a);
        (0..19).for_each(|row| assert_eq!(of(&a[row * 30..][..30]), all[row * 20..][..20], "row {row}"));
        for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut a = a.clone();
            a[2 * 30 + 7] = wrong;
            let c = of(&a);
            assert!(c[2 * 20..3 * 20].iter().all(|value| value.is_nan()), "{wrong}");
            assert_eq!((&c[..40], &c[60..]), (&all[..40], &all[60..]));
        }
        assert!(of(&[0.0; 30]).iter().all(|value| *value == 0.0));
    }
}
