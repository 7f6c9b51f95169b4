//! Rows of an input, which a separate thread reads.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use dht_dynamic::transformer::Error as TransformerError;
use dht_dynamic::transformer::data::{Column, Compression, Given, TextColumns, TextFormat, TextRow, TextStream};
use dht_dynamic::transformer::error::DataProblem;

use crate::error::{Error, Result};

/// Maximum number of rows that are read in advance.
const WAITING: usize = 64;
/// Maximum number of consecutive unreadable rows, after which the input is rejected.
const MOST_UNREADABLE: usize = 1000;

/// Returns whether a file name stands for lines of text: it ends with `.txt` or `.text` (also `.gz`), or has no ending.
/// Any other file may be a table, whose header would be read as a text.
pub fn is_named_as_lines(name: &str) -> bool {
    let stem = name.strip_suffix(".gz").unwrap_or(name);
    stem.rsplit_once('.').is_none_or(|(_, ending)| ["txt", "text"].contains(&&*ending.to_lowercase()))
}

/// Opened input of texts.
pub struct Source {
    path: PathBuf,
    input: Box<dyn Read + Send>,
    format: TextFormat,
    compression: Option<Compression>,
    /// True if the format is a guess: lines of text are assumed because no flag sets it.
    is_guess: bool,
    /// True if rows may be read before earlier rows are answered. A pipe may wait for the answers.
    look_ahead: bool,
}

impl Source {
    /// Opens a file, or standard input for `-`.
    pub fn open(path: &Path, format: Option<TextFormat>) -> Result<Self> {
        if path == Path::new("-") {
            let (is_guess, format) = (format.is_none(), format.unwrap_or(TextFormat::Lines));
            let input = Box::new(std::io::stdin());
            let path = "standard input".into();
            return Ok(Self { path, input, format, compression: None, is_guess, look_ahead: false });
        }
        if format.is_none() && path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("parquet")) {
            let (input, format) = (TextStream::lines_of_parquet(path)?, TextFormat::JsonLines);
            let path = path.to_owned();
            return Ok(Self { path, input, format, compression: None, is_guess: false, look_ahead: true });
        }
        let file = File::open(path).map_err(|source| Error::Io { path: path.into(), source })?;
        let look_ahead = path.metadata().is_ok_and(|facts| facts.is_file());
        Ok(Self { look_ahead, ..Self::of_file(path, Box::new(file), format)? })
    }

    /// Creates an input from a single text, in which line ends become spaces.
    pub fn of_text(text: &str) -> Self {
        let input = Box::new(std::io::Cursor::new(text.replace(['\r', '\n'], " ")));
        let (path, format) = ("the text".into(), TextFormat::Lines);
        Self { path, input, format, compression: None, is_guess: false, look_ahead: true }
    }

    /// Creates an input from the content of a file or object, whose path is `path`.
    pub fn of_file(path: &Path, input: Box<dyn Read + Send>, format: Option<TextFormat>) -> Result<Self> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (named, compression) = TextFormat::of_name(&name);
        if format.is_none() && named == TextFormat::Lines && !is_named_as_lines(&name) {
            let expected = "lines, csv, tsv or jsonl, where the name of the file does not say";
            return Err(Error::argument("input-format", expected, format!("not set for {}", path.display())));
        }
        let (is_guess, format) = (format.is_none() && named == TextFormat::Lines, format.unwrap_or(named));
        Ok(Self { path: path.into(), input, format, compression, is_guess, look_ahead: true })
    }

    /// Format of the input.
    pub fn format(&self) -> TextFormat {
        self.format
    }

    /// Name of the input, for error messages.
    pub fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// Returns whether rows may be read before earlier rows are answered. A pipe may wait for the answers.
    pub fn is_file(&self) -> bool {
        self.look_ahead
    }
}

/// Properties of an input that its first row determines: column names, text columns, and a note (`doubt`) if the row
/// may be a header.
struct FirstRow {
    names: Vec<String>,
    width: usize,
    separator: char,
    text: Vec<Column>,
    doubt: Option<String>,
}

