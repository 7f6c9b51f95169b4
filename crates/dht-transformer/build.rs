//! Compiles the CUDA kernels to PTX where the feature `cuda` is on.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// In the order in which the files make one text; scripts/check-kernels has the same.
const KERNELS: [&str; 6] = ["numbers", "dropout", "norm", "activation", "attention", "adamw"];
/// The oldest cards that CUDA 13 knows. The driver compiles PTX for the card that is there.
const ARCHITECTURE: &str = "compute_75";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if env::var_os("CARGO_FEATURE_CUDA").is_none() {
        return;
    }
    let folder = Path::new("src/backend/cuda/kernels");
    println!("cargo::rerun-if-changed={}", folder.display());
    for variable in ["NVCC", "CUDA_HOME", "CUDA_PATH", "PATH"] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    let text: String = KERNELS.iter().map(|name| read(&folder.join(name).with_extension("cu"))).collect();
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo names OUT_DIR"));
    let (source, ptx) = (out.join("kernels.cu"), out.join("kernels.ptx"));
    fs::write(&source, text).unwrap_or_else(|error| panic!("{}: {error}", source.display()));
    let compiler = compiler();
    let status = Command::new(&compiler)
        .args(["--ptx", "-O3", "-std=c++17", "-arch", ARCHITECTURE, "-o"])
        .args([&ptx, &source])
        .status()
        .unwrap_or_else(|error| {
            panic!("the feature `cuda` needs nvcc, and {} does not run: {error}", compiler.display())
        });
    assert!(status.success(), "{} does not compile the kernels: {status}", compiler.display());
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// `$NVCC`, else that of `$CUDA_HOME` or `$CUDA_PATH`, else the one on the path.
fn compiler() -> PathBuf {
    let of_toolkit = |variable| env::var_os(variable).map(|toolkit| Path::new(&toolkit).join("bin").join("nvcc"));
    let toolkits = ["CUDA_HOME", "CUDA_PATH"].into_iter().filter_map(of_toolkit);
    let named = env::var_os("NVCC").map(PathBuf::from).into_iter().chain(toolkits.filter(|path| path.exists()));
    named.chain([PathBuf::from("nvcc")]).next().unwrap_or_default()
}
