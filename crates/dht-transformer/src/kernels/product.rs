//! The one function through which every matrix product of the crate runs, and its count.

#![expect(unsafe_code, reason = "the gemm crate takes raw pointers; every bound is checked here first")]

use std::any::TypeId;
use std::sync::atomic::{AtomicU64, Ordering};

use gemm::Parallelism;

use super::real::Real;
use super::rows::vectorised;

/// FLOPs of all products of this process so far, two for each multiply-add.
static FLOPS: AtomicU64 = AtomicU64::new(0);

/// FLOPs of all matrix products that this process has run so far, two for each multiply-add.
///
/// The difference of two readings is what ran between them; it is exact, and equal to what
/// [`BlockShape`](crate::BlockShape) predicts. The count is one for the whole process.
pub fn product_flops() -> u64 {
    FLOPS.load(Ordering::Relaxed)
}

/// A matrix seen in a slice: element (row, column) lies at `row · row_stride + column · column_stride`.
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

/// Whether a product may use the thread pool or runs inside a task that already does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Threads {
    All,
    One,
}

/// What happens to the numbers that are already in the destination.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Destination {
    Overwrite,
    Accumulate,
}

/// C ← scale·A·B, or C ← C + scale·A·B; rows of C lie `stride` numbers apart.
pub(crate) fn product<T: Real>(
    c: &mut [T],
    stride: usize,
    destination: Destination,
    scale: T,
    a: Matrix<'_, T>,
    b: Matrix<'_, T>,
    threads: Threads,
) {
    assert_eq!(a.columns, b.rows, "inner dimensions of a product");
    a.check("left factor");
    b.check("right factor");
    let (rows, columns, inner) = (a.rows, b.columns, a.columns);
    if rows == 0 || columns == 0 {
        return;
    }
    assert!((rows - 1) * stride + columns <= c.len() && columns <= stride.max(columns), "destination is too short");
    assert!(rows == 1 || columns <= stride, "rows of the destination overlap");
    FLOPS.fetch_add(2 * (rows * columns * inner) as u64, Ordering::Relaxed);
    if rows * columns * inner <= SMALL && inner * columns <= SMALL_FACTOR {
        small_product(c, stride, destination, scale, a, b);
        return;
    }
    let parallelism = match threads {
        // Below this many multiply-adds waking the other threads costs more than they save.
        Threads::All if rows * columns * inner >= 1 << 16 => Parallelism::Rayon(0),
        _ => Parallelism::None,
    };
    const {
        assert!(std::mem::size_of::<usize>() == 8, "strides are converted to isize");
    }
    debug_assert!(TypeId::of::<T>() == TypeId::of::<f32>() || TypeId::of::<T>() == TypeId::of::<f64>());
    // SAFETY: `check` has shown that the last element of each factor lies in its slice, the assertions above that the
    // last element of the destination does and that its rows do not overlap; `c` is borrowed mutably, so it aliases
    // neither factor; T is f32 or f64 (the only implementors of `Real`), which gemm takes.
    unsafe {
        gemm::gemm(
            rows,
            columns,
            inner,
            c.as_mut_ptr(),
            1,
            stride as isize,
            destination == Destination::Accumulate,
            a.data.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            T::ONE,
            scale,
            false,
            false,
            false,
            parallelism,
        );
    }
}

/// Up to so many multiply-adds a product runs by rows: packing would cost more than it saves. Attention over short
/// texts with narrow heads is made of such products.
const SMALL: usize = 1 << 14;
/// Numbers of the right factor that fit the buffer of a product by rows.
const SMALL_FACTOR: usize = 1 << 10;

/// C row by row: each number of A times a row of B. Transposed factors are copied first, so that rows are contiguous.
fn small_product<T: Real>(
    c: &mut [T],
    stride: usize,
    destination: Destination,
    scale: T,
    a: Matrix<'_, T>,
    b: Matrix<'_, T>,
) {
    let (columns, inner) = (b.columns, a.columns);
    let mut buffer = [T::ZERO; SMALL_FACTOR];
    vectorised(
        #[inline(always)]
        || {
            let (b_rows, b_stride) = if b.column_stride == 1 {
                (b.data, b.row_stride)
            } else {
                for (l, row) in buffer.chunks_exact_mut(columns).take(inner).enumerate() {
                    for (j, value) in row.iter_mut().enumerate() {
                        *value = b.data[l * b.row_stride + j * b.column_stride];
                    }
                }
                (&buffer[..], columns)
            };
            for i in 0..a.rows {
                let row = &mut c[i * stride..i * stride + columns];
                if destination == Destination::Overwrite {
                    row.fill(T::ZERO);
                }
                for l in 0..inner {
                    let factor = scale * a.data[i * a.row_stride + l * a.column_stride];
                    for (c, b) in row.iter_mut().zip(&b_rows[l * b_stride..l * b_stride + columns]) {
                        *c += factor * *b;
                    }
                }
            }
        },
    );
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
        for (m, n, k) in [(1, 1, 1), (3, 5, 7), (17, 33, 9), (64, 70, 31)] {
            let a: Vec<f64> = (0..m * k).map(|i| (i as f64 * 0.37).sin()).collect();
            let b: Vec<f64> = (0..k * n).map(|i| (i as f64 * 0.73).cos()).collect();
            let expected = naive(&a, &b, m, n, k);
            let mut b_transposed = vec![0.0; n * k];
            for l in 0..k {
                for j in 0..n {
                    b_transposed[j * k + l] = b[l * n + j];
                }
            }
            for threads in [Threads::All, Threads::One] {
                let mut c = vec![1.0; m * n];
                product(&mut c, n, Destination::Overwrite, 1.0, Matrix::new(&a, m, k), Matrix::new(&b, k, n), threads);
                let b_view = Matrix::new(&b_transposed, n, k).transposed();
                product(&mut c, n, Destination::Accumulate, 2.0, Matrix::new(&a, m, k), b_view, threads);
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
        product(&mut c, 2, Destination::Overwrite, 1.0, Matrix::new(&a, 2, 2), Matrix::new(&b, 2, 2), Threads::One);
    }
}