/// Layout of input rows. All inputs of one csv or tsv output must have the same layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layout {
    /// Lines of text, one text on each.
    Lines,
    /// JSON objects, one on each line.
    Objects,
    /// Rows of cells in csv or tsv.
    Cells {
        /// Column names; empty without a header.
        names: Vec<String>,
        /// Number of columns; 0 for an empty input.
        width: usize,
        /// Separator between columns.
        separator: char,
    },
}

/// Row of an input, which may be unreadable.
#[derive(Debug)]
pub enum InputRow {
    /// Row with a text, which may be empty.
    Text(TextRow),
    /// Row that cannot be read, if the settings allow reading to continue.
    Unreadable {
        /// Number of the line that cannot be read, or of the row's first line.
        line: u64,
        /// Reason why the row cannot be read.
        reason: String,
    },
}

/// Line number and problem of an unreadable row; `None` if later rows cannot be read either.
fn of_one_row(error: &TransformerError) -> Option<(u64, String)> {
    use DataProblem::{
        Binary, ColumnCount, DuplicateColumn, HeaderAgain, MissingKey, NestedValue, NotJson, NotUtf8, OtherEncoding,
    };
    let TransformerError::Data { line: Some(line), problem, .. } = error else { return None };
    let is_of_row = matches!(
        problem,
        Binary
            | ColumnCount { .. }
            | DuplicateColumn { .. }
            | HeaderAgain { .. }
            | MissingKey { .. }
            | NestedValue { .. }
            | NotJson { .. }
            | NotUtf8 { .. }
            | OtherEncoding { .. }
    );
    is_of_row.then(|| (*line, problem.to_string()))
}

/// Receiver of the rows that a separate thread reads from an input.
pub struct RowReader {
    path: PathBuf,
    format: TextFormat,
    names: Vec<String>,
    width: usize,
    separator: char,
    text: Vec<Column>,
    doubt: Option<String>,
    /// Channel from the reading thread, which sends `None` after the last row. A thread that panics does not send
    /// `None`.
    rows: Receiver<Result<Option<InputRow>>>,
}

impl RowReader {
    /// Starts a thread that reads an input. With `skips_rows`, unreadable rows do not end the input.
    ///
    /// # Errors
    /// [`Error::Transformer`] if the first row cannot be read or lacks a column.
    pub fn start(source: Source, columns: TextColumns, skips_rows: bool) -> Result<Self> {
        let (path, format) = (source.path.clone(), source.format);
        let (send, rows) = sync_channel(WAITING);
        let (send_first, first) = sync_channel(1);
        std::thread::spawn(move || read(source, columns, skips_rows, &send_first, &send));
        let FirstRow { names, width, separator, text, doubt } =
            first.recv().unwrap_or_else(|_| Err(broken_off(&path)))?;
        Ok(Self { path, format, names, width, separator, text, doubt, rows })
    }

    /// Format of the input.
    pub fn format(&self) -> TextFormat {
        self.format
    }

    /// Layout of the rows: lines, objects or cells.
    pub fn layout(&self) -> Layout {
        match self.format {
            TextFormat::Lines => Layout::Lines,
            TextFormat::JsonLines => Layout::Objects,
            TextFormat::Csv | TextFormat::Tsv => {
                Layout::Cells { names: self.names.clone(), width: self.width, separator: self.separator }
            }
        }
    }

    /// Text columns; empty for lines of text.
    pub fn text(&self) -> &[Column] {
        &self.text
    }

    /// Note that the first row may be a header; `None` if it is not.
    pub fn doubt(&self) -> Option<&str> {
        self.doubt.as_deref()
    }

