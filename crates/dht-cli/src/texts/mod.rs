//! Labelled texts for training, accelerating and evaluating.

mod report;
mod source;

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use dht_search::serving::Origin;
use dht_search::transformer::data::{Column, Columns, Header, LabelKind, Metric};
use dht_search::transformer::{Dataset, DatasetReader, Task};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::error::{Error, Result};
use source::{Source, is_hidden};

pub use report::report_texts;

/// The share of the training rows that choices are made on.
const VALIDATION_SHARE: f64 = 0.1;
/// The random streams of the splits.
const VALIDATION_STREAM: u64 = 0x5661_6c69_6461_7465;
const CALIBRATION_STREAM: u64 = 0x4361_6c69_6272_6174;

/// Where labelled texts are, and which columns they are in.
#[derive(Debug, Clone, Args)]
pub struct TextArguments {
    /// Labelled texts: a directory with train.* (and test.* or dev.*), or one file (csv, tsv, jsonl, also .gz; parquet); or, unless there
    /// is such a path, a name: ag_news, dbpedia_14, yelp_polarity, yelp_review_full, imdb, glue/TASK, or hf:OWNER/NAME[/CONFIG] for any
    /// data set on the Hugging Face hub (in a build with the feature hub)
    #[arg(long, value_name = "DIR|FILE|NAME")]
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
    /// What is told of a text [default: class, or what is known of a data set by name]
    #[arg(long, value_enum, value_name = "TASK")]
    pub task: Option<TaskChoice>,
    /// The sign between the labels of a text, with --task labels
    #[arg(long, value_name = "SIGN", default_value_t = ',', requires = "task")]
    pub label_separator: char,
    /// What `data` stands for, once it was looked for.
    #[arg(skip)]
    opened: OnceCell<Source>,
}

/// What is told of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TaskChoice {
    /// One of the classes
    Class,
    /// Any of several labels, or none
    Labels,
    /// A number
    Number,
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
    /// What there is to say of the choice of these rows.
    pub notes: Vec<String>,
}

impl TextSplits {
    /// Drops the texts: once they are encoded, names, columns and classes are enough.
    pub fn forget_texts(&mut self) {
        let Self { train, validation, calibration, test, .. } = self;
        let parts = [Some(train), Some(validation), calibration.as_mut(), test.as_mut()];
        parts.into_iter().flatten().for_each(|data| data.examples = Vec::new());
    }
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
        if let Some(task) = self.task {
            reader = reader.label_kind(match task {
                TaskChoice::Class => LabelKind::Class,
                TaskChoice::Labels => LabelKind::Several { separator: self.label_separator },
                TaskChoice::Number => LabelKind::Number,
            });
        }
        match &self.label_column {
            Some(label) => reader.label_column(label.clone()),
            None => reader,
        }
    }

    /// What `data` stands for.
    fn source(&self) -> Result<&Source> {
        self.check()?;
        let opened = match self.opened.get() {
            Some(opened) => opened.clone(),
            None => Source::open(&self.data)?,
        };
        Ok(self.opened.get_or_init(|| opened))
    }

    /// What a data set on the hub takes to fetch, and what of it is scored; no line of files on this disk.
    ///
    /// # Errors
    /// [`Error::UnknownData`] for what is neither a path nor a name; what asking the hub reports.
    pub fn notes(&self) -> Result<Vec<String>> {
        Ok(self.source()?.notes())
    }

    /// Whether the data set is more than one file.
    ///
    /// # Errors
    /// As [`notes`](Self::notes).
    pub fn has_splits(&self) -> Result<bool> {
        Ok(self.source()?.has_splits())
    }

    /// Whether texts are pairs: as asked for, or as it is known of the data set.
    pub fn is_pair(&self) -> bool {
        self.pair || self.text_column.is_empty() && source::known(&self.data).is_some_and(|known| known.pair)
    }

    /// The score that a known data set is judged by.
    pub fn metric(&self) -> Option<Metric> {
        source::known(&self.data).map(|known| known.metric)
    }

    /// What is told of a text: as asked for, or as it is known of the data set.
    pub fn task(&self) -> Task {
        match self.task {
            Some(TaskChoice::Labels) => Task::Labels,
            Some(TaskChoice::Number) => Task::Number,
            Some(TaskChoice::Class) => Task::Class,
            None if source::known(&self.data).is_some_and(|known| known.has_numbers()) => Task::Number,
            None => Task::Class,
        }
    }

    /// A reader of the columns that are known of the data set, unless others are asked for.
    fn reader(&self, source: &Source) -> DatasetReader {
        let reader = source.reader();
        if self.text_column.is_empty() { reader } else { reader.pair(false) }
    }

    /// Reads the training file, or the only file.
    ///
    /// # Errors
    /// As [`notes`](Self::notes); what the reader reports, with file and line.
    pub fn read_training(&self, labels: Option<&[String]>) -> Result<Dataset> {
        let source = self.source()?;
        let reader = self.asked(self.reader(source));
        let reader = match labels {
            Some(labels) => reader.labels(labels.iter().cloned()),
            None => reader,
        };
        source.training()?.read(&reader)
    }

    /// Reads texts to score: the test rows of a directory or a data set, else its `dev.*` or `validation.*`, or the only file; in the columns
    /// that were asked for or are known, or else those of the model's training. With a line where other rows than the test rows are read.
    ///
    /// # Errors
    /// As [`read_training`](Self::read_training); a label that the model does not have, pairs for a model of single texts.
    pub fn read_scored(&self, labels: &[String], origin: Option<&Origin>) -> Result<(Dataset, Vec<String>)> {
        check_pair(self.pair, origin)?;
        let source = self.source()?;
        let mut notes = source.notes();
        let known = source::known(&self.data).is_some();
        let found = scored(source, &mut notes, |files| {
            let reader = self.reader(source).labels(labels.iter().cloned());
            let reader = match origin {
                // Columns by number are those of a file without names.
                Some(Origin { columns: Some(columns), pair, .. })
                    if !known && (columns.header || !files.is_parquet()) =>
                {
                    of_columns(reader, columns).pair(*pair)
                }
                _ => reader,
            };
            files.read(&self.asked(reader))
        })?;
        Ok((found.ok_or_else(|| source.nothing_scored())?, notes))
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
        let (test, notes) = self.read_test(&all)?;
        self.check_size(&all, 4 + calibration_rows)?;
        let (rest, calibration) = without_calibration(all, calibration_rows, seed)?;
        let (train, validation) = rest.split_validation(VALIDATION_SHARE, &mut generator(seed, VALIDATION_STREAM))?;
        Ok(TextSplits { train, validation, calibration, test, notes })
    }

    /// The same with a file of its own for choices, of whose rows `keep` tells how many a promise takes.
    ///
    /// # Errors
    /// As [`read_splits`](Self::read_splits).
    pub fn read_splits_beside(
        &self,
        file: &Path,
        labels: Option<&[String]>,
        rows: Option<usize>,
        keep: impl Fn(usize) -> usize,
        seed: u64,
    ) -> Result<TextSplits> {
        let train = self.read_training(labels)?.take(rows.unwrap_or(usize::MAX));
        let (test, notes) = self.read_test(&train)?;
        self.check_size(&train, 4)?;
        let held_out = DatasetReader::new().like(&train).read(file)?;
        let calibration_rows = keep(held_out.len());
        self.check_size(&held_out, 4 + calibration_rows)?;
        let (validation, calibration) = without_calibration(held_out, calibration_rows, seed)?;
        Ok(TextSplits { train, validation, calibration, test, notes })
    }

    /// The test file of a directory, and what there is to say of its choice.
    fn read_test(&self, like: &Dataset) -> Result<(Option<Dataset>, Vec<String>)> {
        let (source, mut notes) = (self.source()?, Vec::new());
        let test = match source.has_splits() {
            true => scored(source, &mut notes, |files| files.read(&DatasetReader::new().like(like)))?,
            false => None,
        };
        Ok((test, notes))
    }

    fn check_size(&self, data: &Dataset, rows: usize) -> Result<()> {
        let classes = if self.task() == Task::Class { 2 } else { 1 };
        for (what, least, got) in [("rows", rows, data.len()), ("classes", classes, data.labels.len())] {
            if got < least {
                return Err(Error::TooLittle { data: data.name.clone(), what, least, got });
            }
        }
        Ok(())
    }
}

