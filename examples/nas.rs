//! Searches for smaller architectures of a student during its distillation.
//!
//! `cargo run --release --example nas`; `--help` lists the flags.

use std::process::ExitCode;

use clap::Parser;
use dht_lab::{NasArguments, exit_code, nas};

fn main() -> ExitCode {
    exit_code(nas(&NasArguments::parse()).map(|_| ()))
}
