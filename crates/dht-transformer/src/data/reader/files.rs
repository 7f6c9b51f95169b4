//! Files of data sets: their formats, and the files that a split in a directory consists of.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::DatasetReader;
use super::table::Format;
use crate::error::{DataProblem, Error, Result};
use crate::storage::missing_part;

/// The parts a data set comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// `train.*`
    Train,
    /// `dev.*`; parquet files may also be called `validation`.
    Dev,
    /// `test.*`
    Test,
}

impl Split {
    /// What its files are called before the first dot, those of parquet also before the first hyphen.
    fn stems(self, format: Format) -> &'static [&'static str] {
        match (self, format) {
            (Self::Train, _) => &["train"],
            (Self::Dev, Format::Parquet) => &["dev", "validation"],
            (Self::Dev, _) => &["dev"],
            (Self::Test, _) => &["test"],
        }
    }
}

impl DatasetReader {
    /// The only file of a split in a directory: `train.csv`, `dev.tsv.gz`, `test.parquet`, …
    ///
    /// # Errors
    /// As [`find_parts`](Self::find_parts); [`Error::Data`] also for a split of more than one file.
    pub fn find(folder: impl AsRef<Path>, split: Split) -> Result<PathBuf> {
        let folder = folder.as_ref();
        let mut parts = Self::find_parts(folder, split)?.into_iter();
        let name = |path: PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match (parts.next(), parts.next()) {
            (Some(part), None) => Ok(part),
            (first, second) => {
                let (first, second) = (first.map(name).unwrap_or_default(), second.map(name).unwrap_or_default());
                Err(Error::Data {
                    path: folder.into(),
                    line: None,
                    problem: DataProblem::AmbiguousSplit { first, second },
                })
            }
        }
    }

    /// The files of a split in a directory, in their order: one as in [`find`](Self::find), or all parts of a parquet file,
    /// `train-00000-of-00002.parquet` and `train-00001-of-00002.parquet`. [`read_parts`](Self::read_parts) reads them.
    ///
    /// # Errors
    /// [`Error::Data`] when there is none, more than one set, or a part is missing; [`Error::Io`] when the directory
    /// cannot be listed.
    pub fn find_parts(folder: impl AsRef<Path>, split: Split) -> Result<Vec<PathBuf>> {
        let folder = folder.as_ref();
        let failed = |source| Error::io(folder, source);
        // Files by what is alike in the names of all parts.
        let mut sets: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for entry in std::fs::read_dir(folder).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
            let Some((format, _)) = format_of(&name) else { continue };
            let stem = name.split('.').next().unwrap_or_default();
            let stem = if format == Format::Parquet { stem.split('-').next().unwrap_or_default() } else { stem };
            if split.stems(format).contains(&stem) {
                let parted = format == Format::Parquet && name.contains('-');
                sets.entry(if parted { format!("{stem}-") } else { name.clone() }).or_default().push(name);
            }
        }
        let mut sets = sets.into_values();
        let problem = match (sets.next(), sets.next()) {
            (Some(mut names), None) => {
                names.sort_unstable();
                match missing_part(&names) {
                    None => return Ok(names.into_iter().map(|name| folder.join(name)).collect()),
                    Some(problem) => DataProblem::Parts { problem },
                }
            }
            (Some(first), Some(second)) => {
                DataProblem::AmbiguousSplit { first: first[0].clone(), second: second[0].clone() }
            }
            (None, _) => DataProblem::NoSuchSplit {
                wanted: format!(
                    "{stem}.csv, {stem}.tsv, {stem}.jsonl (or with .gz), {stem}.parquet",
                    stem = split.stems(Format::Csv)[0]
                ),
            },
        };
        Err(Error::Data { path: folder.into(), line: None, problem })
    }
}

/// The format a file's name tells, and whether it is compressed as a whole.
pub(super) fn format_of(name: &str) -> Option<(Format, bool)> {
    let name = name.to_ascii_lowercase();
    if name.ends_with(".parquet") {
        return Some((Format::Parquet, false));
    }
    let (name, compressed) = name.strip_suffix(".gz").map_or((name.as_str(), false), |name| (name, true));
    let format = match name.rsplit_once('.')?.1 {
        "csv" => Format::Csv,
        "tsv" => Format::Tsv,
        "jsonl" | "ndjson" => Format::JsonLines,
        _ => return None,
    };
    Some((format, compressed))
}

/// `FOLDER/STEM`, or `STEM` without a folder.
pub(super) fn name_of(path: &Path) -> String {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = file.split('.').next().unwrap_or_default();
    match path.parent().and_then(Path::file_name) {
        Some(folder) => format!("{}/{stem}", folder.to_string_lossy()),
        None => stem.to_owned(),
    }
}
