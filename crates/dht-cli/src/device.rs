//! Choice of the device on which tensors are computed.

use std::fmt;
use std::str::FromStr;

use candle_core::Device;
use dht_dynamic::transformer::Precision;

use crate::error::{Error, Result};
use crate::progress::report;

/// Value of `--device`: `auto`, `cpu`, `cuda`, `cuda:N` or `metal`.
///
/// # Examples
/// ```
/// use dht_cli::DeviceChoice;
///
/// let device: DeviceChoice = "cuda:1".parse()?;
/// assert_eq!(device, DeviceChoice::Cuda(1));
/// assert_eq!(device.to_string(), "cuda:1");
/// assert!("gpu".parse::<DeviceChoice>().is_err());
/// # Ok::<(), String>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceChoice {
    /// First accelerator that this build supports and that can be opened, otherwise the CPU. If a supported accelerator
    /// cannot be opened, a line on standard error reports the reason.
    #[default]
    Auto,
    /// CPU of this machine.
    Cpu,
    /// NVIDIA GPU with this number, from 0; requires the feature `cuda`.
    Cuda(usize),
    /// Apple GPU; requires the feature `metal`.
    Metal,
}

impl DeviceChoice {
    /// Opens the device. A device that the user names is not replaced by another one if it cannot be opened.
    ///
    /// # Errors
    /// [`Error::DeviceNotBuilt`] if the build lacks the feature, and [`Error::Device`] if candle cannot open the
    /// device.
    ///
    /// # Examples
    /// ```
    /// use dht_cli::DeviceChoice;
    ///
    /// assert!(DeviceChoice::Cpu.open()?.is_cpu());
    /// # Ok::<(), dht_cli::Error>(())
    /// ```
    pub fn open(self) -> Result<Device> {
        match self {
            Self::Auto => Ok(Self::first_that_opens()),
            Self::Cpu => Ok(Device::Cpu),
            Self::Cuda(card) if cfg!(feature = "cuda") => self.opened(Device::new_cuda(card)),
            Self::Metal if cfg!(feature = "metal") => self.opened(Device::new_metal(0)),
            Self::Cuda(_) => Err(Error::DeviceNotBuilt { device: self.to_string(), feature: "cuda" }),
            Self::Metal => Err(Error::DeviceNotBuilt { device: self.to_string(), feature: "metal" }),
        }
    }

    /// Opens the device for layers with a numerical precision. With `auto`, layers in eight-bit integers run on the
    /// CPU. A line on standard error warns if the CPU has no instructions for products of eight-bit integers.
    ///
    /// # Errors
    /// Errors of [`open`](Self::open); the error of [`Precision::check_on`] if the device does not support the
    /// precision.
    ///
    /// # Examples
    /// ```
    /// use dht_cli::DeviceChoice;
    /// use dht_dynamic::transformer::Precision;
    ///
    /// assert!(DeviceChoice::Auto.open_in(Precision::Int8)?.is_cpu());
    /// # Ok::<(), dht_cli::Error>(())
    /// ```
    pub fn open_in(self, precision: Precision) -> Result<Device> {
        let device = match (precision, self) {
            (Precision::Int8, Self::Auto) => Device::Cpu,
            _ => self.open()?,
        };
        precision.check_on(&device)?;
        if !precision.is_accelerated() {
            report(&format!("this processor has no AVX-512 VNNI: {precision} is slower on it than f32"));
        }
        Ok(device)
    }

    fn first_that_opens() -> Device {
        let built = [(cfg!(feature = "cuda"), Self::Cuda(0)), (cfg!(feature = "metal"), Self::Metal)];
        for (_, choice) in built.into_iter().filter(|(built, _)| *built) {
            match choice.open() {
                Ok(device) => return device,
                Err(error) => report(&format!("{error}; running on the CPU")),
            }
        }
        Device::Cpu
    }

    fn opened(self, device: candle_core::Result<Device>) -> Result<Device> {
        device.map_err(|source| Error::Device { device: self.to_string(), source })
    }
}

/// Formats the device as a value of `--device`.
impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(0) => f.write_str("cuda"),
            Self::Cuda(card) => write!(f, "cuda:{card}"),
            Self::Metal => f.write_str("metal"),
        }
    }
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            "metal" => Ok(Self::Metal),
            _ => text
                .strip_prefix("cuda:")
                .and_then(|card| card.parse().ok())
                .map(Self::Cuda)
                .ok_or_else(|| "expected auto, cpu, cuda, cuda:N with the number of a card, or metal".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_is_always_available() {
        assert!(DeviceChoice::Cpu.open().unwrap().is_cpu());
    }

    #[test]
    fn eight_bits_are_the_processor_s_and_sixteen_are_not() {
        for choice in [DeviceChoice::Auto, DeviceChoice::Cpu] {
            assert!(choice.open_in(Precision::Int8).unwrap().is_cpu());
        }
        for precision in [Precision::Tf32, Precision::Bf16] {
            let error = DeviceChoice::Cpu.open_in(precision).unwrap_err();
            assert!(error.to_string().contains("f32 or int8 on the CPU"), "{error}");
        }
    }

    #[test]
    fn a_value_is_read_as_it_is_written() {
        for text in ["auto", "cpu", "cuda", "cuda:1", "cuda:12", "metal"] {
            assert_eq!(text.parse::<DeviceChoice>().unwrap().to_string(), text);
        }
        assert_eq!("cuda:0".parse(), Ok(DeviceChoice::Cuda(0)));
        for text in ["", "gpu", "CUDA", "cuda:", "cuda:x", "cuda:-1", "cuda:1.5", "cuda1", "metal:0", "cpu:0"] {
            assert!(text.parse::<DeviceChoice>().unwrap_err().contains("cuda:N"), "{text}");
        }
    }

    #[cfg(not(any(feature = "cuda", feature = "metal")))]
    #[test]
    fn a_device_missing_from_this_build_is_rejected_by_name() {
        for (text, name) in [("cuda", "cuda"), ("cuda:3", "cuda"), ("metal", "metal")] {
            let error = text.parse::<DeviceChoice>().unwrap().open().unwrap_err();
            assert!(matches!(error, Error::DeviceNotBuilt { feature, .. } if feature == name));
            let message = error.to_string();
            assert!(message.contains(&format!("--device {text}:")), "{message}");
            assert!(message.contains(&format!("--features {name}")), "{message}");
        }
        assert!(DeviceChoice::Auto.open().unwrap().is_cpu());
    }
}
