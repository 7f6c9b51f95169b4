//! Tiles of a matrix product: eight rows by three vectors, whose sums stay in registers for the whole inner dimension.
//! With AVX-512 this reaches the maximum of two multiply-adds in each cycle.
//!
//! Loops over a tile's sums have constant, short trip counts. If the compiler does not unroll these loops, the sums
//! leave the registers, and a product takes three times as long.

use std::ops::Range;

use pulp::Simd;

use super::matrix::{Destination, Matrix};
use super::packed::{VECTORS, WIDEST, lanes};
use crate::backend::cpu::kernels::real::Real;
use crate::backend::cpu::kernels::rows::array;

/// Source of the right factor's values in a matrix product. It returns up to three neighbouring SIMD vectors of a row.
pub(crate) trait Columns<T: Real>: Copy {
    /// Reads the first `V` SIMD vectors of each row in a range.
    fn rows<S: Simd, const V: usize>(self, rows: Range<usize>) -> impl Iterator<Item = [T::Vector<S>; V]>;
}

/// Panel of a packed right factor: contiguous rows of three SIMD vectors.
#[derive(Clone, Copy)]
pub(crate) struct Panel<'a, T>(pub(crate) &'a [T]);

impl<T: Real> Columns<T> for Panel<'_, T> {
    #[inline(always)]
    fn rows<S: Simd, const V: usize>(self, rows: Range<usize>) -> impl Iterator<Item = [T::Vector<S>; V]> {
        let panel = &T::vectors::<S>(self.0).as_chunks::<VECTORS>().0[rows];
        panel.iter().map(
            #[inline(always)]
            |row| {
                array(
                    #[inline(always)]
                    |v| row[v],
                )
            },
        )
    }
}

/// Unpacked right factor, whose rows begin `stride` values apart.
#[derive(Clone, Copy)]
pub(crate) struct Lines<'a, T> {
    pub(crate) numbers: &'a [T],
    pub(crate) stride: usize,
}

impl<T: Real> Columns<T> for Lines<'_, T> {
    #[inline(always)]
    fn rows<S: Simd, const V: usize>(self, rows: Range<usize>) -> impl Iterator<Item = [T::Vector<S>; V]> {
        rows.map(
            #[inline(always)]
            move |row| {
                let line = T::vectors::<S>(&self.numbers[row * self.stride..][..V * lanes::<S, T>()]);
                array(
                    #[inline(always)]
                    |v| line[v],
                )
            },
        )
    }
}

/// Computation of `wide` neighbouring columns of a matrix product C.
pub(crate) struct Strip<'a, T> {
    pub(crate) a: Matrix<'a, T>,
    /// Rows of the right factor by which the columns of the left factor A are multiplied, in order.
    pub(crate) rows: &'a [Range<usize>],
    pub(crate) wide: usize,
    pub(crate) stride: usize,
    pub(crate) destination: Destination,
    pub(crate) scale: T,
}

