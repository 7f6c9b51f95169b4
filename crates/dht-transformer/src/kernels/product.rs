//! The one function through which every matrix product of the crate runs, and its count.
//!
//! A product runs on one thread: what runs side by side are blocks of rows, each with all its products, so that what one
//! of them writes is still in the cache when the next one reads it. The right factor is laid out in panels of three
//! vectors; weights are laid out once for all blocks. A tile of eight rows by three vectors stays in registers while the
//! inner dimension passes by, which with AVX-512 takes two multiply-adds a cycle, all that there are.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use pulp::{Simd, WithSimd};

use super::real::Real;

/// FLOPs of all products of this process so far, two for each multiply-add.
static FLOPS: AtomicU64 = AtomicU64::new(0);

/// FLOPs of all matrix products that this process has run so far, two for each multiply-add.
///
/// The difference of two readings is what ran between them; it is exact, and equal to what
/// [`BlockShape`](crate::BlockShape) predicts. The count is one for the whole process.
pub fn product_flops() -> u64 {
    FLOPS.load(Ordering::Relaxed)
}

/// A matrix seen in a slice: element (row, column) lies at `row · row_stride + column · column_stride`. One of the two
/// strides is 1.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a, T> {
    data: &'a [T],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a, T> Matrix<'a, T> {
    /// Rows of `columns` numbers, `stride` numbers apart.
    pub(crate) fn strided(data: &'a [T], rows: usize, columns: usize, stride: usize) -> Self {
        Self { data, rows, columns, row_stride: stride, column_stride: 1 }
    }

    /// Rows one after another.
    pub(crate) fn new(data: &'a [T], rows: usize, columns: usize) -> Self {
        Self::strided(data, rows, columns, columns)
    }

    /// Rows and columns exchanged; nothing moves.
    pub(crate) fn transposed(self) -> Self {
        Self {
            data: self.data,
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
        }
    }

    fn check(&self, name: &str) {
        let last = (self.rows.max(1) - 1) * self.row_stride + (self.columns.max(1) - 1) * self.column_stride;
        let inside = self.rows == 0 || self.columns == 0 || last < self.data.len();
        assert!(inside, "{name}: {} x {} does not fit {} numbers", self.rows, self.columns, self.data.len());
    }
}

/// A right factor laid out in panels for many products.
///
/// Its columns come in groups of one width. Each group begins a panel of its own, so that a product can take some of them.
#[derive(Debug, Clone)]
pub(crate) struct Packed<T> {
    panels: Vec<T>,
    /// All of its rows.
    rows: Range<usize>,
    /// Columns of a group.
    columns: usize,
    /// All groups.
    groups: Vec<usize>,
}

/// How matrices that are laid out as one lie to one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Joined {
    Beside,
    Below,
}

impl<T: Real> Packed<T> {
    /// Lays a matrix out.
    pub(crate) fn new(matrix: Matrix<'_, T>) -> Self {
        Self::of(&[vec![matrix]], Joined::Beside)
    }

    /// Lays groups out, all of one shape, each of several matrices joined.
    pub(crate) fn of(groups: &[Vec<Matrix<'_, T>>], joined: Joined) -> Self {
        groups.iter().flatten().for_each(|matrix| matrix.check("right factor"));
        let sum = |size: fn(&Matrix<'_, T>) -> usize| groups.first().map_or(0, |group| group.iter().map(size).sum());
        let first = |size: fn(&Matrix<'_, T>) -> usize| groups.first().and_then(|group| group.first()).map_or(0, size);
        let (rows, columns) = match joined {
            Joined::Beside => (first(|matrix| matrix.rows), sum(|matrix| matrix.columns)),
            Joined::Below => (sum(|matrix| matrix.rows), first(|matrix| matrix.columns)),
        };
        let panels = pulp::Arch::new().dispatch(Pack { groups, joined, rows, columns });
        Self { panels, rows: 0..rows, columns, groups: (0..groups.len()).collect() }
    }

    /// Some of its rows, one range after another, and of some of its groups the first `columns` columns, side by side.
    pub(crate) fn part<'a>(&'a self, rows: &'a [Range<usize>], groups: &'a [usize], columns: usize) -> Part<'a, T> {
        assert!(rows.iter().all(|rows| rows.start <= rows.end && rows.end <= self.rows.end), "rows of a part");
        assert!(groups.iter().all(|group| *group < self.groups.len()) && columns <= self.columns, "columns of a part");
        Part { packed: self, rows, groups, columns }
    }
}

/// A part of a right factor that is laid out.
#[derive(Clone, Copy)]
pub(crate) struct Part<'a, T> {
    packed: &'a Packed<T>,
    rows: &'a [Range<usize>],
    groups: &'a [usize],
    columns: usize,
}

