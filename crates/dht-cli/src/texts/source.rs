//! Sources of labelled texts: files, a directory, or a data set on the Hugging Face hub.

use std::path::{Path, PathBuf};

use dht_dynamic::transformer::Dataset;
use dht_dynamic::transformer::DatasetReader;
use dht_dynamic::transformer::data::{Column, NamedDataset, Split, TextFormat};
use dht_dynamic::transformer::error::{DataProblem, HubProblem};
use dht_dynamic::transformer::storage::{FileKind, HubDataset, read_file};

use crate::error::{Error, Result};

/// Name of the test split, which is scored if it exists.
pub(super) const TEST: &str = "test";
/// Name of a file with class names, one on each line, for labels that are numbers.
const CLASSES: &str = "classes.txt";
/// Prefix of the names of data sets on the Hugging Face hub.
const ON_THE_HUB: &str = "hf:";
/// Names of the splits to score, for a data set on the hub without a short name. The first split that exists and has
/// labels is used.
const SCORED: [&str; 4] = ["test", "validation", "dev", "valid"];

/// Source of labelled texts, resolved from a path or a name.
#[derive(Debug, Clone)]
pub(super) enum Source {
    /// Single file.
    File(PathBuf),
    /// Files that match a pattern, sorted by name.
    Files { pattern: PathBuf, paths: Vec<PathBuf> },
    /// Directory with a file for each split.
    Folder(PathBuf),
    /// Data set on the Hugging Face hub.
    Hub {
        /// Name of the data set as the user wrote it.
        name: String,
        /// Files of the data set.
        files: HubDataset,
        /// Properties of a known data set, which has a short name; `None` for other data sets.
        known: Option<&'static NamedDataset>,
    },
}

/// Files with the rows of one split.
#[derive(Debug, Clone)]
pub(super) struct SplitFiles {
    /// Name of the data set; `None` to name it after its file.
    name: Option<String>,
    paths: Vec<PathBuf>,
}

impl SplitFiles {
    /// Reads the files as one data set.
    pub(super) fn read(&self, reader: &DatasetReader) -> Result<Dataset> {
        let data = reader.read_parts(&self.paths)?;
        Ok(match &self.name {
            Some(name) => Dataset { name: name.clone(), ..data },
            None => data,
        })
    }

    /// Name of the first file.
    pub(super) fn name(&self) -> String {
        self.paths.first().and_then(|path| path.file_name()).unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Returns whether all files are Parquet files, whose columns always have names.
    pub(super) fn is_parquet(&self) -> bool {
        self.paths.iter().all(|path| path.extension().is_some_and(|extension| extension == "parquet"))
    }
}

/// Finds the known data set with a short name such as `ag_news`, unless a path of this name exists.
pub(super) fn known(data: &Path) -> Option<&'static NamedDataset> {
    data.to_str().filter(|_| !data.exists()).and_then(NamedDataset::find)
}

impl Source {
    /// Opens the source that a path or a name denotes. Existing paths take precedence.
    ///
    /// # Errors
    /// [`Error::UnknownData`] if the value is neither a path nor a name; [`Error::Transformer`] if the hub fails.
    pub(super) fn open(data: &Path) -> Result<Self> {
        if data.is_dir() {
            return Ok(Self::Folder(data.into()));
        }
        let name = data.to_string_lossy().into_owned();
        let known = known(data);
        let on_the_hub = known.map(|known| known.hub).or(name.strip_prefix(ON_THE_HUB));
        match on_the_hub {
            Some(place) if !data.exists() => Ok(Self::Hub { files: HubDataset::open(place)?, name, known }),
            _ if !data.exists() && name.contains(['*', '?']) => {
                let paths = matching(&name)?;
                Ok(Self::Files { pattern: data.into(), paths })
            }
            // If the file is missing, reading it reports this.
            _ if data.exists() || is_file_name(&name) => Ok(Self::File(data.into())),
            _ => {
                let known = NamedDataset::ALL.iter().map(|known| known.name).collect::<Vec<_>>().join(", ");
                Err(Error::UnknownData { name, known })
            }
        }
    }

    /// Creates a reader with the columns of a known data set; for other data sets, it detects columns.
    pub(super) fn reader(&self) -> DatasetReader {
        match self {
            Self::Hub { known: Some(known), .. } => known.reader(),
            _ => DatasetReader::new(),
        }
    }

