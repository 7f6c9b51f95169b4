mod columns;
mod lines;
mod stream;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use self::columns::{Places, Wanted, find_columns};
use self::table::{Format, Row, Table};
use super::dataset::{Dataset, Example};
use crate::error::{DataProblem, Error, Result};
use crate::storage::Hashing;

pub use columns::{Column, Columns, Header, LabelKind, LabelSource, Telling};
pub(crate) use lines::{LONGEST_ROW, Lines};
pub use stream::{TextColumns, TextFormat, TextRow, TextStream};

/// The most decompressed bytes a reader takes by default.
const MOST_BYTES: u64 = 4 << 30;
/// How many known labels an error lists.
const LABELS_IN_ERRORS: usize = 20;

/// The parts a data set comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// `train.*`
    Train,
    /// `dev.*`
    Dev,
    /// `test.*`
    Test,
}

impl Split {
    fn stem(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Dev => "dev",
            Self::Test => "test",
        }
    }
}

/// Reads labelled texts from csv, tsv and jsonl files, each also compressed (`.gz`).
///
/// csv is quoted as RFC 4180 says, tsv is not quoted at all (as in GLUE), jsonl holds one object a line. Blank lines
/// are passed over; cells are trimmed; a byte-order mark at the start is dropped.
///
/// What is not asked for is found out:
///
///  - **Header** (csv and tsv): the first row is one if its cells are filled and different and one of them is `label`,
///    `class` or `category`, in any case, or the name of a column that was asked for.
///  - **Label**: the column called `label`, `class` or `category`. Without such a name: the leftmost column that
///    holds nothing but the training set's labels, when those are given; else the column with the fewest different
///    values (the leftmost of several) that has a value in every row, each value at least twice, and between 2 and 1000
///    of them. When none is like that, the reader asks instead of guessing.
///  - **Texts**: all other columns in which some row has more than one word, joined by a space (empty ones leave no
///    space); so a column of row numbers, of marks or of source codes is left out. When there is none, all columns that
///    do not number the rows. Columns called `index`, `idx`, `id` or `guid` are always left out unless asked for. A column
///    found so whose repeated cells tell the label in 99 of 100 different rows (`very negative` beside 0) is refused, unless
///    it is the only one with words: to read it, ask for it by name. From 90 of 100 on it is noted ([`Telling`](crate::data::Telling)).
///
/// What was found is in [`Dataset::columns`], with other columns that could have been the label; print it.
///
/// A test file is best read [`like`](Self::like) its training set, so that both have the same labels and columns.
///
/// # Examples
/// ```
/// use dht_transformer::DatasetReader;
///
/// let file = "index\tsentence\tlabel\n0\tfine work\tgood\n1\tno work\tbad\n";
/// let data = DatasetReader::new().read_from("train.tsv", file.as_bytes())?;
/// assert_eq!(data.labels, ["bad", "good"]);
/// assert_eq!((data.examples[0].text.as_str(), data.examples[0].label), ("fine work", 1));
/// # Ok::<(), dht_transformer::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct DatasetReader {
    header: Header,
    label: Option<Column>,
    text: Option<Vec<Column>>,
    pair: bool,
    kind: LabelKind,
    labels: Option<Vec<String>>,
    most_bytes: u64,
}

impl Default for DatasetReader {
    fn default() -> Self {
        Self {
            header: Header::Auto,
            label: None,
            text: None,
            pair: false,
            kind: LabelKind::Class,
            labels: None,
            most_bytes: MOST_BYTES,
        }
    }
}

impl DatasetReader {
    /// A reader that finds everything out.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the first row of a csv or tsv file names the columns.
    #[must_use]
    pub fn header(mut self, header: Header) -> Self {
        self.header = header;
        self
    }

    /// The label's column.
    #[must_use]
    pub fn label_column(mut self, column: Column) -> Self {
        self.label = Some(column);
        self
    }

    /// The texts' columns, in the order to join them in.
    #[must_use]
    pub fn text_columns(mut self, columns: impl IntoIterator<Item = Column>) -> Self {
        self.text = Some(columns.into_iter().collect());
        self
    }

    /// Whether the two text columns are a pair of sentences instead of parts of one text.
    #[must_use]
    pub fn pair(mut self, pair: bool) -> Self {
        self.pair = pair;
        self
    }

    /// What the label column's cells say: a class (by default), several labels, or a number. Columns of numbers
    /// should be named as a label is (or given), since no other sign tells them.
    #[must_use]
    pub fn label_kind(mut self, kind: LabelKind) -> Self {
        self.kind = kind;
        self
    }

