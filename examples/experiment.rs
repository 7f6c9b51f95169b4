//! One of the paper's searches beside the full model, its truncations and the accelerated model, with a record and figures.
//!
//! `cargo run --release --example experiment -- --preset S-DHT`; `-- --help` lists the flags. P-DHT takes at least three epochs: two
//! of F-DHT come before its last two layers are frozen.

use std::process::ExitCode;

use clap::Parser;
use dht_lab::{Arguments, run_example};
use dht_search::Preset;

#[derive(Parser)]
struct Flags {
    /// T-DHT, S-DHT, F-DHT or P-DHT
    #[arg(long, value_name = "NAME", default_value = "T-DHT")]
    preset: Preset,
    #[command(flatten)]
    arguments: Arguments,
}

fn main() -> ExitCode {
    let Flags { preset, arguments } = Flags::parse();
    run_example(preset, arguments)
}
