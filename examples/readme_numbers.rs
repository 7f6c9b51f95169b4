//! Writes the results of a run into the README, and its figures into `docs/figures/`.
//!
//! `cargo run --release --example readme_numbers -- target/dht/t_dht/record.json`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use dht_cli::exit_code;
use dht_lab::record::RunRecord;
use dht_lab::{Error, Result, command_of, draw_figures, with_numbers};
use dht_transformer::storage::write_atomically;

/// Write the results of a run into the README, and its figures into a directory.
#[derive(Parser)]
struct Arguments {
    /// Record of the run.
    record: PathBuf,
    /// File with the marker lines.
    #[arg(long, default_value = "README.md")]
    readme: PathBuf,
    /// Directory of the figures.
    #[arg(long, alias = "pictures", default_value = "docs/figures")]
    figures: PathBuf,
}

fn main() -> ExitCode {
    exit_code(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<()> {
    let record = RunRecord::load(&arguments.record)?;
    let readme = std::fs::read_to_string(&arguments.readme).map_err(failed(&arguments.readme))?;
    let readme = with_numbers(&readme, &record, &command_of(&record, &arguments.record)?)?;
    std::fs::create_dir_all(&arguments.figures).map_err(failed(&arguments.figures))?;
    for path in draw_figures(&record, &arguments.figures)? {
        println!("{}", path.display());
    }
    write_atomically(&arguments.readme, |file| file.write_all(readme.as_bytes()))?;
    println!("{}", arguments.readme.display());
    Ok(())
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> Error + '_ {
    |source| Error::Io { path: path.into(), source }
}
