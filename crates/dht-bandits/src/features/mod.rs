//! Features: raw values to contexts. [`Normalizer`] scales, [`PyramidPool`] pools tensors, [`columns`] appends a bias
//! or categories.

pub mod columns;
mod normalizer;
mod pyramid_pool;

pub use normalizer::{Normalizer, NormalizerOptions, NormalizerState};
pub use pyramid_pool::PyramidPool;
