//! Loops over rows in fixed chunks, and sums over rows that come out the same for any number of threads.

use rayon::prelude::*;

use super::real::Real;

/// Rows in a chunk: a unit of parallel work and of summation.
pub(crate) const CHUNK: usize = 32;

/// Runs `body` compiled for the widest vector instructions that this processor has.
///
/// Give it `move` closures: what is captured by reference has to be read again after each store, since the two might
/// overlap, and the loop stays scalar.
#[inline(always)]
pub(crate) fn vectorised<R>(body: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(body)
}

/// Calls `body(first row, rows of a, rows of b)` for each chunk and adds up, in order, the vectors that it fills.
///
/// `a` has `a_width` and `b` has `b_width` numbers a row; the sums have `sums` numbers.
pub(crate) fn zip_chunks_summing<T: Real>(
    a: &mut [T],
    a_width: usize,
    b: &mut [T],
    b_width: usize,
    sums: usize,
    body: impl Fn(usize, &mut [T], &mut [T], &mut [T]) + Sync,
) -> Vec<T> {
    let parts: Vec<Vec<T>> = a
        .par_chunks_mut(CHUNK * a_width)
        .zip(b.par_chunks_mut(CHUNK * b_width))
        .enumerate()
        .map(|(chunk, (a, b))| {
            let mut sum = vec![T::ZERO; sums];
            vectorised(
                #[inline(always)]
                || body(chunk * CHUNK, a, b, &mut sum),
            );
            sum
        })
        .collect();
    let mut total = vec![T::ZERO; sums];
    for part in &parts {
        add_assign(&mut total, part);
    }
    total
}

/// Column sums of a matrix with rows of `width` numbers.
pub(crate) fn column_sums<T: Real>(matrix: &[T], width: usize) -> Vec<T> {
    let parts: Vec<Vec<T>> = matrix
        .par_chunks(CHUNK * width)
        .map(|rows| {
            let mut sum = vec![T::ZERO; width];
            vectorised(
                #[inline(always)]
                || {
                    for row in rows.chunks_exact(width) {
                        add_assign(&mut sum, row);
                    }
                },
            );
            sum
        })
        .collect();
    let mut total = vec![T::ZERO; width];
    for part in &parts {
        add_assign(&mut total, part);
    }
    total
}

/// Fills every row with the same numbers.
pub(crate) fn fill_rows<T: Real>(matrix: &mut [T], row: &[T]) {
    matrix.par_chunks_mut(CHUNK * row.len()).for_each(|rows| {
        for target in rows.chunks_exact_mut(row.len()) {
            target.copy_from_slice(row);
        }
    });
}

/// a ← a + b.
#[inline(always)]
pub(crate) fn add_assign<T: Real>(a: &mut [T], b: &[T]) {
    for (a, b) in a.iter_mut().zip(b) {
        *a += *b;
    }
}
