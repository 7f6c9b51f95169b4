//! Description of the machine that a run was measured on.

use std::collections::BTreeMap;
use std::process::Command;

use candle_core::Device;
use serde::{Deserialize, Serialize};

/// Machine that a run was measured on, and the versions of its compiler and crates.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Model of the processor.
    pub cpu: String,
    /// Number of threads that run at once.
    pub cores: usize,
    /// Device of the tensors: `cpu`, `cuda`, `metal`.
    pub device: String,
    /// Operating system and architecture.
    pub system: String,
    /// Versions of the compiler and of the main crates, by name.
    pub versions: BTreeMap<String, String>,
}

/// Describes the machine that this program runs on.
pub fn this_machine(device: &Device) -> Machine {
    let device = match device {
        Device::Cpu => "cpu",
        Device::Cuda(_) => "cuda",
        Device::Metal(_) => "metal",
    };
    let versions = [
        ("rustc", env!("DHT_LAB_RUSTC")),
        ("candle-core", env!("DHT_LAB_CANDLE")),
        ("dht-search", env!("CARGO_PKG_VERSION")),
    ];
    Machine {
        cpu: processor().unwrap_or_else(|| "unknown".into()),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        device: device.into(),
        system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        versions: BTreeMap::from(versions.map(|(name, version)| (name.into(), version.into()))),
    }
}

fn processor() -> Option<String> {
    let name = if cfg!(target_os = "linux") {
        model_name(&std::fs::read_to_string("/proc/cpuinfo").ok()?)
    } else if cfg!(target_os = "macos") {
        let output = Command::new("sysctl").args(["-n", "machdep.cpu.brand_string"]).output().ok()?;
        String::from_utf8(output.stdout).ok()
    } else {
        std::env::var("PROCESSOR_IDENTIFIER").ok()
    };
    name.map(|name| name.split_whitespace().collect::<Vec<_>>().join(" ")).filter(|name| !name.is_empty())
}

/// First `model name` of a `/proc/cpuinfo`.
fn model_name(information: &str) -> Option<String> {
    let mut fields = information.lines().filter_map(|line| line.split_once(':'));
    fields.find(|(key, _)| key.trim() == "model name").map(|(_, name)| name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_is_found_in_its_description() {
        let text = "processor\t: 0\nmodel\t\t: 17\nmodel name\t: Quick CPU @ 3.00GHz\nprocessor\t: 1\n";
        assert_eq!(model_name(text).as_deref(), Some("Quick CPU @ 3.00GHz"));
        assert_eq!(model_name("Hardware: board\n"), None);
    }

    #[test]
    fn the_machine_names_cores_and_versions() {
        let machine = this_machine(&Device::Cpu);
        assert!(machine.cores >= 1);
        assert_eq!(machine.device, "cpu");
        assert!(machine.versions["rustc"].starts_with("1."));
        assert_eq!(machine.versions["candle-core"].split('.').count(), 3);
    }
}
