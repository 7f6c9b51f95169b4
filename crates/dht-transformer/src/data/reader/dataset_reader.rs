//! Reader of labelled texts.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::cells::is_missing;
use super::columns::{Places, Wanted, find_columns};
use super::file_name::{file_name, format_of, name_of};
use super::labels::{KnownLabels, Labels};
use super::lines::Lines;
use super::table::{Row, Table};
use super::text::joined;
use crate::data::dataset::{Dataset, Example};
use crate::data::reading::{Column, LabelKind, Reading, TableFormat};
use crate::error::{DataProblem, Error, Result};
use crate::storage::Hashing;

/// Default limit of decompressed bytes.
const MOST_BYTES: u64 = 4 << 30;

/// Reads labelled texts from csv, tsv and jsonl files, also compressed (`.gz`), and (with the feature `hub`) from
/// parquet files.
///
/// csv is quoted as in RFC 4180, tsv is not quoted (as in GLUE), and jsonl has one object on each line. Blank lines are
/// skipped; spaces around a cell and a byte-order mark at the start are dropped. From parquet files, columns of texts,
/// numbers and truth values are read. If a parquet file names the classes of a numbered column, as files on the Hugging
/// Face hub do, these names are the labels, in the order of the file; -1 is then not a class.
///
/// Columns that are not specified are detected by these rules; ambiguous files are refused:
///
///  - **Header** (csv and tsv): a first row with the name of a requested or known column, or with a word above numbers
///    or dates, is a header; a first row with a value that is repeated in its column is data. Unnamed columns are not
///    read.
///  - **Label**: the column called `label`; otherwise the only column called `labels`, `class` or `category`. Without
///    such a name, the only column that holds nothing but the training set's labels, if these are given. Otherwise the
///    only column that has a value in every row and between 2 and 1000 distinct values, each of which occurs at least
///    twice.
///  - **Text**: the column called `text`; otherwise the only column called `sentence`, `review`, `comment`, `content`,
///    `message`, `body`, `document`, `tweet` or `utterance`; otherwise the only column with words in it. Numbers, dates
///    and addresses are not words; columns called `index`, `idx`, `id` or `guid` are never texts. Several requested
///    columns are joined.
///  - **Pair** (if requested): columns with the names of a pair, such as `sentence1` and `sentence2` or `premise` and
///    `hypothesis`; otherwise the only two columns with words in them.
///  - **Classes** of another set, if its labels are given: see [`labels`](Self::labels).
///
/// [`Dataset::reading`] reports these decisions; print its [`lines`](Reading::lines).
///
/// Read a test file with the reader [`like`](Self::like) its training set, so that both have the same labels and
/// columns.
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
    header: Option<bool>,
    /// Header and number of columns of the training set.
    expected: Option<(bool, usize)>,
    label_of_training: bool,
    text_of_training: bool,
    label: Option<Column>,
    text: Option<Vec<Column>>,
    pair: bool,
    kind: Option<LabelKind>,
    labels: Option<Vec<String>>,
    mapping: Vec<(String, String)>,
    most_bytes: u64,
}

impl Default for DatasetReader {
    fn default() -> Self {
        Self {
            header: None,
            expected: None,
            label_of_training: false,
            text_of_training: false,
            label: None,
            text: None,
            pair: false,
            kind: None,
            labels: None,
            mapping: Vec::new(),
            most_bytes: MOST_BYTES,
        }
    }
}

impl DatasetReader {
    /// Creates a reader that detects header and columns.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets whether the first row of a csv or tsv file names the columns; `None`, the default, detects it from the first
    /// rows, and refuses an ambiguous first row.
    #[must_use]
    pub fn header(mut self, header: impl Into<Option<bool>>) -> Self {
        self.header = header.into();
        self
    }

    /// Sets the label column, by its name or number.
    #[must_use]
    pub fn label_column(mut self, column: impl Into<Column>) -> Self {
        (self.label, self.label_of_training) = (Some(column.into()), false);
        self
    }

    /// Sets the text columns, by their names or numbers, in the order of concatenation.
    #[must_use]
    pub fn text_columns(mut self, columns: impl IntoIterator<Item = impl Into<Column>>) -> Self {
        (self.text, self.text_of_training) = (Some(columns.into_iter().map(Into::into).collect()), false);
        self
    }