impl<T: Real> Strip<'_, T> {
    #[inline(always)]
    pub(crate) fn run_widest<S: Simd>(&self, simd: S, b: impl Columns<T>, c: &mut [T]) {
        match self.wide.div_ceil(lanes::<S, T>()) {
            1 => self.run::<S, 1>(simd, b, c),
            2 => self.run::<S, 2>(simd, b, c),
            _ => self.run::<S, VECTORS>(simd, b, c),
        }
    }

    #[inline(always)]
    fn run<S: Simd, const V: usize>(&self, simd: S, b: impl Columns<T>, c: &mut [T]) {
        let mut row = 0;
        // With sixteen registers a tile of eight rows would spill.
        while S::REGISTER_COUNT >= 32 && self.a.rows - row >= 8 {
            self.tile::<S, 8, V>(simd, b, c, row);
            row += 8;
        }
        while self.a.rows - row >= 4 {
            self.tile::<S, 4, V>(simd, b, c, row);
            row += 4;
        }
        while row < self.a.rows {
            self.tile::<S, 1, V>(simd, b, c, row);
            row += 1;
        }
    }

    /// Computes a tile of the result C: `R` rows by `V` SIMD vectors, beginning at row number `row`.
    #[inline(always)]
    fn tile<S: Simd, const R: usize, const V: usize>(&self, simd: S, b: impl Columns<T>, c: &mut [T], row: usize) {
        let a = self.a;
        let mut sums = [[T::splat(simd, T::ZERO); V]; R];
        let mut first = 0;
        for rows in self.rows {
            let (b, inner) = (b.rows::<S, V>(rows.clone()), rows.len());
            sums = if a.column_stride == 1 {
                let left: [&[T]; R] = array(|r| &a.data[(row + r) * a.row_stride + first..][..inner]);
                sums_over_rows::<S, T, R, V>(simd, left, inner, b, sums)
            } else {
                let columns = a.data.get(first * a.column_stride + row..).unwrap_or_default();
                sums_over_columns::<S, T, R, V>(simd, columns, a.column_stride, inner, b, sums)
            };
            first += inner;
        }
        // The loops have constant trip counts, so that they are unrolled. Otherwise the sums would be indexed in memory
        // and leave their registers.
        let scale = T::splat(simd, self.scale);
        let c = &mut c[row * self.stride..];
        if self.wide < V * lanes::<S, T>() && self.destination != Destination::OverwriteVectors {
            let mut lines = [[T::ZERO; WIDEST]; R];
            for r in 0..R {
                let line = T::vectors_mut::<S>(&mut lines[r]);
                for v in 0..V {
                    line[v] = T::multiply(simd, scale, sums[r][v]);
                }
            }
            self.store_part(&lines, c);
        } else if self.destination != Destination::Accumulate {
            for r in 0..R {
                let out = &mut T::vectors_mut::<S>(&mut c[r * self.stride..])[..V];
                for v in 0..V {
                    out[v] = T::multiply(simd, scale, sums[r][v]);
                }
            }
        } else {
            for r in 0..R {
                let out = &mut T::vectors_mut::<S>(&mut c[r * self.stride..])[..V];
                for v in 0..V {
                    out[v] = T::multiply_add(simd, scale, sums[r][v], out[v]);
                }
            }
        }
    }

    /// Stores the first `wide` values of each computed row into the result C.
    #[inline]
    fn store_part(&self, lines: &[[T; WIDEST]], c: &mut [T]) {
        for (r, line) in lines.iter().enumerate() {
            for (out, value) in c[r * self.stride..][..self.wide].iter_mut().zip(line) {
                *out = match self.destination {
                    Destination::Accumulate => *out + *value,
                    Destination::Overwrite | Destination::OverwriteVectors => *value,
                };
            }
        }
    }
}

/// Adds the products Σₗ a(r, l)·b(l, v) to `sums`. The rows of the left factor a must be contiguous.
#[inline(always)]
fn sums_over_rows<S: Simd, T: Real, const R: usize, const V: usize>(
    simd: S,
    rows: [&[T]; R],
    inner: usize,
    b: impl Iterator<Item = [T::Vector<S>; V]>,
    mut sums: [[T::Vector<S>; V]; R],
) -> [[T::Vector<S>; V]; R] {
    let rows: [&[T]; R] = array(|r| &rows[r][..inner]);
    for (l, b) in (0..inner).zip(b) {
        for r in 0..R {
            let factor = T::splat(simd, rows[r][l]);
            for v in 0..V {
                sums[r][v] = T::multiply_add(simd, factor, b[v], sums[r][v]);
            }
        }
    }
    sums
}

/// Adds the products Σₗ a(r, l)·b(l, v) to `sums`. The columns of the left factor a begin `stride` values apart.
#[inline(always)]
fn sums_over_columns<S: Simd, T: Real, const R: usize, const V: usize>(
    simd: S,
    a: &[T],
    stride: usize,
    inner: usize,
    b: impl Iterator<Item = [T::Vector<S>; V]>,
    mut sums: [[T::Vector<S>; V]; R],
) -> [[T::Vector<S>; V]; R] {
    for (l, b) in (0..inner).zip(b) {
        let column = &a[l * stride..][..R];
        for r in 0..R {
            let factor = T::splat(simd, column[r]);
            for v in 0..V {
                sums[r][v] = T::multiply_add(simd, factor, b[v], sums[r][v]);
            }
        }
    }
    sums
}
