//! F-DHT: one bandit chooses depth and number of heads of each text at once.
//!
//! `cargo run --release --example f_dht`; the flags are those of `t_dht`.

use std::process::ExitCode;

use clap::Parser;
use dht_lab::{Arguments, RunPlan, exit_code, run};
use dht_search::Preset;

fn main() -> ExitCode {
    let plan = RunPlan::try_from(Arguments::parse());
    exit_code(plan.and_then(|plan| run(Preset::FDht, &plan)).map(|_| ()))
}
