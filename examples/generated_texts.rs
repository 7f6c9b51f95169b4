//! Writes generated texts as `train.csv` and `test.csv`, for trying `dht` without other data.
//!
//! `cargo run --release --example generated_texts -- DIR [TRAIN_ROWS] [TEST_ROWS]`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use dht_lab::{exit_code, write_generated_texts};

/// Write generated texts of four classes into a directory.
#[derive(Parser)]
struct Arguments {
    /// Write the files to this directory, which is created if it is missing
    folder: PathBuf,
    /// Number of rows of train.csv
    #[arg(default_value_t = 4000)]
    train_rows: usize,
    /// Number of rows of test.csv
    #[arg(default_value_t = 1000)]
    test_rows: usize,
}

fn main() -> ExitCode {
    let Arguments { folder, train_rows, test_rows } = Arguments::parse();
    exit_code(write_generated_texts(&folder, train_rows, test_rows))
}
