//! Which numbers layers compute in on which device.

use candle_core::Device;

use super::cpu::has_int8_products;
use super::select::select;
use crate::error::Result;
use crate::tensors::Precision;

impl Precision {
    /// Returns whether this processor has instructions for it; without them [`Int8`](Self::Int8) (AVX-512 VNNI) is slower than
    /// single precision. The others are no matter of the processor.
    pub fn is_accelerated(self) -> bool {
        self != Self::Int8 || has_int8_products()
    }

    /// Refuses what a device cannot compute in.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) with what it can.
    pub fn check_on(self, device: &Device) -> Result<()> {
        select(device).check(self)
    }
}
