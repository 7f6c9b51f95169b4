//! S-DHT: one bandit chooses for each text between shallow routes and full depth with fewer heads.
//!
//! `cargo run --release --example s_dht`; the flags are those of `t_dht`.

use std::process::ExitCode;

use clap::Parser;
use dht_lab::{Arguments, RunPlan, exit_code, run};
use dht_search::Preset;

fn main() -> ExitCode {
    let plan = RunPlan::try_from(Arguments::parse());
    exit_code(plan.and_then(|plan| run(Preset::SDht, &plan)).map(|_| ()))
}
