//! The device of the tensors.

use std::fmt;

use candle_core::Device;

use crate::error::{Error, Result};

/// The value of `--device`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum DeviceChoice {
    /// An accelerator that this build supports and that is present, else the processor.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// The first NVIDIA card; needs the feature `cuda`.
    Cuda,
    /// Apple's graphics processor; needs the feature `metal`.
    Metal,
}

impl DeviceChoice {
    /// The device.
    ///
    /// # Errors
    /// [`Error::DeviceNotBuilt`] without the feature, [`Error::Device`] when candle cannot open the device.
    pub fn open(self) -> Result<Device> {
        let (cuda, metal) = (candle_core::utils::cuda_is_available(), candle_core::utils::metal_is_available());
        match self {
            Self::Auto if cuda => open("cuda", Device::new_cuda),
            Self::Auto if metal => open("metal", Device::new_metal),
            Self::Auto | Self::Cpu => Ok(Device::Cpu),
            Self::Cuda if cfg!(feature = "cuda") => open("cuda", Device::new_cuda),
            Self::Metal if cfg!(feature = "metal") => open("metal", Device::new_metal),
            Self::Cuda => Err(Error::DeviceNotBuilt { device: "cuda" }),
            Self::Metal => Err(Error::DeviceNotBuilt { device: "metal" }),
        }
    }
}

/// Formats as the flag's value.
impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::Metal => "metal",
        })
    }
}

fn open(device: &'static str, new: impl Fn(usize) -> candle_core::Result<Device>) -> Result<Device> {
    new(0).map_err(|source| Error::Device { device, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_is_always_available() {
        assert!(DeviceChoice::Cpu.open().unwrap().is_cpu());
    }

    #[cfg(not(any(feature = "cuda", feature = "metal")))]
    #[test]
    fn a_device_without_support_in_this_build_is_refused_by_its_name() {
        for (choice, name) in [(DeviceChoice::Cuda, "cuda"), (DeviceChoice::Metal, "metal")] {
            assert!(matches!(choice.open(), Err(Error::DeviceNotBuilt { device }) if device == name));
            assert_eq!(choice.to_string(), name);
        }
        assert!(DeviceChoice::Auto.open().unwrap().is_cpu());
    }
}
