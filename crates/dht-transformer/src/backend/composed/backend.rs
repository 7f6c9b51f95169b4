//! Backend of devices without custom operations.

use crate::backend::backend::Backend;
use crate::tensors::Precision;

/// Backend of candle's operations: for Metal, and for the CPU in candle's graph.
pub(crate) struct Composed {
    /// Device and its precisions, for messages.
    pub(crate) precisions: &'static str,
}

impl Backend for Composed {
    fn precisions(&self) -> (&'static [Precision], &'static str) {
        (&[Precision::F32, Precision::Bf16], self.precisions)
    }
}
