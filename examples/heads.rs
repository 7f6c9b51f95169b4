//! Scores a fine-tuned classifier without each of its heads, and with each head alone in its layer.
//!
//! `cargo run --release --example heads -- --data DIR --model DIR`; `--help` lists the flags.

use std::process::ExitCode;

use clap::Parser;
use dht_lab::{HeadsArguments, exit_code, heads};

fn main() -> ExitCode {
    exit_code(heads(&HeadsArguments::parse()).map(|_| ()))
}
