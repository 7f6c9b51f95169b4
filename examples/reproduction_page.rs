//! Writes the results of reproductions into `docs/reproduction.md`, `docs/reproduction/` and `docs/results.md`, and their
//! figures into `docs/figures/reproduction/`. It also writes architecture searches and head ablations into
//! `docs/architecture_search.md`.
//!
//! `cargo run --release --example reproduction_page`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use dht_lab::record::{ArchitectureSearchRecord, HeadAblationRecord, ReproductionRecord};
use dht_lab::{
    Error, REPRODUCTION_END, REPRODUCTION_START, Result, exit_code, head_ablation_figure, head_ablation_file,
    with_architecture_searches, with_head_ablations, with_real_texts, with_reproduction, write_reproduction_figures,
    write_reproduction_pages,
};
use dht_transformer::storage::write_atomically;

/// Names of other records in the directory, which this program skips.
const OTHERS: [&str; 9] = [
    "recipe.json",
    "less_training.json",
    "drift.json",
    "serving.json",
    "gpu.json",
    "exit_zero.json",
    "bandits.json",
    "cluster.json",
    "few_labels.json",
];
/// Name prefix of architecture search records.
const ARCHITECTURES: &str = "architecture_search";
/// Name prefix of the records of `training_ladder`.
const TRAININGS: &str = "training_";
/// Name prefix of head ablation records.
const HEAD_ABLATIONS: &str = "head_ablation";

/// Write the results of reproductions into a page, and their figures beside it
#[derive(Parser)]
struct Arguments {
    /// Directory of the records.
    ///
    /// Its files that end in .json are read in the order of their names. Parts of one reproduction are joined.
    #[arg(long, default_value = "docs/records")]
    records: PathBuf,
    /// File with the marker lines; it is created if it is missing. Pages of the records are written to a directory of
    /// its name
    #[arg(long, default_value = "docs/reproduction.md")]
    page: PathBuf,
    /// File whose part about real texts is replaced
    #[arg(long, default_value = "docs/results.md")]
    results: PathBuf,
    /// File whose parts about architecture searches and head ablations are replaced.
    ///
    /// Parts without a record stay as they are. Figures of heads are written to the directory figures beside it.
    #[arg(long, default_value = "docs/architecture_search.md")]
    architectures: PathBuf,
    /// Directory of the figures; the page names it as figures/reproduction
    #[arg(long, default_value = "docs/figures/reproduction")]
    figures: PathBuf,
}

fn main() -> ExitCode {
    exit_code(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<()> {
    let folder = &arguments.records;
    let (mut paths, mut searches, mut ablations) = (Vec::new(), Vec::new(), Vec::new());
    for entry in std::fs::read_dir(folder).map_err(failed(folder))? {
        let path = entry.map_err(failed(folder))?.path();
        let other = OTHERS.iter().any(|name| path.ends_with(name));
        let json = path.extension().is_some_and(|extension| extension == "json");
        let begins = |with| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(with));
        if json && begins(ARCHITECTURES) {
            searches.push(path);
        } else if json && begins(HEAD_ABLATIONS) {
            ablations.push(path);
        } else if json && !other && !begins(TRAININGS) {
            paths.push(path);
        }
    }
    paths.sort();
    searches.sort();
    ablations.sort();
    if paths.is_empty() {
        return Err(Error::TooLittle { data: folder.display().to_string(), what: "records", least: 1, got: 0 });
    }
    let records = ReproductionRecord::joined(paths.iter().map(ReproductionRecord::load).collect::<Result<Vec<_>>>()?);
    let page = match std::fs::read_to_string(&arguments.page) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            format!("# The paper's experiments, repeated\n\n{REPRODUCTION_START}\n{REPRODUCTION_END}\n")
        }
        page => page.map_err(failed(&arguments.page))?,
    };
    let page = with_reproduction(&page, &records)?;
    let results = std::fs::read_to_string(&arguments.results).map_err(failed(&arguments.results))?;
    let results = with_real_texts(&results, &records)?;
    if !searches.is_empty() {
        let path = &arguments.architectures;
        let searches = searches.iter().map(ArchitectureSearchRecord::load).collect::<Result<Vec<_>>>()?;
        let page = std::fs::read_to_string(path).map_err(failed(path))?;
        let page = with_architecture_searches(&page, &searches)?;
        write_atomically(path, |file| file.write_all(page.as_bytes()))?;
        println!("{}", path.display());
    }
    if !ablations.is_empty() {
        let path = &arguments.architectures;
        let ablations = ablations.iter().map(HeadAblationRecord::load).collect::<Result<Vec<_>>>()?;
        let page = std::fs::read_to_string(path).map_err(failed(path))?;
        let page = with_head_ablations(&page, &ablations)?;
        for record in &ablations {
            let figure = path.with_file_name("figures").join(head_ablation_file(record));
            let svg = head_ablation_figure(record)?;
            write_atomically(&figure, |file| file.write_all(svg.as_bytes()))?;
            println!("{}", figure.display());
        }
        write_atomically(path, |file| file.write_all(page.as_bytes()))?;
        println!("{}", path.display());
    }
    let pages = write_reproduction_pages(&records, &arguments.page.with_extension(""))?;
    for path in write_reproduction_figures(&records, &arguments.figures)?.into_iter().chain(pages) {
        println!("{}", path.display());
    }
    write_atomically(&arguments.page, |file| file.write_all(page.as_bytes()))?;
    println!("{}", arguments.page.display());
    write_atomically(&arguments.results, |file| file.write_all(results.as_bytes()))?;
    println!("{}", arguments.results.display());
    Ok(())
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> Error + '_ {
    |source| Error::Io { path: path.into(), source }
}
