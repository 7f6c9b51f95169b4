//! Reader of labelled texts.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::assembly::{TableFile, assemble};
use super::coding::TextEncoding;
use super::file_name::{file_name, format_of};
use super::folders::class_folders;
use super::lines::Lines;
use super::request::{TableRequest, TrainingTable};
use super::table::{Draw, Table};
use crate::data::dataset::Dataset;
use crate::data::reading::{Column, LabelKind, Reading, TableFormat};
use crate::error::{DataProblem, Error, Result};
use crate::storage::Hashing;

/// Default limit of decompressed bytes.
const MOST_BYTES: u64 = 4 << 30;

/// Reads labelled texts from csv, tsv and jsonl files, also compressed (`.gz`, `.zst`), from files of fastText (`.txt`
/// with lines such as `__label__good fine food`), from [folders of classes](Self::read_folders), and (with the feature
/// `parquet`) from parquet files.
///
/// csv is quoted as in RFC 4180. Its columns are separated by commas, or by semicolons, tabs or bars between the names
/// of a header without commas, or by the sign of a first line such as `sep=;`. tsv is not quoted (as in GLUE). jsonl has
/// one object on each line; an array of objects is read, too. Blank lines are skipped; spaces around a cell are dropped.
/// Texts are UTF-8, unless a byte-order mark or [`encoding`](Self::encoding) names another encoding. From parquet files,
/// columns of texts, numbers and truth values are read. If a parquet file names the classes of a numbered column, as
/// files on the Hugging Face hub do, these names are the labels, in the order of the file; -1 is then not a class.
///
/// Labels in a list are read from cells such as `["food", "staff"]`, `['food', 'staff']` or `{"food": 1, "staff": 0}`,
/// in which a label applies from 0.5 on. If each row has one label, they are classes, otherwise
/// [several labels](LabelKind::Several).
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
    request: TableRequest,
    most_bytes: u64,
}

impl Default for DatasetReader {
    fn default() -> Self {
        Self { request: TableRequest::default(), most_bytes: MOST_BYTES }
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
        self.request.header = header.into();
        self
    }

    /// Sets the separator of the columns of a csv file; `None`, the default, is the comma, or what stands between the
    /// names of a first line without commas.
    #[must_use]
    pub fn separator(mut self, separator: impl Into<Option<char>>) -> Self {
        self.request.separator = separator.into();
        self
    }

    /// Sets the encoding of files without a byte-order mark; `None`, the default, is UTF-8.
    #[must_use]
    pub fn encoding(mut self, encoding: impl Into<Option<TextEncoding>>) -> Self {
        self.request.encoding = encoding.into();
        self
    }

    /// Sets the label column, by its name or number.
    #[must_use]
    pub fn label_column(mut self, column: impl Into<Column>) -> Self {
        (self.request.label, self.request.label_of_training) = (Some(column.into()), false);
        self
    }

    /// Sets a column for each label, whose cells are 1 where the label applies, otherwise 0 or empty. Each label has the
    /// name of its column.
    #[must_use]
    pub fn label_columns(mut self, columns: impl IntoIterator<Item = impl Into<Column>>) -> Self {
        self.request.label_columns = columns.into_iter().map(Into::into).collect();
        self.request.label_of_training = false;
        self
    }

    /// Sets the text columns, by their names or numbers, in the order of concatenation.
    #[must_use]
    pub fn text_columns(mut self, columns: impl IntoIterator<Item = impl Into<Column>>) -> Self {
        self.request.text = Some(columns.into_iter().map(Into::into).collect());
        self.request.text_of_training = false;
        self
    }

    /// Sets whether the two text columns are a sentence pair instead of parts of one text.
    #[must_use]
    pub fn pair(mut self, pair: bool) -> Self {
        self.request.pair = pair;
        self
    }

    /// Sets the meaning of the label column: a class (default), several labels, or a number. A column of numbers should
    /// have the name of a label column or be set explicitly, since nothing else identifies it.
    #[must_use]
    pub fn label_kind(mut self, kind: LabelKind) -> Self {
        self.request.kind = Some(kind);
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
        self.request.labels = Some(labels.into_iter().map(Into::into).collect());
        self
    }

