//! S-DHT: the joint bandit chooses, for each text, between shallow routes and full depth with fewer heads.
//!
//! `cargo run --release --example s_dht`; the flags are those of `t_dht`.

use std::process::ExitCode;

use clap::Parser;
use dht_lab::{Arguments, run_example};
use dht_search::Preset;

fn main() -> ExitCode {
    run_example(Preset::SDht, Arguments::parse())
}
