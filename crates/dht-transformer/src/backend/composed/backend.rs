//! The backend of devices without operations of the project's own.

use crate::backend::backend::Backend;
use crate::tensors::Precision;

/// Candle's operations: what runs on Metal, and on the CPU in candle's graph.
pub(crate) struct Composed {
    /// The device and its precisions, in words.
    pub(crate) precisions: &'static str,
}

impl Backend for Composed {
    fn precisions(&self) -> (&'static [Precision], &'static str) {
        (&[Precision::F32, Precision::Bf16], self.precisions)
    }
}
