//! Physical lines of a text file, compressed or not, in bounded memory.

use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use crate::error::{DataProblem, Error, Result};

/// Maximum length of a row in bytes. A longer row has an unclosed quote or is not text.
pub(crate) const LONGEST_ROW: usize = 4 << 20;

/// Problem of a file and its line, if it has one.
pub(super) type Problem = (Option<u64>, DataProblem);

/// Physical lines without line feeds. Each line is checked to be text.
pub(crate) struct Lines<'a> {
    path: PathBuf,
    reader: Box<dyn BufRead + 'a>,
    compressed: bool,
    /// The number of the last line returned, counted from 1.
    line: u64,
    left: u64,
    most: u64,
    blank: usize,
    /// Error to return in place of the next line.
    failed: Option<Error>,
}

impl<'a> Lines<'a> {
    /// Creates a reader of the lines of `raw`, at most `most` (decompressed) bytes. `compressed` is true for gzip data;
    /// `path` is named in errors.
    pub(crate) fn new(path: &Path, raw: impl Read + 'a, compressed: bool, most: u64) -> Self {
        let reader: Box<dyn BufRead + 'a> =
            if compressed { Box::new(BufReader::new(MultiGzDecoder::new(raw))) } else { Box::new(BufReader::new(raw)) };
        Self { path: path.into(), reader, compressed, line: 0, left: most, most, blank: 0, failed: None }
    }

    /// Number of the last line returned, counted from 1.
    pub(crate) fn number(&self) -> u64 {
        self.line
    }

    /// Error at a line.
    pub(crate) fn error_at(&self, line: u64, problem: DataProblem) -> Error {
        Error::Data { path: self.path.clone(), line: Some(line), problem }
    }

    /// Reads the next line without its `\n` (a `\r` before it stays); `None` at the end.
    pub(crate) fn next_line(&mut self) -> Result<Option<String>> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let mut bytes = Vec::new();
        self.line += 1;
        let most = (LONGEST_ROW as u64 + 1).min(self.left.saturating_add(1));
        let count = match self.reader.by_ref().take(most).read_until(b'\n', &mut bytes) {
            Ok(count) => count as u64,
            Err(source) => return Err(self.input_error(source)),
        };
        if count == 0 {
            return Ok(None);
        }
        if count > self.left {
            return Err(self.error_at(self.line, DataProblem::TooLarge { most: self.most }));
        }
        self.left -= count;
        if bytes.len() > LONGEST_ROW {
            return Err(self.error_at(self.line, DataProblem::RowTooLong { most: LONGEST_ROW }));
        }
        if self.line == 1
            && let Some(problem) = encoding(&bytes)
        {
            return Err(self.error_at(1, problem));
        }
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
        }
        if bytes.contains(&0) {
            return Err(self.error_at(self.line, DataProblem::Binary));
        }
        let mut text = String::from_utf8(bytes).map_err(|error| {
            self.error_at(self.line, DataProblem::NotUtf8 { byte: error.utf8_error().valid_up_to() })
        })?;
        if self.line == 1 && text.starts_with('\u{feff}') {
            text.drain(..'\u{feff}'.len_utf8());
        }
        Ok(Some(text))
    }

    /// Reads the next line that is not blank.
    pub(super) fn next_filled_line(&mut self) -> Result<Option<String>> {
        while let Some(line) = self.next_line()? {
            if !line.trim_matches([' ', '\r']).is_empty() {
                return Ok(Some(line));
            }
            self.blank += 1;
        }
        Ok(None)
    }

    /// Makes the next call return the error of a line that was read ahead, instead of a line.
    pub(super) fn fail(&mut self, error: Error) {
        self.failed = Some(error);
    }

    /// Number of blank lines skipped.
    pub(super) fn blank_lines(&self) -> usize {
        self.blank
    }

    fn input_error(&self, source: io::Error) -> Error {
        let problem = match source.kind() {
            _ if !self.compressed => return Error::io(&self.path, source),
            io::ErrorKind::UnexpectedEof => DataProblem::TruncatedGzip,
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
                DataProblem::BadGzip { message: source.to_string() }
            }
            _ => return Error::io(&self.path, source),
        };
        self.error_at(self.line, problem)
    }
}

/// Detects an encoding other than UTF-8 from the first bytes of a file.
fn encoding(bytes: &[u8]) -> Option<DataProblem> {
    let problem = |found, instead| Some(DataProblem::Encoding { found, instead });
    match bytes {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => problem("UTF-16", "save it as UTF-8"),
        [0x1f, 0x8b, ..] => problem("gzip data", "give its name the ending .gz"),
        [b'P', b'K', 3, 4, ..] => problem("a zip archive or a spreadsheet", "save its table as csv"),
        [b'P', b'A', b'R', b'1', ..] => problem("parquet", "give its name the ending .parquet"),
        _ => None,
    }
}