    /// Returns whether the source can have separate splits, since it is not a single file.
    pub(super) fn has_splits(&self) -> bool {
        !matches!(self, Self::File(_) | Self::Files { .. })
    }

    /// Reads class names from the file `classes.txt` of a directory; `None` if there is none.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read.
    pub(super) fn class_names(&self) -> Result<Option<Vec<String>>> {
        let Self::Folder(folder) = self else { return Ok(None) };
        let path = folder.join(CLASSES);
        match read_file(&path, FileKind::Description) {
            Ok(bytes) => {
                let text = String::from_utf8_lossy(&bytes);
                let names = text.lines().map(str::trim).filter(|name| !name.is_empty());
                Ok(Some(names.map(str::to_owned).collect()))
            }
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::Io { path, source }),
        }
    }

    /// Returns whether the source is a local directory.
    pub(super) fn is_folder(&self) -> bool {
        matches!(self, Self::Folder(_))
    }

    /// Finds the validation file of a directory; `None` if there is none.
    ///
    /// # Errors
    /// [`Error::Transformer`] if there is more than one validation file.
    pub(super) fn validation(&self) -> Result<Option<SplitFiles>> {
        match self {
            Self::Folder(folder) => Scored::Folder(folder, Split::Dev).files(),
            Self::File(_) | Self::Files { .. } | Self::Hub { .. } => Ok(None),
        }
    }

    /// Notes on the files of a directory that are not read.
    ///
    /// # Errors
    /// [`Error::Transformer`] if the directory cannot be listed.
    pub(super) fn unread(&self) -> Result<Vec<String>> {
        let Self::Folder(folder) = self else { return Ok(Vec::new()) };
        let names = DatasetReader::unread(folder)?;
        Ok(if names.is_empty() { Vec::new() } else { vec![format!("  not read: {}", names.join(", "))] })
    }

    /// Finds the files of the training split, or the only file.
    pub(super) fn training(&self) -> Result<SplitFiles> {
        match self {
            Self::File(path) => Ok(SplitFiles { name: None, paths: vec![path.clone()] }),
            Self::Files { paths, .. } => Ok(SplitFiles { name: None, paths: paths.clone() }),
            Self::Folder(folder) => {
                Ok(SplitFiles { name: None, paths: DatasetReader::find_parts(folder, Split::Train)? })
            }
            Self::Hub { .. } => self.fetch("train"),
        }
    }

    /// Lists the splits that can be scored, with their names: the test split, then the splits that replace it if its
    /// labels are not public.
    pub(super) fn scored(&self) -> Vec<(&str, Scored<'_>)> {
        match self {
            Self::File(path) => vec![("file", Scored::Files(std::slice::from_ref(path)))],
            Self::Files { paths, .. } => vec![("files", Scored::Files(paths))],
            Self::Folder(folder) => {
                vec![(TEST, Scored::Folder(folder, Split::Test)), ("dev", Scored::Folder(folder, Split::Dev))]
            }
            Self::Hub { files, known, .. } => {
                let splits: &[&str] = match known {
                    Some(known) => std::slice::from_ref(&known.scored),
                    None => &SCORED,
                };
                let there = |split: &&&str| known.is_some() || files.bytes(split).is_some();
                splits.iter().filter(there).map(|split| (*split, Scored::Hub(self, split))).collect()
            }
        }
    }

    /// Creates the error for a source that has no split to score.
    pub(super) fn nothing_scored(&self) -> Error {
        use dht_dynamic::transformer::Error as Inner;

        let expected = "test.csv, test.tsv, test.jsonl, test.parquet (or with .gz), or the same for dev, validation, valid, val or eval";
        Error::Transformer(match self {
            Self::File(path) | Self::Folder(path) | Self::Files { pattern: path, .. } => {
                let problem = DataProblem::NoSuchSplit { wanted: expected.into(), instead: String::new() };
                Inner::Data { path: path.clone(), line: None, problem }
            }
            Self::Hub { name, files, .. } => {
                let known = files.splits().collect::<Vec<_>>().join(", ");
                let problem = HubProblem::Split { wanted: SCORED.join(" or "), known };
                Inner::HubFiles { name: name.clone(), problem }
            }
        })
    }

    fn fetch(&self, split: &str) -> Result<SplitFiles> {
        match self {
            Self::Hub { name, files, .. } => {
                let name = format!("{}/{split}", name.trim_start_matches(ON_THE_HUB));
                Ok(SplitFiles { name: Some(name), paths: files.fetch(split)? })
            }
            Self::File(path) | Self::Folder(path) => Ok(SplitFiles { name: None, paths: vec![path.clone()] }),
            Self::Files { paths, .. } => Ok(SplitFiles { name: None, paths: paths.clone() }),
        }
    }

    /// Notes on the download size of a data set on the hub and on its scored split; empty for local files.
    pub(super) fn notes(&self) -> Vec<String> {
        let Self::Hub { name, files, known } = self else { return Vec::new() };
        let bytes = |split: &str| files.bytes(split).unwrap_or_default() as f64 / 1e6;
        let sizes: Vec<String> = files.splits().map(|split| format!("{split} {:.1} MB", bytes(split))).collect();
        let mut notes = vec![format!("{name} on the hub, commit {}: {}", files.commit(), sizes.join(", "))];
        if let Some(known) = known.filter(|known| known.scored != "test") {
            notes.push(format!("  scored on the split {}: the labels of the test split are kept secret", known.scored));
        }
        notes
    }
}

