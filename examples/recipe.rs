//! What each part of an acceleration is worth, on rows of a training file that nothing else has seen.
//!
//! `cargo run --release --example recipe -- --data DIR --classifier DIR --train-rows N`; `--help` lists the rest. The classifier is
//! one that `reproduce` fine-tuned, `units/full.seed-0/model`. `reproduction_page` writes the record into `docs/recipe.md`.

use std::process::ExitCode;

use clap::Parser;
use dht_cli::exit_code;
use dht_lab::{RecipeArguments, recipe};

fn main() -> ExitCode {
    exit_code(recipe(&RecipeArguments::parse()).map(|_| ()))
}
