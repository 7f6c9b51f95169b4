//! Distils a fine-tuned teacher into a smaller student, by TinyBERT's two stages.
//!
//! `cargo run --release --example distil`; `--help` lists the flags.

use std::process::ExitCode;

use clap::Parser;
use dht_lab::{DistilArguments, distil, exit_code};

fn main() -> ExitCode {
    exit_code(distil(&DistilArguments::parse()).map(|_| ()))
}