    /// Receives the next rows. Waits for the first one, then adds rows until the next one takes longer than `wait`,
    /// there are `most` rows, or they have `most_bytes` bytes. At the end of the input or after an error, also returns
    /// the reason.
    pub fn rows(&self, most: usize, most_bytes: usize, wait: Duration) -> (Vec<InputRow>, Option<Result<()>>) {
        let (mut rows, mut bytes) = (Vec::new(), 0);
        while rows.len() < most && bytes < most_bytes {
            let next = match rows.is_empty() {
                true => self.rows.recv().map_err(|_| RecvTimeoutError::Disconnected),
                false => self.rows.recv_timeout(wait),
            };
            match next {
                Ok(Ok(Some(row))) => {
                    bytes += bytes_of(&row);
                    rows.push(row);
                }
                Ok(Ok(None)) => return (rows, Some(Ok(()))),
                Ok(Err(error)) => return (rows, Some(Err(error))),
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => return (rows, Some(Err(broken_off(&self.path)))),
            }
        }
        (rows, None)
    }
}

/// Creates the error for an input whose reading thread ended unexpectedly.
fn broken_off(path: &Path) -> Error {
    Error::Io { path: path.into(), source: std::io::Error::other("reading broke off") }
}

/// Approximate size of a row in bytes.
fn bytes_of(row: &InputRow) -> usize {
    let InputRow::Text(row) = row else { return 0 };
    let row_bytes: usize = match &row.given {
        Given::Line(line) => line.len(),
        Given::Cells(cells) => cells.iter().map(String::len).sum(),
        Given::Members(members) => members.iter().map(|(name, value)| name.len() + value.get().len()).sum(),
    };
    row.text.len() + row.pair.as_ref().map_or(0, String::len) + row_bytes
}

/// Creates the error for an input whose first line looks like a table, although no `--input-format` is set.
fn of_table(name: &str, format: TextFormat) -> Error {
    let (format, first) = match format {
        TextFormat::JsonLines => ("jsonl", "is a JSON object"),
        TextFormat::Tsv => ("tsv", "names columns"),
        _ => ("csv", "names columns"),
    };
    Error::argument(
        "input-format",
        format!("{format}, or lines"),
        format!("not set for {name}, whose first line {first}"),
    )
}

/// Reads rows until the input ends, an error occurs, or the receiver is dropped.
fn read(
    source: Source,
    columns: TextColumns,
    skips_rows: bool,
    first: &SyncSender<Result<FirstRow>>,
    rows: &SyncSender<Result<Option<InputRow>>>,
) {
    let Source { path, input, format, compression, is_guess, .. } = source;
    let name = path.display().to_string();
    let mut stream = match TextStream::new(path, input, format, compression, columns) {
        Ok(stream) => stream,
        Err(error) => {
            let _ = first.send(Err(error.into()));
            return;
        }
    };
    let doubt = stream.doubtful_text().map(|text| {
        format!(
            "{name}: the first row, {text:?}, is read as a text (--header if it names the columns, else --no-header)"
        )
    });
    let (names, width, separator) = (stream.names().to_vec(), stream.width(), stream.separator());
    let text = stream.reading().map_or_else(Vec::new, |reading| reading.text.clone());
    let _ = first.send(Ok(FirstRow { names, width, separator, text, doubt }));
    let mut unreadable = 0;
    loop {
        let next = stream.next_row();
        let problem = next.as_ref().err().filter(|_| skips_rows).and_then(of_one_row);
        unreadable = if problem.is_some() { unreadable + 1 } else { 0 };
        let next = match next {
            Err(_) if problem.is_some() && unreadable < MOST_UNREADABLE => {
                Ok(problem.map(|(line, reason)| InputRow::Unreadable { line, reason }))
            }
            Err(error) if problem.is_some() => {
                let expected = format!("an input with fewer than {MOST_UNREADABLE} unreadable rows in succession");
                Err(Error::argument("on-error", expected, format!("set for more of them, the last: {error}")))
            }
            Ok(Some(row)) => match row.is_of_table().filter(|_| is_guess && row.line == 1) {
                Some(format) => Err(of_table(&name, format)),
                None => Ok(Some(InputRow::Text(row))),
            },
            Ok(None) => Ok(None),
            Err(error) => Err(error.into()),
        };
        let last = !matches!(next, Ok(Some(_)));
        if rows.send(next).is_err() || last {
            return;
        }
    }
}