    /// The training set's labels: a class is its index among them, and a label not among them is an error.
    #[must_use]
    pub fn labels(mut self, labels: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.labels = Some(labels.into_iter().map(Into::into).collect());
        self
    }

    /// Reads as the training set was read: its labels and its columns.
    #[must_use]
    pub fn like(mut self, train: &Dataset) -> Self {
        self.labels = Some(train.labels.clone());
        if let Some(columns) = &train.columns {
            self.header = if columns.header { Header::Yes } else { Header::No };
            self.label = Some(columns.label.clone());
            self.kind = columns.kind;
            self.text = Some(columns.text.clone());
            self.pair = train.examples.iter().any(|example| example.pair.is_some());
        }
        self
    }

    /// The most (decompressed) bytes to read, 4 GiB unless set: a small compressed file can hold any amount.
    #[must_use]
    pub fn most_bytes(mut self, bytes: u64) -> Self {
        self.most_bytes = bytes;
        self
    }

    /// The file of a split in a directory: `train.csv`, `dev.tsv.gz`, …
    ///
    /// # Errors
    /// [`Error::Data`] when there is none, or more than one; [`Error::Io`] when the directory cannot be listed.
    pub fn find(folder: impl AsRef<Path>, split: Split) -> Result<PathBuf> {
        let folder = folder.as_ref();
        let failed = |source| Error::io(folder, source);
        let mut names = BTreeSet::new();
        for entry in std::fs::read_dir(folder).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
            if name.split_once('.').is_some_and(|(stem, _)| stem == split.stem()) && format_of(&name).is_some() {
                names.insert(name);
            }
        }
        let mut names = names.into_iter();
        let problem = match (names.next(), names.next()) {
            (Some(name), None) => return Ok(folder.join(name)),
            (Some(first), Some(second)) => DataProblem::AmbiguousSplit { first, second },
            (None, _) => DataProblem::NoSuchSplit {
                wanted: format!("{stem}.csv, {stem}.tsv, {stem}.jsonl (or with .gz)", stem = split.stem()),
            },
        };
        Err(Error::Data { path: folder.into(), line: None, problem })
    }

    /// Reads a file; its name says its format. The data set is named after the directory and the file.
    ///
    /// # Errors
    /// [`Error::Io`] when the file is missing or unreadable, else [`Error::Data`] with the line: an unknown
    /// extension, an empty file, NUL bytes, bytes that are not UTF-8, damaged or cut off gzip data, bad quotes, a
    /// wrong number of columns, bad JSON, unknown columns or labels, a row without label or text, no rows.
    pub fn read(&self, path: impl AsRef<Path>) -> Result<Dataset> {
        let path = path.as_ref();
        let file = File::open(path).map_err(|source| Error::io(path, source))?;
        self.read_from(path, file)
    }

    /// Reads from anything; `path` gives the format and the name, and stands in errors.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_from(&self, path: impl AsRef<Path>, input: impl Read) -> Result<Dataset> {
        let path = path.as_ref();
        let at = |line: Option<u64>, problem| Error::Data { path: path.into(), line, problem };
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let (format, compressed) = format_of(&name).ok_or_else(|| at(None, DataProblem::UnknownFormat))?;

        let mut raw = Hashing::new(input);
        let read = Table::read(&mut Lines::new(path, &mut raw, compressed, self.most_bytes), format);
        let empty = raw.is_unread();
        let table = match read {
            Ok(table) if !table.rows.is_empty() => table,
            // An empty file is no cut off gzip file, whatever its name.
            _ if empty => return Err(at(None, DataProblem::Empty)),
            Ok(_) => return Err(at(None, DataProblem::NoRows)),
            Err(error) => return Err(error),
        };
        let sha256 = raw.finish().map_err(|source| Error::io(path, source))?;

        let wanted = Wanted {
            header: self.header,
            label: self.label.as_ref(),
            text: self.text.as_deref(),
            labels: self.labels.as_deref(),
        };
        let places = find_columns(&table, &wanted).map_err(|(line, problem)| at(line, problem))?;
        if self.pair && places.text.len() != 2 {
            return Err(at(None, DataProblem::PairColumns { got: places.text.len() }));
        }
        for &place in places.text.iter().chain([&places.label]) {
            if let Some(&line) = table.nested.get(&place) {
                let column = table.keys.as_ref().map(|keys| keys[place].clone()).unwrap_or_default();
                return Err(at(Some(line), DataProblem::NestedValue { column }));
            }
        }
        let rows = &table.rows[usize::from(places.header_row)..];
        let labels = match &self.labels {
            Some(labels) => labels.clone(),
            None => match self.kind {
                LabelKind::Class => sorted_labels(rows.iter().map(|row| row.cell(places.label))),
                LabelKind::Several { separator } => {
                    sorted_labels(rows.iter().flat_map(|row| several(row.cell(places.label), separator)))
                }
                // The name of what the numbers measure.
                LabelKind::Number => vec![places.names.as_ref().map_or("number", |names| &names[places.label]).into()],
            },
        };
        let classes: BTreeMap<&str, usize> = labels.iter().map(String::as_str).zip(0..).collect();
        let examples = rows
            .iter()
            .map(|row| self.example(row, &places, &classes).map_err(|problem| at(Some(row.line), problem)))
            .collect::<Result<_>>()?;
        if labels.is_empty() {
            return Err(at(None, DataProblem::EmptyLabel));
        }
        Ok(Dataset { name: name_of(path), labels, examples, sha256, columns: Some(places.columns(self.kind)) })
    }

    fn example(
        &self,
        row: &Row,
        places: &Places,
        classes: &BTreeMap<&str, usize>,
    ) -> std::result::Result<Example, DataProblem> {
        let cell = row.cell(places.label);
        let class = |label: &str| {
            classes.get(label).copied().ok_or_else(|| {
                let mut known: Vec<&str> = classes.keys().copied().take(LABELS_IN_ERRORS).collect();
                if classes.len() > LABELS_IN_ERRORS {
                    known.push("…");
                }
                DataProblem::UnknownLabel { label: label.into(), known: known.join(", ") }
            })
        };
        let (mut label, mut targets) = (0, Vec::new());
        match self.kind {
            LabelKind::Several { separator } => {
                targets = vec![0.0; classes.len()];
                for label in several(cell, separator) {
                    targets[class(label)?] = 1.0;
                }
            }
            _ if cell.is_empty() => return Err(DataProblem::EmptyLabel),
            LabelKind::Class => label = class(cell)?,
            LabelKind::Number => {
                let number = cell.parse().ok().filter(|number: &f32| number.is_finite());
                targets.push(number.ok_or_else(|| DataProblem::NotANumber { label: cell.into() })?);
            }
        }
        let texts: Vec<&str> = places.text.iter().map(|&place| row.cell(place)).collect();
        if texts.iter().all(|text| text.is_empty()) {
            return Err(DataProblem::NoText);
        }
        Ok(if self.pair {
            Example { text: texts[0].into(), pair: Some(texts[1].into()), label, targets }
        } else {
            Example { text: joined(&texts), pair: None, label, targets }
        })
    }
}