    /// Sets whether the two text columns are a sentence pair instead of parts of one text.
    #[must_use]
    pub fn pair(mut self, pair: bool) -> Self {
        self.pair = pair;
        self
    }

    /// Sets the meaning of the label column: a class (default), several labels, or a number. A column of numbers should
    /// have the name of a label column or be set explicitly, since nothing else identifies it.
    #[must_use]
    pub fn label_kind(mut self, kind: LabelKind) -> Self {
        self.kind = Some(kind);
        self
    }

    /// Sets the training set's labels. A class is an index into these labels. The file's labels are matched with them:
    ///
    /// | labels of the file | classes | a label is |
    /// |---|---|---|
    /// | names | the same names | the class of its name: exactly, else ignoring case and surrounding spaces, else as equal numbers |
    /// | numbers or `LABEL_k` | names | class k, from 0; from 1 where 1 to n all occur and 0 does not |
    /// | numbers | `LABEL_k`, and the other way round | the class of its number |
    /// | no and yes, false and true | two numbers or `LABEL_k` | the lower and the higher one |
    ///
    /// All other labels are [refused](DataProblem::OtherLabels), as are numbers that may be counted from 0 or from 1.
    #[must_use]
    pub fn labels(mut self, labels: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.labels = Some(labels.into_iter().map(Into::into).collect());
        self
    }

    /// Sets the classes of labels that do not match by name. Each pair is a label and its class. Without known
    /// [classes](Self::labels), the classes are the labels as they are mapped, so that two labels can become one class.
    #[must_use]
    pub fn label_mapping(mut self, pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        self.mapping = pairs.into_iter().collect();
        self
    }

    /// Uses the labels and columns of the training set.
    #[must_use]
    pub fn like(self, train: &Dataset) -> Self {
        let reader = self.labels(train.labels.iter().cloned());
        match &train.reading {
            Some(reading) => reader.with_reading(reading),
            None => reader,
        }
    }

    /// Uses the columns from the [`Reading`] of another file, with its label kind and label mapping. That of a file
    /// without labels has text columns alone.
    #[must_use]
    pub fn with_reading(mut self, reading: &Reading) -> Self {
        (self.text, self.text_of_training) = (Some(reading.text.clone()), true);
        if let Some(label) = &reading.label {
            self.expected = Some((reading.header, reading.width()));
            (self.label, self.label_of_training) = (Some(label.clone()), true);
            self.kind = Some(reading.kind);
        }
        self.pair = reading.pair;
        if let Some(mapping) = &reading.mapping {
            self.mapping = mapping.pairs().to_vec();
        }
        self
    }

    /// Sets the limit of (decompressed) bytes; default 4 GiB. A small compressed file can expand to any size.
    #[must_use]
    pub fn most_bytes(mut self, bytes: u64) -> Self {
        self.most_bytes = bytes;
        self
    }

    /// Reads a file, in the format that its extension names. The data set is named after the directory and the file.
    ///
    /// # Errors
    /// [`Error::Io`] if the file is missing or unreadable, otherwise [`Error::Data`] with the line. Causes: an unknown
    /// extension, an empty file, NUL bytes, bytes that are not UTF-8, damaged or truncated gzip or parquet data, bad
    /// quotes, a wrong number of columns, bad JSON, unknown columns or labels, a row without label or text, no rows.
    pub fn read(&self, path: impl AsRef<Path>) -> Result<Dataset> {
        let path = path.as_ref();
        match format_of(&file_name(path)) {
            Some((TableFormat::Parquet, _)) => self.read_parts(&[path]),
            _ if path.is_dir() => {
                let source = io::Error::new(io::ErrorKind::IsADirectory, "is a directory, expected a file");
                Err(Error::io(path, source))
            }
            _ => self.read_from(path, File::open(path).map_err(|source| Error::io(path, source))?),
        }
    }