/// Split that can be scored.
#[derive(Debug, Clone, Copy)]
pub(super) enum Scored<'a> {
    Files(&'a [PathBuf]),
    Folder(&'a Path, Split),
    Hub(&'a Source, &'a str),
}

impl Scored<'_> {
    /// Finds the files of the split; `None` if it does not exist.
    pub(super) fn files(self) -> Result<Option<SplitFiles>> {
        match self {
            Self::Files(paths) => Ok(Some(SplitFiles { name: None, paths: paths.to_vec() })),
            Self::Folder(folder, split) => match DatasetReader::find_parts(folder, split).map_err(Error::from) {
                Err(error) if is_missing(&error) => Ok(None),
                result => result.map(|paths| Some(SplitFiles { name: None, paths })),
            },
            Self::Hub(source, split) => source.fetch(split).map(Some),
        }
    }
}

fn is_missing(error: &Error) -> bool {
    let missing = |error: &dht_dynamic::transformer::Error| {
        matches!(error, dht_dynamic::transformer::Error::Data { problem: DataProblem::NoSuchSplit { .. }, .. })
    };
    matches!(error, Error::Transformer(error) if missing(error))
}

/// Returns whether the error reports that the labels of a split are not public.
pub(super) fn is_hidden(error: &Error) -> bool {
    let hidden = |error: &dht_dynamic::transformer::Error| {
        matches!(error, dht_dynamic::transformer::Error::Data { problem: DataProblem::HiddenLabel, .. })
    };
    matches!(error, Error::Transformer(error) if hidden(error))
}

/// Returns whether the error reports a file without this column.
pub(super) fn lacks_column(error: &Error, label: &Column) -> bool {
    match error {
        Error::Transformer(dht_dynamic::transformer::Error::Data {
            problem: DataProblem::UnknownColumn { column, .. },
            ..
        }) => *column == label.to_string(),
        _ => false,
    }
}

/// Returns whether a name can only be a file: it has a file extension, or begins like a path.
fn is_file_name(name: &str) -> bool {
    let (format, compression) = TextFormat::of_name(name);
    let lower = name.to_ascii_lowercase();
    format != TextFormat::Lines
        || compression.is_some()
        || lower.ends_with(".parquet")
        || lower.ends_with(".txt")
        || name.starts_with(['.', '/', '~'])
}

/// Lists the files that match a pattern such as `part-*.csv`, sorted by name.
fn matching(pattern: &str) -> Result<Vec<PathBuf>> {
    let failed = |reason: &dyn std::fmt::Display| {
        Error::argument("data", "a pattern of files", format!("{pattern:?}: {reason}"))
    };
    let entries = glob::glob(pattern).map_err(|error| failed(&error))?;
    let mut paths = entries.collect::<std::result::Result<Vec<_>, _>>().map_err(|error| failed(&error))?;
    paths.retain(|path| path.is_file());
    paths.sort_unstable();
    if paths.is_empty() { Err(failed(&"no file has such a name")) } else { Ok(paths) }
}
