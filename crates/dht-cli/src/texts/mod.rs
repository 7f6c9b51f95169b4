//! Labelled texts for training, accelerating and evaluating.

mod report;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Args;
use dht_search::serving::Origin;
use dht_search::transformer::data::{Column, Columns, Header, Split};
use dht_search::transformer::error::DataProblem;
use dht_search::transformer::{Dataset, DatasetReader};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::error::{Error, Result};

pub use report::report_texts;

/// The share of the training rows that choices are made on.
const VALIDATION_SHARE: f64 = 0.1;
/// The random streams of the splits.
const VALIDATION_STREAM: u64 = 0x5661_6c69_6461_7465;
const CALIBRATION_STREAM: u64 = 0x4361_6c69_6272_6174;

/// Where labelled texts are, and which columns they are in.
#[derive(Debug, Clone, Args)]
pub struct TextArguments {
    /// Labelled texts: a directory with train.* (and test.* or dev.*), or one file (csv, tsv, jsonl; also .gz)
    #[arg(long, value_name = "DIR|FILE")]
    pub data: PathBuf,
    /// Column of the text, by name or by number from 0; several are joined [default: found]
    #[arg(long, value_name = "COLUMN")]
    pub text_column: Vec<Column>,
    /// Column of the label, by name or by number from 0 [default: found]
    #[arg(long, value_name = "COLUMN")]
    pub label_column: Option<Column>,
    /// The two text columns are a pair of sentences, not parts of one text
    #[arg(long)]
    pub pair: bool,
}

/// Texts by what they are for.
#[derive(Debug, Clone)]
pub struct TextSplits {
    /// What is learned from.
    pub train: Dataset,
    /// What choices are made on.
    pub validation: Dataset,
    /// What promises are shown on; `None` where none was asked for.
    pub calibration: Option<Dataset>,
    /// What is only scored; `None` where there is no such file.
    pub test: Option<Dataset>,
}

impl TextArguments {
    /// Refuses columns that cannot be meant.
    fn check(&self) -> Result<()> {
        if self.pair && ![0, 2].contains(&self.text_column.len()) {
            return Err(Error::argument(
                "pair",
                "two --text-column, or none",
                format!("with {}", self.text_column.len()),
            ));
        }
        for (index, column) in self.text_column.iter().enumerate() {
            if self.label_column.as_ref() == Some(column) {
                return Err(Error::argument("text-column", "another column than --label-column", column));
            }
            if self.text_column[..index].contains(column) {
                return Err(Error::argument("text-column", "each column once", column));
            }
        }
        Ok(())
    }

    /// Sets the columns that were asked for.
    fn asked(&self, mut reader: DatasetReader) -> DatasetReader {
        if self.pair {
            reader = reader.pair(true);
        }
        if !self.text_column.is_empty() {
            reader = reader.text_columns(self.text_column.iter().cloned());
        }
        match &self.label_column {
            Some(label) => reader.label_column(label.clone()),
            None => reader,
        }
    }

    /// Reads the training file, or the only file.
    ///
    /// # Errors
    /// What the reader reports, with file and line.
    pub fn read_training(&self, labels: Option<&[String]>) -> Result<Dataset> {
        self.check()?;
        let file = if self.data.is_dir() { DatasetReader::find(&self.data, Split::Train)? } else { self.data.clone() };
        let reader = self.asked(DatasetReader::new());
        let reader = match labels {
            Some(labels) => reader.labels(labels.iter().cloned()),
            None => reader,
        };
        Ok(reader.read(file)?)
    }

    /// Reads texts to score: the test file of a directory, or its `dev.*` file, or the only file; in the columns that were asked for, or
    /// else those of the model's training.
    ///
    /// # Errors
    /// As [`read_training`](Self::read_training); a label that the model does not have.
    pub fn read_scored(&self, labels: &[String], origin: Option<&Origin>) -> Result<Dataset> {
        self.check()?;
        let file = if self.data.is_dir() { test_file(&self.data)? } else { self.data.clone() };
        let reader = DatasetReader::new().labels(labels.iter().cloned());
        let reader = match origin {
            Some(Origin { columns: Some(columns), pair, .. }) => of_columns(reader, columns).pair(*pair),
            _ => reader,
        };
        Ok(self.asked(reader).read(file)?)
    }

