//! T-DHT: bandits choose how many layers and which heads each text runs. Compared with the full model and its truncations.
//!
//! `cargo run --release --example t_dht` needs no files and no network; `-- --help` lists the flags.

use std::process::ExitCode;

use clap::Parser;
use dht_lab::{Arguments, run_example};
use dht_search::Preset;

fn main() -> ExitCode {
    run_example(Preset::TDht, Arguments::parse())
}