/// The parts of one text; empty ones leave no space.
fn joined(cells: &[&str]) -> String {
    let filled: Vec<&str> = cells.iter().copied().filter(|text| !text.is_empty()).collect();
    filled.join(" ")
}

/// The labels of a cell.
fn several(cell: &str, separator: char) -> impl Iterator<Item = &str> {
    cell.split(separator).map(str::trim).filter(|label| !label.is_empty())
}

/// The format a file's name tells, and whether it is compressed.
fn format_of(name: &str) -> Option<(Format, bool)> {
    let name = name.to_ascii_lowercase();
    let (name, compressed) = name.strip_suffix(".gz").map_or((name.as_str(), false), |name| (name, true));
    let format = match name.rsplit_once('.')?.1 {
        "csv" => Format::Csv,
        "tsv" => Format::Tsv,
        "jsonl" => Format::JsonLines,
        _ => return None,
    };
    Some((format, compressed))
}

/// `FOLDER/STEM`, or `STEM` without a folder.
fn name_of(path: &Path) -> String {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = file.split('.').next().unwrap_or_default();
    match path.parent().and_then(Path::file_name) {
        Some(folder) => format!("{}/{stem}", folder.to_string_lossy()),
        None => stem.to_owned(),
    }
}

/// The different labels, by value when all are (finite) numbers, else by their letters.
fn sorted_labels<'a>(labels: impl Iterator<Item = &'a str>) -> Vec<String> {
    let labels: BTreeSet<&str> = labels.filter(|label| !label.is_empty()).collect();
    let number = |label: &str| label.parse().ok().filter(|value: &f64| value.is_finite());
    let numbers: Option<Vec<f64>> = labels.iter().map(|label| number(label)).collect();
    let mut sorted: Vec<String> = labels.into_iter().map(str::to_owned).collect();
    if let Some(numbers) = numbers {
        let mut order: Vec<(f64, String)> = numbers.into_iter().zip(sorted).collect();
        order.sort_by(|(left, _), (right, _)| left.total_cmp(right));
        sorted = order.into_iter().map(|(_, label)| label).collect();
    }
    sorted
}
