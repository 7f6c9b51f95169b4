//! The one function through which every matrix product of the crate runs, and its count.
//!
//! A product runs on one thread: what runs side by side are blocks of rows, each with all its products, so that what one
//! of them writes is still in the cache when the next one reads it. The right factor is laid out in panels of three
//! vectors; weights are laid out once for all blocks. A tile of eight rows by three vectors stays in registers while the
//! inner dimension passes by, which with AVX-512 takes two multiply-adds a cycle, all that there are.

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
#[derive(Debug, Clone)]
pub(crate) struct Packed<T> {
    panels: Vec<T>,
    rows: usize,
    columns: usize,
}

impl<T: Real> Packed<T> {
    /// Lays a matrix out.
    pub(crate) fn new(matrix: Matrix<'_, T>) -> Self {
        matrix.check("right factor");
        let panels = pulp::Arch::new().dispatch(Pack(matrix));
        Self { panels, rows: matrix.rows, columns: matrix.columns }
    }
}

/// The right factor of a product.
#[derive(Clone, Copy)]
pub(crate) enum Right<'a, T> {
    Matrix(Matrix<'a, T>),
    Packed(&'a Packed<T>),
}

impl<'a, T> From<Matrix<'a, T>> for Right<'a, T> {
    fn from(matrix: Matrix<'a, T>) -> Self {
        Self::Matrix(matrix)
    }
}

impl<'a, T> From<&'a Packed<T>> for Right<'a, T> {
    fn from(packed: &'a Packed<T>) -> Self {
        Self::Packed(packed)
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
        Right::Packed(b) => (b.rows, b.columns),
    };
    assert_eq!(a.columns, inner, "inner dimensions of a product");
    a.check("left factor");
    if a.rows == 0 || columns == 0 {
        return;
    }
    assert!((a.rows - 1) * stride + columns <= c.len(), "destination is too short");
    assert!(a.rows == 1 || columns <= stride, "rows of the destination overlap");
    FLOPS.fetch_add(2 * (a.rows * columns * inner) as u64, Ordering::Relaxed);
    pulp::Arch::new().dispatch(Product { c, stride, destination, scale, a, b, columns });
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

struct Pack<'a, T>(Matrix<'a, T>);

impl<T: Real> WithSimd for Pack<'_, T> {
    type Output = Vec<T>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Vec<T> {
        let width = VECTORS * lanes::<S, T>();
        let mut panels = vec![T::ZERO; self.0.columns.div_ceil(width) * width * self.0.rows];
        for (index, panel) in panels.chunks_exact_mut((width * self.0.rows).max(1)).enumerate() {
            pack(self.0, index * width, width, panel);
        }
        panels
    }
}

/// Columns `first..first + width` of B, row after row; numbers beyond the last column stay as they are.
#[inline(always)]
fn pack<T: Real>(b: Matrix<'_, T>, first: usize, width: usize, panel: &mut [T]) {
    let wide = width.min(b.columns - first);
    if b.column_stride == 1 {
        for (l, row) in panel.chunks_exact_mut(width).enumerate() {
            let start = l * b.row_stride + first;
            row[..wide].copy_from_slice(&b.data[start..start + wide]);
        }
        return;
    }
    // A few rows at a time, so that the lines that are written stay in the first-level cache.
    const STEP: usize = 16;
    for (step, rows) in panel.chunks_mut(STEP * width).enumerate() {
        let height = rows.len() / width;
        for j in 0..wide {
            let start = (first + j) * b.column_stride + step * STEP;
            let source = &b.data[start..start + height];
            for (row, value) in rows.chunks_exact_mut(width).zip(source) {
                row[j] = *value;
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
    columns: usize,
}

impl<T: Real> WithSimd for Product<'_, '_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { c, stride, destination, scale, a, b, columns } = self;
        let lanes = lanes::<S, T>();
        let width = VECTORS * lanes;
        let mut scratch = match b {
            Right::Matrix(_) => vec![T::ZERO; width * a.columns],
            Right::Packed(_) => Vec::new(),
        };
        for first in (0..columns).step_by(width) {
            let panel = match b {
                Right::Matrix(b) => {
                    pack(b, first, width, &mut scratch);
                    &scratch[..]
                }
                Right::Packed(b) => &b.panels[first * a.columns..][..width * a.columns],
            };
            let wide = width.min(columns - first);
            let strip = Strip { a, panel, wide, stride, destination, scale };
            let c = &mut c[first..];
            match wide.div_ceil(lanes) {
                1 => strip.run::<S, 1>(simd, c),
                2 => strip.run::<S, 2>(simd, c),
                _ => strip.run::<S, VECTORS>(simd, c),
            }
        }
    }
}

/// A product with one panel: `wide` columns of C.
struct Strip<'a, T> {
    a: Matrix<'a, T>,
    panel: &'a [T],
    wide: usize,
    stride: usize,
    destination: Destination,
    scale: T,
}

impl<T: Real> Strip<'_, T> {
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
        let (a, inner) = (self.a, self.a.columns);
        let panel = &T::vectors::<S>(self.panel).as_chunks::<VECTORS>().0[..inner];
        let sums: [[T::Vector<S>; V]; R] = if a.column_stride == 1 {
            let rows: [&[T]; R] = std::array::from_fn(|r| &a.data[(row + r) * a.row_stride..][..inner]);
            sums_over_rows::<S, T, R, V>(simd, rows, panel)
        } else {
            sums_over_columns::<S, T, R, V>(simd, a.data.get(row..).unwrap_or_default(), a.column_stride, panel)
        };
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

/// Σₗ a(r, l)·b(l, v) for a whose rows are given.
#[inline(always)]
fn sums_over_rows<S: Simd, T: Real, const R: usize, const V: usize>(
    simd: S,
    rows: [&[T]; R],
    panel: &[[T::Vector<S>; VECTORS]],
) -> [[T::Vector<S>; V]; R] {
    let rows = rows.map(|row| &row[..panel.len()]);
    let mut sums = [[T::splat(simd, T::ZERO); V]; R];
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

/// Σₗ a(r, l)·b(l, v) for a whose columns lie `stride` apart.
#[inline(always)]
fn sums_over_columns<S: Simd, T: Real, const R: usize, const V: usize>(
    simd: S,
    a: &[T],
    stride: usize,
    panel: &[[T::Vector<S>; VECTORS]],
) -> [[T::Vector<S>; V]; R] {
    let mut sums = [[T::splat(simd, T::ZERO); V]; R];
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
    #[should_panic(expected = "does not fit")]
    fn a_matrix_that_reaches_beyond_its_slice_is_refused() {
        let (mut c, a, b) = ([0.0; 4], [0.0; 3], [0.0; 4]);
        product(&mut c, 2, Destination::Overwrite, 1.0, Matrix::new(&a, 2, 2), Matrix::new(&b, 2, 2));
    }
}
