//! Reader of labelled data sets.

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

const MOST_BYTES: u64 = 4 << 30;

/// Reads labelled texts from csv, tsv, jsonl, parquet and fastText files, and from directories with a folder for each
/// class.
///
/// - **csv**: quoted as in RFC 4180. A first line such as `sep=;` declares the separator. Without such a line, the
///   separator is the comma. In a header without commas, it is the semicolon, tab or bar that separates the names.
/// - **tsv**: not quoted, as in the GLUE benchmark.
/// - **jsonl**: one object on each line, or an array of objects.
/// - **parquet** (feature `parquet`): columns of texts, numbers and truth values. A file may name the classes of a
///   column with class numbers, as files on the Hugging Face hub do. The names are then the labels, in the order of the
///   file, and -1 marks a row without a class.
/// - **fastText** (`.txt`): lines such as `__label__good fine food`.
/// - **Directories** with a [folder for each class](Self::read_folders).
///
/// Text files may be compressed (`.gz`, `.zst`). Blank lines are skipped, and spaces around a cell are removed. Texts
/// are UTF-8, unless a byte-order mark or [`with_encoding`](Self::with_encoding) names another encoding.
///
/// A label cell may be a list, such as `["food", "staff"]` or `['food', 'staff']`. It may also be an object with
/// scores, such as `{"food": 1, "staff": 0}`, in which a label applies if its score is at least 0.5. If each row has
/// exactly one label, the task is single-label classification; otherwise it is [multi-label](LabelKind::Several).
///
/// # Detection of columns
/// The reader detects the columns that the caller does not request, by these rules. It refuses an ambiguous file.
///
/// - **Header** (csv and tsv): the first row is a header if it contains the name of a requested or known column, or a
///   word in a column that otherwise holds numbers or dates. It is data if one of its values is repeated in the column.
///   Columns without a name are not read.
/// - **Label**: the column called `label`; otherwise the only column called `labels`, `class` or `category`. Without
///   such a name, it is the only column that holds nothing but labels of the training set, if they are known. Otherwise
///   it is the only column with a value in every row and 2 to 1000 distinct values, each of which occurs at least
///   twice.
/// - **Text**: the column called `text`; otherwise the only column called `sentence`, `review`, `comment`, `content`,
///   `message`, `body`, `document`, `tweet` or `utterance`; otherwise the only column that contains words. Numbers,
///   dates and addresses are not words. Columns called `index`, `idx`, `id` or `guid` are never texts. Several
///   requested columns are joined.
/// - **Pair** (if requested): two columns with the names of a pair, such as `sentence1` and `sentence2` or `premise`
///   and `hypothesis`; otherwise the only two columns that contain words.
/// - **Classes** of a training set or model: [`with_labels`](Self::with_labels) documents how the labels of a file are
///   matched with them.
///
/// [`Dataset::reading`] reports the detected header, columns and labels; [`Reading::lines`] formats this report.
///
/// To read a test file, use a reader that is [`like`](Self::like) the training set, so that both have the same labels
/// and columns.
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
    /// Creates a reader that detects the header, the label column and the text columns.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets whether the first row of a csv or tsv file is a header. By default (`None`), the header is detected from
    /// the first rows, and a file with an ambiguous first row is refused.
    #[must_use]
    pub fn with_header(mut self, header: impl Into<Option<bool>>) -> Self {
        self.request.header = header.into();
        self
    }

    /// Sets the column separator of csv files. By default (`None`), the separator is the comma; in a first line without
    /// commas, it is the character that separates the column names.
    #[must_use]
    pub fn with_separator(mut self, separator: impl Into<Option<char>>) -> Self {
        self.request.separator = separator.into();
        self
    }

    /// Sets the encoding of files without a byte-order mark. The default, `None`, is UTF-8.
    #[must_use]
    pub fn with_encoding(mut self, encoding: impl Into<Option<TextEncoding>>) -> Self {
        self.request.encoding = encoding.into();
        self
    }

    /// Sets the label column, by its name or its number.
    #[must_use]
    pub fn with_label_column(mut self, column: impl Into<Column>) -> Self {
        (self.request.label, self.request.label_of_training) = (Some(column.into()), false);
        self
    }

    /// Sets the label columns of multi-label data: one column for each label. A cell is 1 if the label applies,
    /// otherwise 0 or empty. Each label has the name of its column.
    ///
    /// # Examples
    /// ```
    /// use dht_transformer::DatasetReader;
    ///
    /// let file = "text,food,staff\nfine soup,1,0\nrude waiter and bad soup,1,1\n";
    /// let reader = DatasetReader::new().with_label_columns(["food", "staff"]).with_text_columns(["text"]);
    /// let data = reader.read_from("reviews.csv", file.as_bytes())?;
    /// assert_eq!(data.examples[0].targets, [1.0, 0.0]);
    /// assert_eq!(data.examples[1].targets, [1.0, 1.0]);
    /// # Ok::<(), dht_transformer::Error>(())
    /// ```
    #[must_use]
    pub fn with_label_columns(mut self, columns: impl IntoIterator<Item = impl Into<Column>>) -> Self {
        self.request.label_columns = columns.into_iter().map(Into::into).collect();
        self.request.label_of_training = false;
        self
    }

    /// Sets the text columns, by name or number. The texts of several columns are joined in this order.
    #[must_use]
    pub fn with_text_columns(mut self, columns: impl IntoIterator<Item = impl Into<Column>>) -> Self {
        self.request.text = Some(columns.into_iter().map(Into::into).collect());
        self.request.text_of_training = false;
        self
    }

    /// Sets whether the two text columns are a text pair, such as a premise and a hypothesis. Otherwise several columns
    /// are joined to one text.
    #[must_use]
    pub fn with_pair(mut self, pair: bool) -> Self {
        self.request.pair = pair;
        self
    }

    /// Sets the task: one class per row (default), several labels, or a number (regression). A column of numbers is
    /// detected as the label only by its name; otherwise request it with
    /// [`with_label_column`](Self::with_label_column).
    #[must_use]
    pub fn with_label_kind(mut self, kind: LabelKind) -> Self {
        self.request.kind = Some(kind);
        self
    }

    /// Sets the classes, for example the labels of the training set, in order. The labels of the file are then matched
    /// with the classes:
    ///
    /// | labels of the file | classes | a label is |
    /// |---|---|---|
    /// | names | the same names | the class with the same name: exactly, else ignoring case and surrounding spaces, else as equal numbers |
    /// | numbers or `LABEL_k` | names | class k, from 0; from 1 where 1 to n all occur and 0 does not |
    /// | numbers | `LABEL_k`, and the other way round | the class with the same number |
    /// | no and yes, false and true | two numbers or `LABEL_k` | the lower and the higher one |
    ///
    /// Any other label is an [error](DataProblem::OtherLabels), as are numbers that may be counted from 0 or from 1.
    ///
    /// # Examples
    /// ```
    /// use dht_transformer::DatasetReader;
    ///
    /// let file = "text,label\nfine food,1\nbad food,0\n";
    /// let data = DatasetReader::new().with_labels(["bad", "good"]).read_from("test.csv", file.as_bytes())?;
    /// assert_eq!((data.examples[0].label, data.examples[1].label), (1, 0));
    /// let reading = data.reading.expect("a reading of the file");
    /// assert_eq!(reading.label_mapping().as_deref(), Some("0 is bad, 1 is good"));
    /// # Ok::<(), dht_transformer::Error>(())
    /// ```
    #[must_use]
    pub fn with_labels(mut self, labels: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.request.labels = Some(labels.into_iter().map(Into::into).collect());
        self
    }

    /// Maps labels of the file to classes, for labels that do not match by name. Each pair is a label and its class. If
    /// [`with_labels`](Self::with_labels) did not set the classes, the mapped labels become the classes. Two labels can
    /// thus be merged into one class.
    #[must_use]
    pub fn with_label_mapping(mut self, pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        self.request.mapping = pairs.into_iter().collect();
        self
    }

    /// Requests the labels and columns of a training set, so that a test file is interpreted in the same way.
    #[must_use]
    pub fn like(self, train: &Dataset) -> Self {
        let reader = self.with_labels(train.labels.iter().cloned());
        match &train.reading {
            Some(reading) => reader.with_reading(reading),
            None => reader,
        }
    }

    /// Requests the columns, label kind and label mapping that were used for another file, from that file's
    /// [`Reading`]. If the other file was read without labels, only its text columns are requested.
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

    /// Skips rows without a label, and rows whose label is not one of the classes of
    /// [`with_labels`](Self::with_labels). By default such a row is an error. The [reading](Dataset::reading) counts
    /// the skipped rows. If most rows have unknown labels, the file is still refused.
    #[must_use]
    pub fn skip_unlabelled(mut self) -> Self {
        self.request.skips_unlabelled = true;
        self
    }

    /// Reads a random sample of at most `rows` rows, in which each row is equally likely. The sample keeps the order of
    /// the file. Memory use is proportional to the sample for a single file, and to the largest file for several files.
    #[must_use]
    pub fn with_most_rows(mut self, rows: usize, seed: u64) -> Self {
        self.request.most_rows = Some((rows, seed));
        self
    }

    /// Sets the maximum number of decompressed bytes (default 4 GiB). A small compressed file could otherwise expand to
    /// any size.
    #[must_use]
    pub fn with_most_bytes(mut self, bytes: u64) -> Self {
        self.most_bytes = bytes;
        self
    }

    /// Reads a file in the format that its extension names, or a directory with a [folder for each
    /// class](Self::read_folders). The data set is named after the directory and the file.
    ///
    /// # Errors
    /// [`Error::Io`] if the file is missing or unreadable. [`Error::Data`] with the line number in these cases:
    ///
    /// - The extension is unknown, or the file is empty or has no rows.
    /// - The content is damaged: NUL bytes, bytes that are not UTF-8, truncated gzip or parquet data, stray quotes,
    ///   invalid JSON, or a wrong number of columns.
    /// - A requested column or a label is unknown.
    /// - A row has no label or no text.
    pub fn read(&self, path: impl AsRef<Path>) -> Result<Dataset> {
        let path = path.as_ref();
        if path.is_dir() {
            return self.read_folders(path);
        }
        let (table, format, sha256) = self.table_of(path)?;
        assemble(table, &self.request, TableFile { path, format, sha256 })
    }

    /// Reads a directory that has a folder for each class and a file for each text: `pos/1.txt`, `pos/2.txt`,
    /// `neg/1.txt`, … Files are read if their names end in `.txt` or in digits, or have no extension.
    ///
    /// # Errors
    /// [`Error::Io`] if a file cannot be read; [`Error::Data`] if fewer than two folders have texts, or a file is not
    /// text.
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

    /// Reads several files as one table, in order. All files must have the same columns, in csv and tsv files also in
    /// the same order. A later file may repeat the header. Errors name the file.
    ///
    /// # Errors
    /// Same errors as [`read`](Self::read); [`Error::Data`] if the columns of a file differ from those of the first
    /// file; [`Error::Argument`] if there is no file, or the files have different formats.
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
        // Rows are drawn from all files together, so no file is sampled alone.
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

    /// Reads labelled texts from any source. `path` determines the format and the name of the data set, and appears in
    /// errors. Parquet data is first written to a temporary file.
    ///
    /// # Errors
    /// Same errors as [`read`](Self::read).
    pub fn read_from(&self, path: impl AsRef<Path>, input: impl Read) -> Result<Dataset> {
        let path = path.as_ref();
        let (table, format, sha256) = self.table(path, input)?;
        assemble(table, &self.request, TableFile { path, format, sha256 })
    }

    /// Reads the rows of a file. Returns them with the format and the SHA-256 checksum of the file.
    fn table_of(&self, path: &Path) -> Result<(Table, TableFormat, String)> {
        if !matches!(format_of(&file_name(path)), Some((TableFormat::Parquet, _))) {
            return self.table(path, open(path)?);
        }
        let mut table = Table { draw: self.request.most_rows.map(Draw::new), ..Table::default() };
        self.add_part(&mut table, path, open(path)?)?;
        let sha256 = Hashing::new(open(path)?).finish().map_err(|source| Error::io(path, source))?;
        Ok((table, TableFormat::Parquet, sha256))
    }

    /// Reads the rows of an input. Returns them with the format and the SHA-256 checksum of the input.
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
            // An empty file is reported as empty, even if its name is that of a gzip file.
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
