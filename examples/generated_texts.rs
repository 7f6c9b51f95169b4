//! Writes generated texts as `train.csv` and `test.csv`: data for `dht` if no other data are available.
//!
//! `cargo run --release --example generated_texts -- DIR [TRAIN_ROWS] [TEST_ROWS]`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use dht_cli::exit_code;
use dht_lab::{Error, Result};
use dht_transformer::data::generated::{GeneratedText, LABELS, generate};
use dht_transformer::storage::write_atomically;

/// Seeds of the two files.
const TRAINING: u64 = 1;
const TEST: u64 = 2;

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
    exit_code(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<()> {
    let folder = &arguments.folder;
    std::fs::create_dir_all(folder).map_err(|source| Error::Io { path: folder.clone(), source })?;
    write(&folder.join("train.csv"), arguments.train_rows, TRAINING)?;
    write(&folder.join("test.csv"), arguments.test_rows, TEST)
}

/// Writes a file of texts, none of which contains a quotation mark.
fn write(path: &Path, rows: usize, seed: u64) -> Result<()> {
    let row = |text: &GeneratedText| format!("{},{:?},\"{}\"\n", LABELS[text.label], text.difficulty, text.text);
    let rows: String = generate(rows, seed).iter().map(row).collect();
    Ok(write_atomically(path, |file| write!(file, "label,difficulty,text\n{rows}"))?)
}