/// The right factor of a product.
#[derive(Clone, Copy)]
pub(crate) enum Right<'a, T> {
    Matrix(Matrix<'a, T>),
    Part(Part<'a, T>),
}

impl<'a, T> From<Matrix<'a, T>> for Right<'a, T> {
    fn from(matrix: Matrix<'a, T>) -> Self {
        Self::Matrix(matrix)
    }
}

impl<'a, T> From<Part<'a, T>> for Right<'a, T> {
    fn from(part: Part<'a, T>) -> Self {
        Self::Part(part)
    }
}

impl<'a, T> From<&'a Packed<T>> for Right<'a, T> {
    fn from(packed: &'a Packed<T>) -> Self {
        let (rows, groups) = (std::slice::from_ref(&packed.rows), &packed.groups[..]);
        Self::Part(Part { packed, rows, groups, columns: packed.columns })
    }
}

/// What happens to the numbers that are already in the destination.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Destination {
    Overwrite,
    Accumulate,
}

/// C ← scale·A·B, or C ← C + scale·A·B; rows of C lie `stride` numbers apart.
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
        Right::Part(b) => (b.rows.iter().map(Range::len).sum(), b.groups.len() * b.columns),
    };
    assert_eq!(a.columns, inner, "inner dimensions of a product");
    a.check("left factor");
    if a.rows == 0 || columns == 0 {
        return;
    }
    assert!((a.rows - 1) * stride + columns <= c.len(), "destination is too short");
    assert!(a.rows == 1 || columns <= stride, "rows of the destination overlap");
    FLOPS.fetch_add(2 * (a.rows * columns * inner) as u64, Ordering::Relaxed);
    pulp::Arch::new().dispatch(Product { c, stride, destination, scale, a, b });
}

/// Vectors of a panel's row.
const VECTORS: usize = 3;
/// Numbers of the widest panel's row: of AVX-512's vectors.
const WIDEST: usize = VECTORS * 16;

/// Numbers in a vector.
#[inline(always)]
fn lanes<S: Simd, T: Real>() -> usize {
    size_of::<T::Vector<S>>() / size_of::<T>()
}

struct Pack<'a, 'b, T> {
    groups: &'a [Vec<Matrix<'b, T>>],
    joined: Joined,
    rows: usize,
    columns: usize,
}

impl<T: Real> WithSimd for Pack<'_, '_, T> {
    type Output = Vec<T>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Vec<T> {
        let width = VECTORS * lanes::<S, T>();
        let of_group = self.columns.div_ceil(width) * width * self.rows;
        let mut panels = vec![T::ZERO; of_group * self.groups.len()];
        for (group, panels) in self.groups.iter().zip(panels.chunks_exact_mut(of_group.max(1))) {
            for (index, panel) in panels.chunks_exact_mut((width * self.rows).max(1)).enumerate() {
                let (first, end) = (index * width, self.columns.min((index + 1) * width));
                let mut start = 0; // of a matrix in its group: a column, or a row
                for matrix in group {
                    match self.joined {
                        Joined::Below => {
                            pack(*matrix, first..end, &mut panel[start * width..][..matrix.rows * width], width, 0);
                            start += matrix.rows;
                        }
                        Joined::Beside => {
                            let (from, to) = (first.max(start), end.min(start + matrix.columns));
                            if from < to {
                                pack(*matrix, from - start..to - start, panel, width, from - first);
                            }
                            start += matrix.columns;
                        }
                    }
                }
            }
        }
        panels
    }
}

