//! Input rows, which a separate thread reads.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use dht_dynamic::transformer::Error as TransformerError;
use dht_dynamic::transformer::data::{Column, Compression, Given, TextColumns, TextFormat, TextRow, TextStream};
use dht_dynamic::transformer::error::DataProblem;

use super::written::Layout;
use crate::error::{Error, Result};

/// Capacity of the channel between the reading thread and the receiver, in rows.
const WAITING: usize = 64;
/// Maximum number of consecutive unreadable rows; after them, the input is rejected.
const MOST_UNREADABLE: usize = 1000;

/// Returns whether a file's name denotes lines of text: the name ends with `.txt` or `.text` (also `.gz`), or has no
/// ending. Under any other name the file may be a table, and its header would be read as a text.
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
    /// True if no flag sets the format and lines of text are assumed.
    is_guess: bool,
    /// True if rows can be read before earlier rows are answered: the input is a file, not a pipe that waits for
    /// answers.
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

    /// Creates a source with one text; line ends become spaces.
    pub fn of_text(text: &str) -> Self {
        let input = Box::new(std::io::Cursor::new(text.replace(['\r', '\n'], " ")));
        let (path, format) = ("the text".into(), TextFormat::Lines);
        Self { path, input, format, compression: None, is_guess: false, look_ahead: true }
    }

    /// Creates a source from the content of the file or object at `path`.
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

    /// Format of the texts.
    pub fn format(&self) -> TextFormat {
        self.format
    }

    /// Name of the input, for errors.
    pub fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// Returns whether rows can be read before earlier rows are answered, as in a file.
    pub fn is_file(&self) -> bool {
        self.look_ahead
    }
}

/// Facts from the first row of an input: column names, text columns, and a note if the row may be a header.
struct FirstRow {
    names: Vec<String>,
    width: usize,
    separator: char,
    text: Vec<Column>,
    doubt: Option<String>,
}

/// Row of an input.
#[derive(Debug)]
pub enum InputRow {
    /// Row with a text, which may be empty.
    Text(TextRow),
    /// Row that cannot be read, if the settings let the input continue after it.
    Unreadable {
        /// Line of the row.
        line: u64,
        /// Reason why the row cannot be read.
        reason: String,
    },
}

/// Returns the line and the problem of a row if the next row can still be read; otherwise `None`.
fn of_one_row(error: &TransformerError, format: TextFormat) -> Option<(u64, String)> {
    use DataProblem::{
        Binary, ColumnCount, DuplicateColumn, HeaderAgain, MissingKey, NestedValue, NotJson, NotUtf8, OtherEncoding,
    };
    let TransformerError::Data { line: Some(line), problem, .. } = error else { return None };
    // In csv, a line may be part of a quoted cell.
    let is_line = matches!(format, TextFormat::Lines | TextFormat::JsonLines);
    let is_of_row = match problem {
        ColumnCount { .. } | HeaderAgain { .. } | MissingKey { .. } | NestedValue { .. } => true,
        Binary | NotUtf8 { .. } | OtherEncoding { .. } | NotJson { .. } | DuplicateColumn { .. } => is_line,
        _ => false,
    };
    is_of_row.then(|| (*line, problem.to_string()))
}

/// Receiver of an input's rows.
pub struct RowReader {
    path: PathBuf,
    format: TextFormat,
    names: Vec<String>,
    width: usize,
    separator: char,
    text: Vec<Column>,
    doubt: Option<String>,
    /// Rows, followed by `None`. A reader thread that fails does not send `None`.
    rows: Receiver<Result<Option<InputRow>>>,
}

impl RowReader {
    /// Starts the reading thread. With `skips_rows`, rows that cannot be read do not end the input.
    ///
    /// # Errors
    /// Errors of the columns in the first row.
    pub fn start(source: Source, columns: TextColumns, skips_rows: bool) -> Result<Self> {
        let (path, format) = (source.path.clone(), source.format);
        let (send, rows) = sync_channel(WAITING);
        let (send_first, first) = sync_channel(1);
        std::thread::spawn(move || read(source, columns, skips_rows, &send_first, &send));
        let FirstRow { names, width, separator, text, doubt } =
            first.recv().unwrap_or_else(|_| Err(broken_off(&path)))?;
        Ok(Self { path, format, names, width, separator, text, doubt, rows })
    }

    /// Format of the texts.
    pub fn format(&self) -> TextFormat {
        self.format
    }

    /// Layout of the rows.
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

    /// Note on a first row that may be a header.
    pub fn doubt(&self) -> Option<&str> {
        self.doubt.as_deref()
    }

    /// Receives the next rows. The call waits for the first row. Then it adds rows until the next row takes longer than
    /// `wait`, the number of rows reaches `most`, or their size reaches `most_bytes`. At the end of the input or after
    /// an error, the reason for the end is returned, too.
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

/// Creates the error of an input whose reading thread ended without sending `None`.
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

/// Creates the error of an input without `--input-format` whose first line looks like a table.
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

/// Reads until the input ends, an error occurs, or the receiver is dropped.
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
        let problem = next.as_ref().err().filter(|_| skips_rows).and_then(|error| of_one_row(error, format));
        unreadable = if problem.is_some() { unreadable + 1 } else { 0 };
        let next = match next {
            Err(_) if problem.is_some() && unreadable < MOST_UNREADABLE => {
                Ok(problem.map(|(line, reason)| InputRow::Unreadable { line, reason }))
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
