//! Reproduces the paper's tables 1 and 2 and its figures, with baselines trained on the same texts by the same loop.
//!
//! `cargo run --release --example reproduce` needs no files and no network; `-- --help` lists the flags.

use std::process::ExitCode;

use clap::Parser;
use dht_lab::{ReproductionArguments, exit_code, reproduce};

fn main() -> ExitCode {
    exit_code(reproduce(&ReproductionArguments::parse()))
}
