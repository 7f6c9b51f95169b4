//! Passes the versions of the compiler and of candle to the crate, for the records of runs.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=Cargo.lock");
    let unknown = || "unknown".to_owned();
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(compiler).arg("--version").output().ok();
    let version = version.and_then(|output| String::from_utf8(output.stdout).ok());
    let version = version.as_deref().and_then(|text| text.split_whitespace().nth(1)).map(str::to_owned);
    println!("cargo::rustc-env=DHT_LAB_RUSTC={}", version.unwrap_or_else(unknown));
    let lock = std::fs::read_to_string("Cargo.lock").unwrap_or_default();
    println!("cargo::rustc-env=DHT_LAB_CANDLE={}", locked_version(&lock, "candle-core").unwrap_or_else(unknown));
}

/// Version of a package in a lock file.
fn locked_version(lock: &str, package: &str) -> Option<String> {
    let (_, after) = lock.split_once(&format!("name = \"{package}\""))?;
    let (_, version) = after.split_once("version = \"")?;
    Some(version.split_once('"')?.0.to_owned())
}
