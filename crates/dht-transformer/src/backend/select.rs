//! Selection of the backend for a device. No other file inspects the type of a device.

use candle_core::Device;

use super::backend::Backend;
use super::composed::Composed;
use super::context::ForwardContext;
use super::cpu::Cpu;
#[cfg(feature = "cuda")]
use super::cuda::Cuda;

impl ForwardContext {
    pub(crate) fn backend(&self, device: &Device) -> &'static dyn Backend {
        choose(device, self.in_graph())
    }
}

/// Selects the backend for work outside of a forward pass, such as an optimiser step.
pub(crate) fn select(device: &Device) -> &'static dyn Backend {
    choose(device, false)
}

/// Selects the backend for a device. With `in_graph`, the backend runs layers as candle's own operations, so that
/// candle's graph contains all gradients.
fn choose(device: &Device, in_graph: bool) -> &'static dyn Backend {
    match (device, in_graph) {
        (Device::Cpu, false) => &Cpu,
        (Device::Cpu, true) => &Composed { precisions: "f32 or bf16 in candle's graph on the CPU" },
        #[cfg(feature = "cuda")]
        (Device::Cuda(_), false) => &Cuda { sublayers: true },
        #[cfg(feature = "cuda")]
        (Device::Cuda(_), true) => &Cuda { sublayers: false },
        // Without the feature `cuda` there is no CUDA device, so the device is Metal.
        _ => &Composed { precisions: "f32 or bf16 on Metal" },
    }
}
