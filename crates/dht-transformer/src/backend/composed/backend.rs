//! Backend for devices without custom kernels or fused operations.

use crate::backend::backend::Backend;
use crate::tensors::Precision;

/// Backend that runs only candle's own operations. It serves Metal, and also the CPU when candle's graph must contain
/// all gradients.
pub(crate) struct Composed {
    /// Name of the device and its supported precisions, for error messages.
    pub(crate) precisions: &'static str,
}

impl Backend for Composed {
    fn precisions(&self) -> (&'static [Precision], &'static str) {
        (&[Precision::F32, Precision::Bf16], self.precisions)
    }
}
