//! Deterministic test data for kernels.

use super::real::Real;

/// Creates a deterministic, irregular sequence of `count` numbers between −1 and 1.
pub(crate) fn wave<T: Real>(count: usize, frequency: f64) -> Vec<T> {
    (0..count).map(|i| T::from_f64(((i + 1) as f64 * frequency + (i * i) as f64 * 0.013).sin())).collect()
}
