//! A smaller student of a fine-tuned teacher, by TinyBERT's two stages of distillation.
//!
//! `cargo run --release --example distil`; `--help` lists the flags.

use std::process::ExitCode;

use clap::Parser;
use dht_cli::exit_code;
use dht_lab::{DistilArguments, distil};

fn main() -> ExitCode {
    exit_code(distil(&DistilArguments::parse()).map(|_| ()))
}
