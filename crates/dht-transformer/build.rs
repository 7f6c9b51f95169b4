//! Compiles the CUDA kernels where the feature `cuda` is on.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// Modules: their files in the order in which they make one text (scripts/check-kernels has the same), and the oldest cards that
/// it is for.
const MODULES: [(&str, &[&str], u32); 2] = [
    // The oldest that CUDA 13 knows.
    ("kernels", &["numbers", "dropout", "norm", "activation", "rows", "attention", "row_attention", "adamw"], 75),
    // The oldest whose matrix units take bf16.
    ("matrix_kernels", &["numbers", "dropout", "attention", "matrix_attention"], 80),
];

/// The capability of the card that a build is for, as candle's kernels read it: 90 for 9.0.
const CAPABILITY: &str = "CUDA_COMPUTE_CAP";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if env::var_os("CARGO_FEATURE_CUDA").is_none() {
        return;
    }
    let folder = Path::new("src/backend/cuda/kernels");
    println!("cargo::rerun-if-changed={}", folder.display());
    for variable in ["NVCC", "CUDA_HOME", "CUDA_PATH", "PATH", CAPABILITY] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo names OUT_DIR"));
    let compiler = compiler();
    for (module, files, architecture) in MODULES {
        let text: String = files.iter().map(|name| read(&folder.join(name).with_extension("cu"))).collect();
        let (source, code) = (out.join(module).with_extension("cu"), out.join(module).with_extension("fatbin"));
        fs::write(&source, text).unwrap_or_else(|error| panic!("{}: {error}", source.display()));
        let status = Command::new(&compiler)
            .args(["--fatbin", "-O3", "-std=c++17"])
            .args(targets(architecture))
            .arg("-o")
            .args([&code, &source])
            .status()
            .unwrap_or_else(|error| {
                panic!("the feature `cuda` needs nvcc, and {} does not run: {error}", compiler.display())
            });
        assert!(status.success(), "{} does not compile the kernels: {status}", compiler.display());
    }
}

/// Code that the driver compiles when a program starts, for the oldest card and all newer ones; and machine code for one card, which
/// needs no compiling, where its capability is known.
fn targets(oldest: u32) -> Vec<String> {
    let mut targets = vec![format!("-gencode=arch=compute_{oldest},code=compute_{oldest}")];
    if let Some(capability) = capability().filter(|capability| *capability >= oldest) {
        targets.push(format!("-gencode=arch=compute_{capability},code=sm_{capability}"));
    }
    targets
}

/// `$CUDA_COMPUTE_CAP`, else that of the card that is there: candle's kernels are compiled for the same.
fn capability() -> Option<u32> {
    if let Ok(named) = env::var(CAPABILITY) {
        return named.parse().ok();
    }
    let asked = Command::new("nvidia-smi").args(["--query-gpu=compute_cap", "--format=csv,noheader"]).output().ok()?;
    String::from_utf8_lossy(&asked.stdout).lines().next()?.trim().replace('.', "").parse().ok()
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