    /// Reads and splits the texts: a tenth of the training rows for choices, so many for a promise, and the test file of a directory.
    ///
    /// # Errors
    /// As [`read_training`](Self::read_training); [`Error::TooLittle`] for fewer than 4 rows, one class, or fewer rows than asked for.
    pub fn read_splits(
        &self,
        labels: Option<&[String]>,
        rows: Option<usize>,
        calibration_rows: usize,
        seed: u64,
    ) -> Result<TextSplits> {
        let all = self.read_training(labels)?.take(rows.unwrap_or(usize::MAX));
        let test = if self.data.is_dir() { self.read_test(&all)? } else { None };
        for (what, least, got) in [("rows", 4 + calibration_rows, all.len()), ("classes", 2, all.labels.len())] {
            if got < least {
                return Err(Error::TooLittle { data: all.name, what, least, got });
            }
        }
        let generator = |stream| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            rng.set_stream(stream);
            rng
        };
        let share = calibration_rows as f64 / all.len() as f64;
        let (rest, calibration) = match calibration_rows {
            0 => (all, None),
            _ => {
                let (rest, calibration) = all.split_validation(share, &mut generator(CALIBRATION_STREAM))?;
                (rest, Some(calibration))
            }
        };
        let (train, validation) = rest.split_validation(VALIDATION_SHARE, &mut generator(VALIDATION_STREAM))?;
        Ok(TextSplits { train, validation, calibration, test })
    }

    fn read_test(&self, train: &Dataset) -> Result<Option<Dataset>> {
        match test_file(&self.data) {
            Ok(file) => Ok(Some(DatasetReader::new().like(train).read(file)?)),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// A reader of the columns of another file.
fn of_columns(reader: DatasetReader, columns: &Columns) -> DatasetReader {
    reader
        .header(if columns.header { Header::Yes } else { Header::No })
        .label_column(columns.label.clone())
        .label_kind(columns.kind)
        .text_columns(columns.text.iter().cloned())
}

fn is_missing(error: &Error) -> bool {
    let missing = |error: &dht_search::transformer::Error| {
        matches!(error, dht_search::transformer::Error::Data { problem: DataProblem::NoSuchSplit { .. }, .. })
    };
    matches!(error, Error::Transformer(error) if missing(error))
}

/// `test.*`, or `dev.*` if there is none.
fn test_file(folder: &Path) -> Result<PathBuf> {
    match DatasetReader::find(folder, Split::Test).map_err(Error::from) {
        Err(error) if is_missing(&error) => match DatasetReader::find(folder, Split::Dev).map_err(Error::from) {
            Err(error) if is_missing(&error) => {
                let wanted = "test.csv, test.tsv, test.jsonl, dev.csv, dev.tsv, dev.jsonl (or with .gz)".into();
                let problem = DataProblem::NoSuchSplit { wanted };
                Err(dht_search::transformer::Error::Data { path: folder.into(), line: None, problem }.into())
            }
            found => found,
        },
        found => found,
    }
}

/// The texts of a data set, both of a pair.
pub fn all_texts(data: &Dataset) -> impl Iterator<Item = &str> {
    data.examples.iter().flat_map(|row| [Some(row.text.as_str()), row.pair.as_deref()]).flatten()
}

/// How many rows of `other` have a text that a row of `data` has.
fn shared_rows(data: &Dataset, other: &Dataset) -> usize {
    let seen: BTreeSet<(&str, Option<&str>)> =
        data.examples.iter().map(|row| (row.text.as_str(), row.pair.as_deref())).collect();
    other.examples.iter().filter(|row| seen.contains(&(row.text.as_str(), row.pair.as_deref()))).count()
}
