//! P-DHT: two epochs of F-DHT, then the last two layers are frozen and end every route.
//!
//! `cargo run --release --example p_dht`; the flags are those of `t_dht`.

use std::process::ExitCode;

use clap::Parser;
use dht_lab::{Arguments, RunPlan, exit_code, run};
use dht_search::Preset;

fn main() -> ExitCode {
    let plan = RunPlan::try_from(Arguments::parse());
    exit_code(plan.and_then(|plan| run(Preset::PDht, &plan)).map(|_| ()))
}
