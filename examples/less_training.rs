//! What models are worth that are fine-tuned with a part of the full model's FLOPs, beside each other at equal FLOPs.
//!
//! `cargo run --release --example less_training -- --data DIR --model DIR --train-rows N`; `--help` lists the rest.

use std::process::ExitCode;

use clap::Parser;
use dht_cli::exit_code;
use dht_lab::{LessTrainingArguments, less_training};

fn main() -> ExitCode {
    exit_code(less_training(&LessTrainingArguments::parse()).map(|_| ()))
}
