//! P-DHT: two epochs of F-DHT; then the last two layers are frozen, and every route ends in them.
//!
//! `cargo run --release --example p_dht`; the flags are those of `t_dht`. With `--settings paper` it runs two epochs of each.

use std::process::ExitCode;

use clap::Parser;
use dht_lab::{Arguments, run_example};
use dht_search::Preset;

fn main() -> ExitCode {
    run_example(Preset::PDht, Arguments::parse())
}