    /// Sets the classes of labels that do not match by name. Each pair is a label and its class. Without known
    /// [classes](Self::labels), the classes are the labels as they are mapped, so that two labels can become one class.
    #[must_use]
    pub fn label_mapping(mut self, pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        self.request.mapping = pairs.into_iter().collect();
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
        let request = &mut self.request;
        (request.text, request.text_of_training) = (Some(reading.text.clone()), true);
        if let Some(label) = &reading.label {
            request.training = Some(TrainingTable { header: reading.header, width: reading.width() });
            (request.label, request.label_of_training) = (Some(label.clone()), true);
            request.label_columns.clone_from(&reading.label_columns);
            request.kind = Some(reading.kind);
        }
        request.pair = reading.pair;
        if let Some(mapping) = &reading.mapping {
            request.mapping = mapping.pairs().to_vec();
        }
        self
    }

    /// Leaves out rows without a label, and rows with a label that none of the [`labels`](Self::labels) is, and counts them
    /// in the [reading](Dataset::reading). A file most of whose rows have other labels is still refused.
    #[must_use]
    pub fn skip_unlabelled(mut self) -> Self {
        self.request.skips_unlabelled = true;
        self
    }

    /// Draws at most this many rows by a seed, each row with the same probability, and keeps their order. One file takes
    /// no more memory than these rows, of several files also the largest one.
    #[must_use]
    pub fn most_rows(mut self, rows: usize, seed: u64) -> Self {
        self.request.most_rows = Some((rows, seed));
        self
    }

    /// Sets the limit of (decompressed) bytes; default 4 GiB. A small compressed file can expand to any size.
    #[must_use]
    pub fn most_bytes(mut self, bytes: u64) -> Self {
        self.most_bytes = bytes;
        self
    }

    /// Reads a file, in the format that its extension names. The data set is named after the directory and the file. A
    /// directory is read as [folders of classes](Self::read_folders).
    ///
    /// # Errors
    /// [`Error::Io`] if the file is missing or unreadable, otherwise [`Error::Data`] with the line. Causes: an unknown
    /// extension, an empty file, NUL bytes, bytes that are not UTF-8, damaged or truncated gzip or parquet data, bad
    /// quotes, a wrong number of columns, bad JSON, unknown columns or labels, a row without label or text, no rows.
    pub fn read(&self, path: impl AsRef<Path>) -> Result<Dataset> {
        let path = path.as_ref();
        if path.is_dir() {
            return self.read_folders(path);
        }
        let (table, format, sha256) = self.table_of(path)?;
        assemble(table, &self.request, TableFile { path, format, sha256 })
    }

    /// Reads the texts of a directory with a folder for each class and a file for each text: `pos/1.txt`, `pos/2.txt`,
    /// `neg/1.txt`, … Read are files whose names end in `.txt` or digits, or have no ending.
    ///
    /// # Errors
    /// [`Error::Io`] for a file that cannot be read; [`Error::Data`] for fewer than two folders with texts, and for a
    /// file that is not text.
    pub fn read_folders(&self, folder: impl AsRef<Path>) -> Result<Dataset> {
        let folder = folder.as_ref();
        if class_folders(folder)?.len() < 2 {
            return Err(data_error(folder, None, DataProblem::NoClassFolders));
        }
        let (table, sha256) = Table::read_folders(folder, &self.request, self.most_bytes)?;
        if table.rows.is_empty() {
            return Err(data_error(folder, None, DataProblem::NoRows));
        }
        assemble(table, &self.request, TableFile { path: folder, format: TableFormat::Folders, sha256 })
    }

