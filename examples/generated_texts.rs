//! Writes generated texts as `train.csv` and `test.csv`: data for `dht` where there are none.
//!
//! `cargo run --release --example generated_texts -- DIR [TRAIN_ROWS] [TEST_ROWS]`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use dht_cli::exit_code;
use dht_lab::{Error, Result};
use dht_transformer::data::generated::{GeneratedText, LABELS, generate};
use dht_transformer::storage::write_atomically;

/// The seeds of the two files.
const TRAINING: u64 = 1;
const TEST: u64 = 2;

/// Write generated texts of four classes into a directory.
#[derive(Parser)]
struct Arguments {
    /// The directory; made where it is missing
    folder: PathBuf,
    /// Rows of train.csv
    #[arg(default_value_t = 4000)]
    train_rows: usize,
    /// Rows of test.csv
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

/// The texts hold no quotation mark.
fn write(path: &Path, rows: usize, seed: u64) -> Result<()> {
    let row = |text: &GeneratedText| format!("{},{:?},\"{}\"\n", LABELS[text.label], text.difficulty, text.text);
    let rows: String = generate(rows, seed).iter().map(row).collect();
    Ok(write_atomically(path, |file| write!(file, "label,difficulty,text\n{rows}"))?)
}
