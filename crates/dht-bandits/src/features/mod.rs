//! From numbers to contexts: scaling, pooling, columns.

pub mod columns;
mod normalizer;
mod pyramid_pool;

pub use normalizer::{Normalizer, NormalizerOptions, NormalizerState};
pub use pyramid_pool::PyramidPool;
