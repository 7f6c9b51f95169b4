//! Features: from raw values to contexts. [`Normalizer`] scales, [`PyramidPool`] pools tensors,
//! [`Interactions`] multiplies columns.

mod interactions;
pub(crate) mod normalizer;
mod pyramid_pool;

pub use interactions::Interactions;
pub(crate) use normalizer::Normalizer;
pub use pyramid_pool::PyramidPool;
