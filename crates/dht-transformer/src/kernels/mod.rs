//! The arithmetic on slices, without tensors and without autograd: each forward beside its backward.
//!
//! Everything is generic over f32 and f64, so that finite differences in f64 check the code that runs in f32. They run
//! on one thread, on blocks of rows that are cut alike for any number of threads: so the bits are the same.

pub(crate) mod activation;
pub(crate) mod attention;
pub(crate) mod decoder;
pub(crate) mod dropout;
pub(crate) mod embedding;
pub(crate) mod half;
pub(crate) mod half_gradients;
pub(crate) mod norm;
pub(crate) mod product;
pub(crate) mod real;
pub(crate) mod rows;
mod scores;

#[cfg(test)]
mod finite_differences;

#[cfg(test)]
pub(crate) mod test_support {
    use super::real::Real;

    /// A deterministic, irregular sequence of `count` numbers between −1 and 1.
    pub(crate) fn wave<T: Real>(count: usize, frequency: f64) -> Vec<T> {
        (0..count).map(|i| T::from_f64(((i + 1) as f64 * frequency + (i * i) as f64 * 0.013).sin())).collect()
    }
}
