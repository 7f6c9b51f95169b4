//! Loops over rows of values, compiled for the processor's vector instructions.

use super::real::Real;

/// Number of rows in a chunk of the backward pass. A block of rows is divided into chunks, so that idle threads can
/// help with it.
pub(crate) const CHUNK_ROWS: usize = 64;

/// Runs `body` compiled for the widest vector instructions of this processor.
///
/// Pass `move` closures. If a closure captures a slice by reference, the compiler cannot exclude that a store changes
/// it. It would read the slice again after each store, and the loop would stay scalar.
#[inline(always)]
pub(crate) fn vectorised<R>(body: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(body)
}

/// Transposes a matrix, (rows, columns) → (columns, rows).
pub(crate) fn transposed<T: Real>(matrix: &[T], columns: usize) -> Vec<T> {
    const SIDE: usize = 16;
    let rows = matrix.len() / columns.max(1);
    let mut result = vec![T::ZERO; matrix.len()];
    // The matrix is transposed in squares, so that the values read and written stay in the first-level cache.
    for (strip, lines) in result.chunks_mut(SIDE * rows.max(1)).enumerate() {
        for first in (0..rows).step_by(SIDE) {
            for (column, line) in lines.chunks_exact_mut(rows).enumerate() {
                let end = rows.min(first + SIDE);
                for (row, value) in line[first..end].iter_mut().enumerate() {
                    *value = matrix[(first + row) * columns + strip * SIDE + column];
                }
            }
        }
    }
    result
}

/// Computes the column sums of a matrix with rows of `width` values.
pub(crate) fn column_sums<T: Real>(matrix: &[T], width: usize) -> Vec<T> {
    let mut sums = vec![T::ZERO; width];
    let total = &mut sums[..];
    vectorised(
        #[inline(always)]
        move || {
            for row in matrix.chunks_exact(width) {
                add_assign(total, row);
            }
        },
    );
    sums
}

/// Adds up vectors of equal length in the order of the iterator. Returns an empty vector if there are none.
pub(crate) fn sum_of<'a, T: Real>(mut vectors: impl Iterator<Item = &'a [T]>) -> Vec<T> {
    let mut sum = vectors.next().unwrap_or_default().to_vec();
    vectors.for_each(|vector| add_assign(&mut sum, vector));
    sum
}

#[inline(always)]
pub(crate) fn add_assign<T: Real>(a: &mut [T], b: &[T]) {
    for (a, b) in a.iter_mut().zip(b) {
        *a += *b;
    }
}

/// Number of values that a loop processes at once. Sixteen values of f32 fill an AVX-512 vector.
pub(crate) const LANES: usize = 16;

/// Creates the array f(0), f(1), … in a loop that is always inlined. `std::array::from_fn` and `map` are not inlined if
/// the compiler splits a crate into codegen units, as it does by default; SIMD vectors would then pass through memory.
#[inline(always)]
#[expect(clippy::needless_range_loop, reason = "a counted loop is unrolled, whatever its length")]
pub(crate) fn array<T: Copy, const N: usize>(f: impl Fn(usize) -> T) -> [T; N] {
    const { assert!(N > 0) };
    let mut array = [f(0); N];
    for place in 1..N {
        array[place] = f(place);
    }
    array
}

/// Reduces sixteen values to one with the operation `f`, by combining halves. The order is the same on every processor,
/// and the chain of dependent operations is the shortest possible.
#[inline(always)]
pub(crate) fn fold<T: Real>(lanes: [T; LANES], f: impl Fn(T, T) -> T) -> T {
    let mut all = lanes;
    for step in [8, 4, 2, 1] {
        let last = all;
        all = array(
            #[inline(always)]
            |i| f(last[i], last[i ^ step]),
        );
    }
    all[0]
}

/// Computes Σ f(z) over the values z of a row. Sixteen partial sums let the loop vectorise and fix the order of
/// summation.
#[inline(always)]
pub(crate) fn sum<T: Real>(z: &[T], f: impl Fn(T) -> T) -> T {
    let mut lanes = [T::ZERO; LANES];
    let (chunks, rest) = z.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, z) in lanes.iter_mut().zip(chunk) {
            *lane += f(*z);
        }
    }
    for (lane, z) in lanes.iter_mut().zip(rest) {
        *lane += f(*z);
    }
    fold(lanes, |a, b| a + b)
}

/// Computes Σ f(a, b) over pairs of values, with the same order of summation as [`sum`].
#[inline(always)]
pub(crate) fn sum2<T: Real>(a: &[T], b: &[T], f: impl Fn(T, T) -> T) -> T {
    let mut lanes = [T::ZERO; LANES];
    let ((chunks, rest), (others, others_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in chunks.iter().zip(others) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += f(*a, *b);
        }
    }
    for ((lane, a), b) in lanes.iter_mut().zip(rest).zip(others_rest) {
        *lane += f(*a, *b);
    }
    fold(lanes, |a, b| a + b)
}
