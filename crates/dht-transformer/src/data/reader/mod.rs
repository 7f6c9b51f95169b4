mod files;
mod find_columns;
mod labels;
mod lines;
#[cfg(feature = "hub")]
mod parquet;
mod stream;
mod table;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use self::files::{format_of, name_of};
use self::find_columns::{Places, Wanted, find_columns};
use self::labels::{Classes, several, sorted_labels};
use self::table::{Format, Row, Table};
use super::columns::{Column, Header, LabelKind};
use super::dataset::{Dataset, Example};
use crate::error::{DataProblem, Error, Result};
use crate::storage::Hashing;

pub use files::Split;
pub(crate) use lines::{LONGEST_ROW, Lines};
pub use stream::{TextColumns, TextFormat, TextRow, TextStream};

/// The most decompressed bytes a reader takes by default.
const MOST_BYTES: u64 = 4 << 30;

/// Reads labelled texts from csv, tsv and jsonl files, each also compressed (`.gz`), and (with the feature `hub`) from parquet files.
///
/// csv is quoted as RFC 4180 says, tsv is not quoted at all (as in GLUE), jsonl holds one object a line. Blank lines
/// are passed over; cells are trimmed; a byte-order mark at the start is dropped. Of a parquet file columns of texts, numbers
/// and truth values are read. If it says the names of the classes that a column numbers, as those on the Hugging Face hub do,
/// they are the labels, in its order; -1 is no class then.
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

    /// Reads a file; its name says its format. The data set is named after the directory and the file.
    ///
    /// # Errors
    /// [`Error::Io`] when the file is missing or unreadable, else [`Error::Data`] with the line: an unknown
    /// extension, an empty file, NUL bytes, bytes that are not UTF-8, damaged or cut off gzip or parquet data, bad quotes, a
    /// wrong number of columns, bad JSON, unknown columns or labels, a row without label or text, no rows.
    pub fn read(&self, path: impl AsRef<Path>) -> Result<Dataset> {
        let path = path.as_ref();
        match format_of(&file_name(path)) {
            Some((Format::Parquet, _)) => self.read_parts(&[path]),
            _ => self.read_from(path, File::open(path).map_err(|source| Error::io(path, source))?),
        }
    }

    /// Reads the parts of a parquet file one after another, or any one file. Errors name the part.
    ///
    /// # Errors
    /// As [`read`](Self::read); [`Error::Data`] for a part with other columns than the first, [`Error::Setting`] for no file,
    /// or several of other formats.
    pub fn read_parts(&self, parts: &[impl AsRef<Path>]) -> Result<Dataset> {
        let parquet = |path: &Path| matches!(format_of(&file_name(path)), Some((Format::Parquet, _)));
        match parts {
            [] => return Err(Error::setting("parts", "one or more files", "none")),
            [only] if !parquet(only.as_ref()) => return self.read(only),
            parts => {
                if let Some(other) = parts.iter().find(|part| !parquet(part.as_ref())) {
                    let got = other.as_ref().display().to_string();
                    return Err(Error::setting("parts", "one file, or parquet files", got));
                }
            }
        }
        let (mut table, mut bytes) = (Table::default(), Box::new(io::empty()) as Box<dyn Read>);
        for part in parts {
            let path = part.as_ref();
            let open = || File::open(path).map_err(|source| Error::io(path, source));
            self.add_part(&mut table, path, open()?)?;
            bytes = Box::new(bytes.chain(open()?));
        }
        let path = parts[0].as_ref();
        let sha256 = Hashing::new(bytes).finish().map_err(|source| Error::io(path, source))?;
        self.finish(table, path, sha256)
    }

    /// Reads from anything; `path` gives the format and the name, and stands in errors. Parquet data go to a temporary file first.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_from(&self, path: impl AsRef<Path>, input: impl Read) -> Result<Dataset> {
        let path = path.as_ref();
        let at = |line: Option<u64>, problem| Error::Data { path: path.into(), line, problem };
        let (format, compressed) = format_of(&file_name(path)).ok_or_else(|| at(None, DataProblem::UnknownFormat))?;

        let mut raw = Hashing::new(input);
        if format == Format::Parquet {
            let failed = |source| Error::io(path, source);
            let mut file = tempfile::tempfile().map_err(failed)?;
            io::copy(&mut raw, &mut file).map_err(failed)?;
            let mut table = Table::default();
            self.add_part(&mut table, path, file)?;
            return self.finish(table, path, raw.finish().map_err(failed)?);
        }
        let read = Table::read(&mut Lines::new(path, &mut raw, compressed, self.most_bytes), format);
        let empty = raw.is_unread();
        let table = match read {
            Ok(table) if !table.rows.is_empty() => table,
            // An empty file is no cut off gzip file, whatever its name.
            _ if empty => return Err(at(None, DataProblem::Empty)),
            Ok(_) => return Err(at(None, DataProblem::NoRows)),
            Err(error) => return Err(error),
        };
        self.finish(table, path, raw.finish().map_err(|source| Error::io(path, source))?)
    }

    #[cfg(feature = "hub")]
    fn add_part(&self, table: &mut Table, path: &Path, file: File) -> Result<()> {
        table.read_parquet(path, file, self.most_bytes)
    }

    #[cfg(not(feature = "hub"))]
    fn add_part(&self, _: &mut Table, path: &Path, _: File) -> Result<()> {
        Err(Error::Data { path: path.into(), line: None, problem: DataProblem::ParquetNotBuilt })
    }

    /// Finds columns and labels in a table of one or more rows, and makes its rows examples, so that no text is there twice.
    fn finish(&self, mut table: Table, path: &Path, sha256: String) -> Result<Dataset> {
        let at = |line: Option<u64>, problem| Error::Data { path: path.into(), line, problem };
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
                return Err(match table.types.get(&place) {
                    Some(got) => at(None, DataProblem::ColumnType { column, got: got.clone() }),
                    None => at(Some(line), DataProblem::NestedValue { column }),
                });
            }
        }
        let first = usize::from(places.header_row);
        let all_rows = std::mem::take(&mut table.rows);
        let rows = &all_rows[first..];
        let first_line = rows.first().map(|row| row.line);
        let names = self.class_names(&table, places.label);
        let labels = match (&self.labels, names) {
            (Some(labels), _) => labels.clone(),
            (None, Some(names)) => names.to_vec(),
            (None, None) => match self.kind {
                LabelKind::Class => sorted_labels(rows.iter().map(|row| row.cell(places.label))),
                LabelKind::Several { separator } => {
                    sorted_labels(rows.iter().flat_map(|row| several(row.cell(places.label), separator)))
                }
                // The name of what the numbers measure.
                LabelKind::Number => vec![places.names.as_ref().map_or("number", |names| &names[places.label]).into()],
            },
        };
        let classes = Classes::new(&labels, names);
        let example = |(at, row): (usize, Row)| {
            self.example(&row, &places, &classes).map_err(|problem| Error::Data {
                path: table.part_of(at).unwrap_or(path).into(),
                line: Some(row.line),
                problem,
            })
        };
        let examples = all_rows.into_iter().enumerate().skip(first).map(example).collect::<Result<Vec<_>>>()?;
        if labels.is_empty() {
            return Err(at(None, DataProblem::EmptyLabel));
        }
        // A number is kept secret as a class is, but -1 may be a number like any other.
        if self.kind == LabelKind::Number && examples.len() > 1 && examples.iter().all(|row| row.targets == [-1.0]) {
            return Err(at(first_line, DataProblem::HiddenLabel));
        }
        Ok(Dataset { name: name_of(path), labels, examples, sha256, columns: Some(places.columns(self.kind)) })
    }

    /// The names of the classes that a label column numbers, where the file has them, unless the training set's labels are the
    /// numbers.
    fn class_names<'a>(&self, table: &'a Table, label: usize) -> Option<&'a [String]> {
        let names = table.classes.get(&label).filter(|_| self.kind == LabelKind::Class)?;
        let numbers = self.labels.as_ref().is_some_and(|labels| {
            let known = |name: &String| labels.contains(name);
            !names.iter().all(known) && (0..names.len()).all(|class| known(&class.to_string()))
        });
        (!numbers).then_some(names)
    }

    fn example(&self, row: &Row, places: &Places, classes: &Classes<'_>) -> std::result::Result<Example, DataProblem> {
        let cell = row.cell(places.label);
        let (mut label, mut targets) = (0, Vec::new());
        match self.kind {
            LabelKind::Several { separator } => {
                targets = vec![0.0; classes.count()];
                for label in several(cell, separator) {
                    targets[classes.of(label)?] = 1.0;
                }
            }
            _ if cell.is_empty() => return Err(DataProblem::EmptyLabel),
            LabelKind::Class => label = classes.of(cell)?,
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

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The parts of one text; empty ones leave no space.
fn joined(cells: &[&str]) -> String {
    let filled: Vec<&str> = cells.iter().copied().filter(|text| !text.is_empty()).collect();
    filled.join(" ")
}
