//! F-DHT: the joint bandit chooses depth and number of heads of each text at once.
//!
//! `cargo run --release --example f_dht`; the flags are those of `t_dht`.

use std::process::ExitCode;

use clap::Parser;
use dht_lab::{Arguments, run_example};
use dht_search::Preset;

fn main() -> ExitCode {
    run_example(Preset::FDht, Arguments::parse())
}
