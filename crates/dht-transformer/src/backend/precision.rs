//! Support of precisions by devices and processors.

use candle_core::Device;

use super::cpu::has_int8_products;
use super::select::select;
use crate::error::Result;
use crate::tensors::Precision;

impl Precision {
    /// Returns whether this processor accelerates the precision. Without its instructions (AVX-512 VNNI)
    /// [`Int8`](Self::Int8) is slower than single precision. The other precisions do not depend on the processor.
    pub fn is_accelerated(self) -> bool {
        self != Self::Int8 || has_int8_products()
    }

    /// Checks that a device supports the precision.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) if it does not; the message lists the supported precisions.
    pub fn check_on(self, device: &Device) -> Result<()> {
        select(device).check(self)
    }
}