/// Refuses `--pair` for a model of single texts.
///
/// # Errors
/// [`Error::Argument`].
pub fn check_pair(pair: bool, origin: Option<&Origin>) -> Result<()> {
    match origin {
        Some(origin) if pair && !origin.pair => {
            Err(Error::argument("pair", "not there: the model was trained on single texts", "there"))
        }
        _ => Ok(()),
    }
}

fn generator(seed: u64, stream: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stream);
    rng
}

/// Takes out so many rows for a promise.
fn without_calibration(all: Dataset, rows: usize, seed: u64) -> Result<(Dataset, Option<Dataset>)> {
    if rows == 0 {
        return Ok((all, None));
    }
    let share = rows as f64 / all.len() as f64;
    let (rest, calibration) = all.split_validation(share, &mut generator(seed, CALIBRATION_STREAM))?;
    Ok((rest, Some(calibration)))
}

/// The first rows that may be scored and whose labels are not kept secret, and a line where these are others than the first; `None` where
/// there are none.
fn scored(
    source: &Source,
    notes: &mut Vec<String>,
    read: impl Fn(&source::SplitFiles) -> Result<Dataset>,
) -> Result<Option<Dataset>> {
    let mut hidden: Option<(&str, Error)> = None;
    for (name, rows) in source.scored() {
        let Some(files) = rows.files()? else { continue };
        match read(&files) {
            Err(error) if is_hidden(&error) => hidden = hidden.or(Some((name, error))),
            Err(error) => return Err(error),
            Ok(data) => {
                if let Some((secret, _)) = hidden {
                    notes.push(format!(
                        "  scored on the split {name}: the labels of the {secret} split are kept secret"
                    ));
                }
                return Ok(Some(data));
            }
        }
    }
    hidden.map_or(Ok(None), |(_, error)| Err(error))
}

/// A reader of the columns of another file.
fn of_columns(reader: DatasetReader, columns: &Columns) -> DatasetReader {
    reader
        .header(if columns.header { Header::Yes } else { Header::No })
        .label_column(columns.label.clone())
        .label_kind(columns.kind)
        .text_columns(columns.text.iter().cloned())
}

/// The texts of a data set, both of a pair.
pub fn all_texts(data: &Dataset) -> impl Iterator<Item = &str> {
    data.examples.iter().flat_map(|row| [Some(row.text.as_str()), row.pair.as_deref()]).flatten()
}

/// How many rows of `other` have a text that a row of `data` has.
pub fn shared_rows(data: &Dataset, other: &Dataset) -> usize {
    let seen: BTreeSet<(&str, Option<&str>)> =
        data.examples.iter().map(|row| (row.text.as_str(), row.pair.as_deref())).collect();
    other.examples.iter().filter(|row| seen.contains(&(row.text.as_str(), row.pair.as_deref()))).count()
}
