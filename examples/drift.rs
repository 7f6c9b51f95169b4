//! A model in service while its texts drift: a threshold that stays, beside one that learns from labels that come late.
//!
//! `cargo run --release --example drift -- --models OUT --data DIR --used-rows N --into DIR`; `--help` lists the rest.
//! `reproduction_page` writes the record and its figure into `docs/recipe.md`.

use std::process::ExitCode;

use clap::Parser;
use dht_cli::exit_code;
use dht_lab::{DriftArguments, drift};

fn main() -> ExitCode {
    exit_code(drift(&DriftArguments::parse()).map(|_| ()))
}
