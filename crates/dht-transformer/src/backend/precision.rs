//! Queries about precisions: whether a device supports one, and whether the processor accelerates it.

use candle_core::Device;

use super::cpu::has_int8_products;
use super::select::select;
use crate::error::Result;
use crate::tensors::Precision;

impl Precision {
    /// Returns whether this processor has instructions for the precision. Without AVX-512 VNNI, [`Int8`](Self::Int8) is
    /// slower than single precision. For all other precisions the result is always `true`.
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
