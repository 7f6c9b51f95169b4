//! Smaller architectures of a student, searched for while it is distilled.
//!
//! `cargo run --release --example nas`; `--help` lists the flags.

use std::process::ExitCode;

use clap::Parser;
use dht_cli::exit_code;
use dht_lab::{NasArguments, nas};

fn main() -> ExitCode {
    exit_code(nas(&NasArguments::parse()).map(|_| ()))
}
