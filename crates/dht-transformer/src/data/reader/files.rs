//! Files in the directory of a data set, assigned to the training, development and test splits.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use super::coding::Compression;
use super::dataset_reader::DatasetReader;
use super::file_name::{file_name, format_of};
use super::folders::{class_folders, entries};
use super::lines::Lines;
use super::table::FAST_TEXT;
use crate::data::dataset::Dataset;
use crate::data::reading::TableFormat;
use crate::error::{DataProblem, Error, Result};
use crate::storage::missing_part;

/// Part of a data set that a file holds: training, development or test rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// Training split: `train.*`
    Train,
    /// Development split: `dev.*`, `validation.*`, `valid.*`, `val.*` or `eval.*`
    Dev,
    /// Test split: `test.*`
    Test,
}

impl Split {
    /// File stems that mark a file as a part of this split. A stem ends at the first dot, for parquet files also at the
    /// first hyphen. Case is ignored.
    fn stems(self) -> &'static [&'static str] {
        match self {
            Self::Train => &["train"],
            Self::Dev => &["dev", "validation", "valid", "val", "eval"],
            Self::Test => &["test"],
        }
    }

    fn has(self, name: &str, format: TableFormat) -> bool {
        let stem = name.split('.').next().unwrap_or_default();
        let stem = if format == TableFormat::Parquet { stem.split('-').next().unwrap_or_default() } else { stem };
        self.stems().iter().any(|own| own.eq_ignore_ascii_case(stem))
    }
}

impl DatasetReader {
    /// Reads the training and the test set from a directory, such as `train.csv` and `test.csv`. If there is no test
    /// file, the development file is read, such as `dev.tsv`. The test set is read with the labels and columns of the
    /// training set.
    ///
    /// # Errors
    /// Errors of [`find`](Self::find) and [`read`](Self::read).
    ///
    /// # Examples
    /// ```
    /// use dht_transformer::DatasetReader;
    ///
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let folder = folder.path();
    /// # std::fs::write(folder.join("train.csv"), "text,label\nfine food,good\nbad food,bad\n").unwrap();
    /// # std::fs::write(folder.join("test.csv"), "text,label\nbad staff,bad\n").unwrap();
    /// let (training, test) = DatasetReader::new().read_directory(folder)?; // train.csv and test.csv
    /// assert_eq!((training.len(), test.len()), (2, 1));
    /// assert_eq!(test.labels, training.labels);
    /// # Ok::<(), dht_transformer::Error>(())
    /// ```
    pub fn read_directory(&self, folder: impl AsRef<Path>) -> Result<(Dataset, Dataset)> {
        let folder = folder.as_ref();
        let training = self.read(Self::find(folder, Split::Train)?)?;
        let test = Self::find_test(folder)?;
        let test = Self::new().like(&training).read(test)?;
        Ok((training, test))
    }

    /// Finds the file of the test split. If there is none, finds the file of the development split.
    ///
    /// # Errors
    /// Same errors as [`find`](Self::find).
    pub fn find_test(folder: impl AsRef<Path>) -> Result<PathBuf> {
        let folder = folder.as_ref();
        let missing = |result: &Result<PathBuf>| {
            matches!(result, Err(Error::Data { problem: DataProblem::NoSuchSplit { .. }, .. }))
        };
        let test = Self::find(folder, Split::Test);
        if !missing(&test) {
            return test;
        }
        let dev = Self::find(folder, Split::Dev);
        if !missing(&dev) {
            return dev;
        }
        let wanted = "test.csv, test.tsv, test.jsonl, dev.csv, dev.tsv, dev.jsonl (or with .gz)".into();
        Err(Error::Data {
            path: folder.into(),
            line: None,
            problem: DataProblem::NoSuchSplit { wanted, instead: String::new() },
        })
    }

    /// Finds the only file of a split in a directory, such as `train.csv`, `dev.tsv.gz` or `test.parquet`.
    ///
    /// # Errors
    /// Same errors as [`find_parts`](Self::find_parts); [`Error::Data`] also if the split has more than one file.
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

