//! Features: from raw values to contexts. [`Normalizer`] scales, [`PyramidPool`] pools tensors,
//! [`Interactions`] multiplies columns.

mod interactions;
mod normalizer;
mod pyramid_pool;

pub use interactions::Interactions;
pub use normalizer::{Normalizer, NormalizerOptions};
pub use pyramid_pool::PyramidPool;
