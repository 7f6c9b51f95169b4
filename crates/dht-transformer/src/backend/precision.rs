//! Which numbers layers compute in on which device.

use candle_core::{DType, Device, Tensor};

use crate::backend::cpu::has_int8_products;
use crate::error::{Error, Result};
use crate::tensors::Precision;

impl Precision {
    /// Whether this processor has instructions for it; without them [`Int8`](Self::Int8) (AVX-512 VNNI) is slower than
    /// single precision. The others are no matter of the processor.
    pub fn is_accelerated(self) -> bool {
        self != Self::Int8 || has_int8_products()
    }

    /// Refuses what a device cannot compute in.
    ///
    /// # Errors
    /// [`Error::Setting`] with what it can.
    pub fn check_on(self, device: &Device) -> Result<()> {
        self.check(device, device.is_cpu())
    }

    /// The same; `fused` are the operations of the CPU, in place of candle's.
    pub(crate) fn check(self, device: &Device, fused: bool) -> Result<()> {
        let possible = match self {
            Self::F32 => true,
            Self::Tf32 => device.is_cuda(),
            Self::Bf16 => !fused,
            Self::Int8 => fused,
        };
        let others = match (device, fused) {
            (Device::Cuda(_), _) => "f32, tf32 or bf16 on CUDA",
            (Device::Metal(_), _) => "f32 or bf16 on Metal",
            (Device::Cpu, true) => "f32 or int8 on the CPU",
            (Device::Cpu, false) => "f32 or bf16 in candle's graph on the CPU",
        };
        if possible { Ok(()) } else { Err(Error::setting("precision", others, self.to_string())) }
    }

    /// The rows that a forward begins with, in the numbers that its layers compute in.
    pub(crate) fn begin(self, rows: Tensor) -> Result<Tensor> {
        #[cfg(feature = "cuda")]
        if rows.device().is_cuda() {
            candle_core::cuda::set_gemm_reduced_precision_f32(self == Self::Tf32);
        }
        Ok(if self == Self::Bf16 { rows.to_dtype(DType::BF16)? } else { rows })
    }
}