    /// Reads several files as one table, in order. They have the same columns; those of csv and tsv files stand in the
    /// same order, and the first row of each may repeat the header. Errors name the file.
    ///
    /// # Errors
    /// As [`read`](Self::read); [`Error::Data`] for a file whose columns differ from the first file's;
    /// [`Error::Argument`] for no file, or for files of different formats.
    pub fn read_parts(&self, parts: &[impl AsRef<Path>]) -> Result<Dataset> {
        let first = match parts {
            [] => return Err(Error::argument("parts", "one or more files", "none")),
            [only] => return self.read(only),
            [first, ..] => first.as_ref(),
        };
        let format = |path: &Path| format_of(&file_name(path)).map(|(format, _)| format);
        if let Some(other) = parts.iter().find(|part| format(part.as_ref()) != format(first)) {
            let got = format!("{} and {}", first.display(), other.as_ref().display());
            return Err(Error::argument("parts", "files of one format", got));
        }
        let draw = self.request.most_rows.map(Draw::new);
        let (mut table, mut bytes) = (Table { draw, ..Table::default() }, Box::new(io::empty()) as Box<dyn Read>);
        // Rows are drawn from all files together.
        let all = Self { request: TableRequest { most_rows: None, ..self.request.clone() }, ..self.clone() };
        for part in parts {
            let path = part.as_ref();
            let may_repeat_header = self.request.header != Some(false);
            let added = table.append(all.table_of(path)?.0, path, may_repeat_header);
            added.map_err(|(line, problem)| data_error(path, line, problem))?;
            bytes = Box::new(bytes.chain(open(path)?));
        }
        let sha256 = Hashing::new(bytes).finish().map_err(|source| Error::io(first, source))?;
        let format = format(first).ok_or_else(|| data_error(first, None, DataProblem::UnknownFormat))?;
        assemble(table, &self.request, TableFile { path: first, format, sha256 })
    }

    /// Reads from any source; `path` gives the format and the name, and appears in errors. Parquet data are first
    /// written to a temporary file.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_from(&self, path: impl AsRef<Path>, input: impl Read) -> Result<Dataset> {
        let path = path.as_ref();
        let (table, format, sha256) = self.table(path, input)?;
        assemble(table, &self.request, TableFile { path, format, sha256 })
    }

    /// Reads the rows of a file, with its format and digest.
    fn table_of(&self, path: &Path) -> Result<(Table, TableFormat, String)> {
        if !matches!(format_of(&file_name(path)), Some((TableFormat::Parquet, _))) {
            return self.table(path, open(path)?);
        }
        let mut table = Table { draw: self.request.most_rows.map(Draw::new), ..Table::default() };
        self.add_part(&mut table, path, open(path)?)?;
        let sha256 = Hashing::new(open(path)?).finish().map_err(|source| Error::io(path, source))?;
        Ok((table, TableFormat::Parquet, sha256))
    }

    /// Reads the rows of an input, with its format and digest.
    fn table(&self, path: &Path, input: impl Read) -> Result<(Table, TableFormat, String)> {
        let at = |line, problem| data_error(path, line, problem);
        let (format, compression) = format_of(&file_name(path)).ok_or_else(|| at(None, DataProblem::UnknownFormat))?;

        let mut raw = Hashing::new(input);
        if format == TableFormat::Parquet {
            let failed = |source| Error::io(path, source);
            let mut file = tempfile::tempfile().map_err(failed)?;
            io::copy(&mut raw, &mut file).map_err(failed)?;
            let mut table = Table { draw: self.request.most_rows.map(Draw::new), ..Table::default() };
            self.add_part(&mut table, path, file)?;
            return Ok((table, format, raw.finish().map_err(failed)?));
        }
        let mut lines = Lines::new(path, &mut raw, compression, self.most_bytes)
            .with_encoding(self.request.encoding)
            .with_arrays(format == TableFormat::JsonLines);
        let read = Table::read(&mut lines, format, &self.request);
        drop(lines);
        let empty = raw.is_unread();
        let table = match read {
            Ok(table) if !table.rows.is_empty() => table,
            // An empty file is not a truncated gzip file, whatever its name.
            _ if empty => return Err(at(None, DataProblem::Empty)),
            Ok(_) => return Err(at(None, DataProblem::NoRows)),
            Err(error) => return Err(error),
        };
        Ok((table, format, raw.finish().map_err(|source| Error::io(path, source))?))
    }

    #[cfg(feature = "parquet")]
    fn add_part(&self, table: &mut Table, path: &Path, file: File) -> Result<()> {
        table.read_parquet(path, file, self.most_bytes, &self.request)
    }

    #[cfg(not(feature = "parquet"))]
    fn add_part(&self, _: &mut Table, path: &Path, _: File) -> Result<()> {
        Err(Error::Data { path: path.into(), line: None, problem: DataProblem::ParquetNotBuilt })
    }
}

fn open(path: &Path) -> Result<File> {
    File::open(path).map_err(|source| Error::io(path, source))
}

fn data_error(path: &Path, line: Option<u64>, problem: DataProblem) -> Error {
    Error::Data { path: path.into(), line, problem }
}