    /// Finds the files of a split in a directory, in order. Pass the result to [`read_parts`](Self::read_parts). The
    /// first of these candidates that exists is returned:
    ///
    /// - The file that [`find`](Self::find) returns, or all parts of a parquet file, such as
    ///   `train-00000-of-00002.parquet` and `train-00001-of-00002.parquet`.
    /// - The folder of the split, if it has a folder for each class.
    /// - For the training split, the directory itself, if it has a folder for each class.
    ///
    /// # Errors
    /// [`Error::Data`] if there is no file, if there is more than one set of files, or if a part is missing;
    /// [`Error::Io`] if the directory cannot be listed.
    pub fn find_parts(folder: impl AsRef<Path>, split: Split) -> Result<Vec<PathBuf>> {
        let folder = folder.as_ref();
        let failed = |source| Error::io(folder, source);
        // Files whose names begin alike are parts of one set.
        let mut sets: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for entry in std::fs::read_dir(folder).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
            let Some((format, _)) = format_of(&name) else { continue };
            if split.has(&name, format) && is_table(&folder.join(&name), format) {
                let stem = name.split('-').next().filter(|stem| format == TableFormat::Parquet && *stem != name);
                sets.entry(stem.map_or_else(|| name.clone(), |stem| format!("{stem}-"))).or_default().push(name);
            }
        }
        if sets.is_empty()
            && let Some(classes) = class_directory(folder, split)?
        {
            return Ok(vec![classes]);
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
                instead: instead(folder)?,
                wanted: format!(
                    "{stem}.csv, {stem}.tsv, {stem}.jsonl (or with .gz), {stem}.parquet",
                    stem = split.stems()[0]
                ),
            },
        };
        Err(Error::Data { path: folder.into(), line: None, problem })
    }

    /// Names of the files in a directory that belong to no split, sorted. Hidden files, checksums, licenses and
    /// descriptions (`README`, `.md`) are not included.
    ///
    /// # Errors
    /// [`Error::Io`] if the directory cannot be listed.
    pub fn unread(folder: impl AsRef<Path>) -> Result<Vec<String>> {
        let folder = folder.as_ref();
        let failed = |source| Error::io(folder, source);
        let mut names = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
            let lower = name.to_ascii_lowercase();
            let splits = [Split::Train, Split::Dev, Split::Test];
            let read = format_of(&name).is_some_and(|(format, _)| {
                splits.iter().any(|split| split.has(&name, format)) && is_table(&folder.join(&name), format)
            });
            let describes = ["readme", "license", "sha256sums"].iter().any(|start| lower.starts_with(start));
            let hidden = name.starts_with('.') || lower.ends_with(".md");
            if !read && !describes && !hidden && folder.join(&name).is_file() {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }
}

/// Suggests a table or folder that the user may have meant, for the error message about a directory without a file of
/// the split. The text begins with a colon.
fn instead(folder: &Path) -> Result<String> {
    let all = entries(folder)?;
    let is_one = |path: &&PathBuf| {
        path.is_file() && format_of(&file_name(path)).is_some_and(|(format, _)| is_table(path, format))
    };
    let tables: Vec<&PathBuf> = all.iter().filter(is_one).collect();
    if let [first, others @ ..] = &*tables {
        let name = first.display();
        let several = match others {
            [] => String::new(),
            _ => format!(
                ", or several by a pattern in quotes, such as '{}'",
                folder.join("*").with_extension("csv").display()
            ),
        };
        return Ok(format!(": name its table, {name}{several}"));
    }
    if all.iter().any(|path| path.extension().is_some_and(|ending| ending == "arrow")) {
        return Ok(": it has a data set in Arrow, which is not read: write it by to_parquet or to_csv".into());
    }
    for inner in all.iter().filter(|path| path.is_dir()) {
        if class_folders(inner)?.len() >= 2 || entries(inner)?.iter().any(|path| is_one(&path)) {
            return Ok(format!(": name its folder {}", inner.display()));
        }
    }
    Ok(String::new())
}

/// Finds the directory of a split whose texts are stored in one folder for each class.
fn class_directory(folder: &Path, split: Split) -> Result<Option<PathBuf>> {
    let is_split = |path: &PathBuf| split.stems().iter().any(|stem| stem.eq_ignore_ascii_case(&file_name(path)));
    let own = (split == Split::Train).then(|| folder.to_owned());
    for candidate in entries(folder)?.into_iter().filter(|path| path.is_dir() && is_split(path)).chain(own) {
        if class_folders(&candidate)?.len() >= 2 {
            return Ok(Some(candidate));
        }
    }
    Ok(None)
}

/// Returns whether a file has labels. Every table has labels; a plain text file has labels only in fastText's format.
fn is_table(path: &Path, format: TableFormat) -> bool {
    let begins = |file: File| {
        let mut lines = Lines::new(path, file, Compression::of_name(&file_name(path)).0, u64::MAX);
        lines.next_filled_line().is_ok_and(|line| line.is_some_and(|line| line.starts_with(FAST_TEXT)))
    };
    format != TableFormat::FastText || path.is_file() && File::open(path).is_ok_and(begins)
}