/// Some columns of B, row after row, from a column of the panel on; its other numbers stay as they are.
#[inline(always)]
fn pack<T: Real>(b: Matrix<'_, T>, columns: Range<usize>, panel: &mut [T], width: usize, place: usize) {
    let wide = columns.len();
    if b.column_stride == 1 {
        for (l, row) in panel.chunks_exact_mut(width).enumerate() {
            let start = l * b.row_stride + columns.start;
            row[place..place + wide].copy_from_slice(&b.data[start..start + wide]);
        }
        return;
    }
    // A few rows at a time, so that the lines that are written stay in the first-level cache.
    const STEP: usize = 16;
    for (step, rows) in panel.chunks_mut(STEP * width).enumerate() {
        let height = rows.len() / width;
        for j in 0..wide {
            let start = (columns.start + j) * b.column_stride + step * STEP;
            let source = &b.data[start..start + height];
            for (row, value) in rows.chunks_exact_mut(width).zip(source) {
                row[place + j] = *value;
            }
        }
    }
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
                let mut panel = vec![T::ZERO; width * b.rows];
                let every = 0..b.rows;
                let rows = std::slice::from_ref(&every);
                for first in (0..b.columns).step_by(width) {
                    let end = b.columns.min(first + width);
                    pack(b, first..end, &mut panel, width, 0);
                    let strip = Strip { a, panel: &panel, rows, wide: end - first, stride, destination, scale };
                    strip.run_widest(simd, &mut c[first..]);
                }
            }
            Right::Part(Part { packed, rows, groups, columns }) => {
                let of_panel = width * packed.rows.len();
                let of_group = packed.columns.div_ceil(width) * of_panel;
                for (place, group) in groups.iter().enumerate() {
                    for first in (0..columns).step_by(width) {
                        let panel = &packed.panels[group * of_group + first / width * of_panel..][..of_panel];
                        let wide = width.min(columns - first);
                        let strip = Strip { a, panel, rows, wide, stride, destination, scale };
                        strip.run_widest(simd, &mut c[place * columns + first..]);
                    }
                }
            }
        }
    }
}

/// A product with one panel: `wide` columns of C.
struct Strip<'a, T> {
    a: Matrix<'a, T>,
    panel: &'a [T],
    /// The panel's rows that the columns of A meet, in their order.
    rows: &'a [Range<usize>],
    wide: usize,
    stride: usize,
    destination: Destination,
    scale: T,
}