    /// Reads the parts of a parquet file in order, or one file of any format. Errors name the part.
    ///
    /// # Errors
    /// As [`read`](Self::read); [`Error::Data`] for a part whose columns differ from the first part's;
    /// [`Error::Argument`] for no file, or for several files that are not parquet.
    pub fn read_parts(&self, parts: &[impl AsRef<Path>]) -> Result<Dataset> {
        let parquet = |path: &Path| matches!(format_of(&file_name(path)), Some((TableFormat::Parquet, _)));
        match parts {
            [] => return Err(Error::argument("parts", "one or more files", "none")),
            [only] if !parquet(only.as_ref()) => return self.read(only),
            parts => {
                if let Some(other) = parts.iter().find(|part| !parquet(part.as_ref())) {
                    let got = other.as_ref().display().to_string();
                    return Err(Error::argument("parts", "one file, or parquet files", got));
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
        self.finish(table, TableFormat::Parquet, path, sha256)
    }

    /// Reads from any source; `path` gives the format and the name, and appears in errors. Parquet data are first
    /// written to a temporary file.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_from(&self, path: impl AsRef<Path>, input: impl Read) -> Result<Dataset> {
        let path = path.as_ref();
        let at = |line: Option<u64>, problem| Error::Data { path: path.into(), line, problem };
        let (format, compressed) = format_of(&file_name(path)).ok_or_else(|| at(None, DataProblem::UnknownFormat))?;

        let mut raw = Hashing::new(input);
        if format == TableFormat::Parquet {
            let failed = |source| Error::io(path, source);
            let mut file = tempfile::tempfile().map_err(failed)?;
            io::copy(&mut raw, &mut file).map_err(failed)?;
            let mut table = Table::default();
            self.add_part(&mut table, path, file)?;
            return self.finish(table, format, path, raw.finish().map_err(failed)?);
        }
        let read = Table::read(&mut Lines::new(path, &mut raw, compressed, self.most_bytes), format);
        let empty = raw.is_unread();
        let table = match read {
            Ok(table) if !table.rows.is_empty() => table,
            // An empty file is not a truncated gzip file, whatever its name.
            _ if empty => return Err(at(None, DataProblem::Empty)),
            Ok(_) => return Err(at(None, DataProblem::NoRows)),
            Err(error) => return Err(error),
        };
        self.finish(table, format, path, raw.finish().map_err(|source| Error::io(path, source))?)
    }

    #[cfg(feature = "hub")]
    fn add_part(&self, table: &mut Table, path: &Path, file: File) -> Result<()> {
        table.read_parquet(path, file, self.most_bytes)
    }

    #[cfg(not(feature = "hub"))]
    fn add_part(&self, _: &mut Table, path: &Path, _: File) -> Result<()> {
        Err(Error::Data { path: path.into(), line: None, problem: DataProblem::ParquetNotBuilt })
    }

    /// Selects the columns and labels of a table of one or more rows, and moves the rows into examples, so that no text
    /// is in memory twice.
    fn finish(&self, mut table: Table, format: TableFormat, path: &Path, sha256: String) -> Result<Dataset> {
        let at = |(line, problem): (Option<u64>, DataProblem)| Error::Data { path: path.into(), line, problem };
        let wanted = Wanted {
            header: self.header,
            expected_header: self.expected.map(|(header, _)| header),
            expected_width: self.expected.map(|(_, width)| width),
            label_of_training: self.label_of_training,
            text_of_training: self.text_of_training,
            label: self.label.as_ref(),
            text: self.text.as_deref(),
            pair: self.pair,
            labels: self.labels.as_deref(),
        };
        let places = find_columns(&table, &wanted).map_err(at)?;
        if self.pair && places.text.len() != 2 {
            return Err(at((None, DataProblem::PairColumns { got: places.text.len() })));
        }
        for &place in places.text.iter().chain([&places.label]) {
            if let Some(&line) = table.nested.get(&place) {
                let column = table.keys.as_ref().map(|keys| keys[place].clone()).unwrap_or_default();
                return Err(at(match table.types.get(&place) {
                    Some(got) => (None, DataProblem::ColumnType { column, got: got.clone() }),
                    None => (Some(line), DataProblem::NestedValue { column }),
                }));
            }
        }
        let first = usize::from(places.header_row);
        let all_rows = std::mem::take(&mut table.rows);
        let rows = &all_rows[first..];
        let first_line = rows.first().map(|row| row.line);
        let last_line = rows.last().map(|row| row.line);
        // The name of the measured quantity.
        let name = match places.column(places.label) {
            Column::Name(name) => name,
            Column::Number(_) => "number".into(),
        };
        let kind = self.kind.unwrap_or_default();
        let known = KnownLabels {
            kind,
            kind_asked: self.kind.is_some(),
            classes: self.labels.as_deref(),
            given: &self.mapping,
        };
        let labels = Labels::read(&table, rows, places.label, &name, &known).map_err(at)?;
        let columns = |places_of: &[usize]| places_of.iter().map(|place| places.column(*place)).collect::<Vec<_>>();
        let carried: Vec<usize> =
            (0..table.width).filter(|place| *place != places.label && !places.text.contains(place)).collect();
        let mut reading = Reading {
            format: Some(format),
            header: places.names.is_some(),
            header_source: places.header_source.clone(),
            label: Some(places.column(places.label)),
            label_source: places.label_source,
            label_rivals: columns(&places.label_rivals),
            kind,
            mapping: labels.mapping.clone(),
            text: columns(&places.text),
            text_source: places.text_source,
            pair: self.pair,
            carried: columns(&carried),
            rows: rows.len(),
            blank_lines: table.blank_lines,
            leaks: places.leaks.clone(),
            missing_texts: None,
            lone_class: None,
        };
        let mut missing: (usize, Option<String>) = (0, None);
        let example = |(at, row): (usize, Row)| {
            let example =
                self.example(&row, &places, &labels, table.keys.is_some() && format == TableFormat::JsonLines);
            let example = example.map_err(|problem| Error::Data {
                path: table.part_of(at).unwrap_or(path).into(),
                line: Some(row.line),
                problem,
            })?;
            if is_missing(&example.text) {
                missing.0 += 1;
                missing.1.get_or_insert_with(|| example.text.clone());
            }
            Ok(example)
        };
        let examples = all_rows.into_iter().enumerate().skip(first).map(example).collect::<Result<Vec<_>>>()?;
        reading.missing_texts = missing.1.map(|first| (missing.0, first));
        if labels.classes.is_empty() {
            return Err(at((None, DataProblem::EmptyLabel)));
        }
        // In a small file many classes have a single row.
        if kind == LabelKind::Class && self.labels.is_none() && examples.len() >= 4 * labels.classes.len() {
            let ends = [(first_line, examples.first()), (last_line, examples.last())];
            let alone = |label| examples.iter().filter(|example| example.label == label).count() == 1;
            reading.lone_class = ends.into_iter().find_map(|(line, example)| {
                let class = example.map(|example| example.label).filter(|label| alone(*label))?;
                Some((line?, labels.classes.get(class)?.clone()))
            });
        }
        // The secret placeholder of a number is -1 too, but -1 may also be a real value.
        if kind == LabelKind::Number && examples.len() > 1 && examples.iter().all(|row| row.targets == [-1.0]) {
            return Err(at((first_line, DataProblem::HiddenLabel)));
        }
        Ok(Dataset { name: name_of(path), labels: labels.classes, examples, sha256, reading: Some(reading) })
    }

    fn example(
        &self,
        row: &Row,
        places: &Places,
        labels: &Labels,
        has_keys: bool,
    ) -> std::result::Result<Example, DataProblem> {
        if has_keys && let Some(place) = places.text.iter().find(|place| !row.has(**place)) {
            return Err(DataProblem::MissingKey { key: places.column(*place).to_string() });
        }
        let (label, targets) = labels.of_row(row)?;
        let texts: Vec<Cow<'_, str>> = places.text.iter().map(|place| Example::clean_text(row.raw(*place))).collect();
        if texts.iter().all(|text| text.is_empty()) {
            return Err(DataProblem::NoText);
        }
        Ok(match &*texts {
            [text, pair] if self.pair => {
                Example { text: text.to_string(), pair: Some(pair.to_string()), label, targets }
            }
            texts => Example { text: joined(texts), pair: None, label, targets },
        })
    }
}