impl<T: Real> Strip<'_, T> {
    #[inline(always)]
    fn run_widest<S: Simd>(&self, simd: S, c: &mut [T]) {
        match self.wide.div_ceil(lanes::<S, T>()) {
            1 => self.run::<S, 1>(simd, c),
            2 => self.run::<S, 2>(simd, c),
            _ => self.run::<S, VECTORS>(simd, c),
        }
    }

    #[inline(always)]
    fn run<S: Simd, const V: usize>(&self, simd: S, c: &mut [T]) {
        let mut row = 0;
        // With sixteen registers a tile of eight rows would spill.
        while S::REGISTER_COUNT >= 32 && self.a.rows - row >= 8 {
            self.tile::<S, 8, V>(simd, c, row);
            row += 8;
        }
        while self.a.rows - row >= 4 {
            self.tile::<S, 4, V>(simd, c, row);
            row += 4;
        }
        while row < self.a.rows {
            self.tile::<S, 1, V>(simd, c, row);
            row += 1;
        }
    }

    /// `R` rows of C by `V` vectors.
    #[inline(always)]
    fn tile<S: Simd, const R: usize, const V: usize>(&self, simd: S, c: &mut [T], row: usize) {
        let a = self.a;
        let panel = T::vectors::<S>(self.panel).as_chunks::<VECTORS>().0;
        let mut sums = [[T::splat(simd, T::ZERO); V]; R];
        let mut first = 0;
        for rows in self.rows {
            let (panel, inner) = (&panel[rows.start..rows.end], rows.len());
            sums = if a.column_stride == 1 {
                let rows: [&[T]; R] = std::array::from_fn(|r| &a.data[(row + r) * a.row_stride + first..][..inner]);
                sums_over_rows::<S, T, R, V>(simd, rows, panel, sums)
            } else {
                let columns = a.data.get(first * a.column_stride + row..).unwrap_or_default();
                sums_over_columns::<S, T, R, V>(simd, columns, a.column_stride, panel, sums)
            };
            first += inner;
        }
        // Short counted loops: where they are not unrolled, the sums are indexed and leave their registers.
        let scale = T::splat(simd, self.scale);
        let c = &mut c[row * self.stride..];
        if self.wide < V * lanes::<S, T>() {
            let mut lines = [[T::ZERO; WIDEST]; R];
            for r in 0..R {
                let line = T::vectors_mut::<S>(&mut lines[r]);
                for v in 0..V {
                    line[v] = T::multiply(simd, scale, sums[r][v]);
                }
            }
            self.store_part(&lines, c);
        } else if self.destination == Destination::Overwrite {
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

    /// The first `wide` numbers of each line into a row of C.
    fn store_part(&self, lines: &[[T; WIDEST]], c: &mut [T]) {
        for (r, line) in lines.iter().enumerate() {
            for (out, value) in c[r * self.stride..][..self.wide].iter_mut().zip(line) {
                *out = match self.destination {
                    Destination::Overwrite => *value,
                    Destination::Accumulate => *out + *value,
                };
            }
        }
    }
}

/// Sums + Σₗ a(r, l)·b(l, v) for a whose rows are given.
#[inline(always)]
fn sums_over_rows<S: Simd, T: Real, const R: usize, const V: usize>(
    simd: S,
    rows: [&[T]; R],
    panel: &[[T::Vector<S>; VECTORS]],
    mut sums: [[T::Vector<S>; V]; R],
) -> [[T::Vector<S>; V]; R] {
    let rows = rows.map(|row| &row[..panel.len()]);
    for l in 0..panel.len() {
        let b = panel[l];
        for r in 0..R {
            let factor = T::splat(simd, rows[r][l]);
            for v in 0..V {
                sums[r][v] = T::multiply_add(simd, factor, b[v], sums[r][v]);
            }
        }
    }
    sums
}

/// Sums + Σₗ a(r, l)·b(l, v) for a whose columns lie `stride` apart.
#[inline(always)]
fn sums_over_columns<S: Simd, T: Real, const R: usize, const V: usize>(
    simd: S,
    a: &[T],
    stride: usize,
    panel: &[[T::Vector<S>; VECTORS]],
    mut sums: [[T::Vector<S>; V]; R],
) -> [[T::Vector<S>; V]; R] {
    for (l, b) in panel.iter().enumerate() {
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

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_product_with_a_part_of_a_laid_out_matrix_equals_the_product_with_those_rows_and_columns() {
        // Three groups of 50 columns in two matrices of 20 and 30, and the same below one another; 40 rows.
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
        check(&Packed::of(&beside, Joined::Beside), &straight, &[3..10, 12..13, 13..40], &[2, 0]);
        check(&Packed::of(&[below], Joined::Below), &straight, &[30..33, 0..8], &[0]);
        check(
            &Packed::of(&[turned], Joined::Beside),
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
