//! Reader of the lines of a plain or compressed text file, in bounded memory.

use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};

use super::array::{NotAnArray, elements};
use super::coding::{Compression, TextEncoding, decoded};
use crate::error::{DataProblem, Error, Result};

/// Maximum length of a row in bytes. A longer row has an unclosed quote, or the file is not text.
pub(crate) const LONGEST_ROW: usize = 4 << 20;

/// Problem of a data file, with its line number if it concerns one line.
pub(super) type Problem = (Option<u64>, DataProblem);

/// Reads the lines of a file without their line ends, and checks that each line is text. A file without line feeds is
/// split at carriage returns.
pub(crate) struct Lines<'a> {
    path: PathBuf,
    reader: Box<dyn BufRead + 'a>,
    compression: Option<Compression>,
    /// Encoding detected from the first bytes; `None` for UTF-8.
    encoding: Option<TextEncoding>,
    end: u8,
    /// `true` to return each element of a JSON array as if it were a line.
    arrays: bool,
    /// Number of the last line returned, counted from 1.
    line: u64,
    left: u64,
    most: u64,
    blank: usize,
    /// Stored error, which the next call of [`next_line`](Self::next_line) returns as if it came from the next line.
    failed: Option<Error>,
    /// `true` to return undecodable lines after the first with U+FFFD in place of wrong bytes, and to store their error
    /// in `damage`.
    repairs: bool,
    /// Error of the first undecodable line that was repaired since the last [`take_damage`](Self::take_damage).
    damage: Option<Error>,
}

impl<'a> Lines<'a> {
    /// Creates a reader of the lines of `raw`. The decoded text may have at most `most` bytes. `path` appears in
    /// errors.
    pub(crate) fn new(path: &Path, raw: impl Read + 'a, compression: Option<Compression>, most: u64) -> Self {
        let reader = match compression {
            Some(compression) => compression.reader(raw),
            None => Box::new(BufReader::new(raw)),
        };
        let path = path.into();
        Self {
            path,
            reader,
            compression,
            encoding: None,
            end: b'\n',
            arrays: false,
            line: 0,
            left: most,
            most,
            blank: 0,
            failed: None,
            repairs: false,
            damage: None,
        }
    }

    /// Sets the encoding of a file without a byte-order mark; `None` is UTF-8.
    pub(crate) fn with_encoding(mut self, encoding: Option<TextEncoding>) -> Self {
        self.encoding = encoding;
        self
    }

    /// Sets whether each element of a JSON array is returned as if it were a line.
    pub(super) fn with_arrays(mut self, arrays: bool) -> Self {
        self.arrays = arrays;
        self
    }

    /// Sets that an undecodable line after the first is returned with U+FFFD in place of wrong bytes, and that its error waits for
    /// [`take_damage`](Self::take_damage). Thus a row with such a line is read to its end, and later rows can be read.
    pub(super) fn with_repairs(mut self) -> Self {
        self.repairs = true;
        self
    }

    /// Removes and returns the error of the first undecodable line since the last call.
    pub(super) fn take_damage(&mut self) -> Option<Error> {
        self.damage.take()
    }

    pub(super) fn encoding(&self) -> Option<TextEncoding> {
        self.encoding
    }

    /// Number of the last line returned, counted from 1.
    pub(crate) fn number(&self) -> u64 {
        self.line
    }

    pub(crate) fn error_at(&self, line: u64, problem: DataProblem) -> Error {
        Error::Data { path: self.path.clone(), line: Some(line), problem }
    }

    /// Reads the next line without its line end. A `\r` before `\n` is not removed. Returns `None` after the last line.
    pub(crate) fn next_line(&mut self) -> Result<Option<String>> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        self.line += 1;
        let read = if self.line == 1 { self.first_bytes() } else { self.next_bytes() };
        let mut bytes = read.map_err(|source| self.input_error(source))?;
        let count = bytes.len() as u64;
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
            && let Some(problem) = other_format(&bytes)
        {
            return Err(self.error_at(1, problem));
        }
        if bytes.last() == Some(&self.end) {
            bytes.pop();
        }
        let mut text = match self.checked_text(bytes) {
            Ok(text) => text,
            Err((bytes, problem)) => {
                let error = self.error_at(self.line, problem);
                if !self.repairs || self.line == 1 {
                    return Err(error);
                }
                self.damage.get_or_insert(error);
                String::from_utf8_lossy(&bytes).into_owned()
            }
        };
        if self.line == 1 && text.starts_with('\u{feff}') {
            text.drain(..'\u{feff}'.len_utf8());
        }
        Ok(Some(text))
    }

    /// Checks that the bytes of a line are text. Otherwise returns them with the problem.
    fn checked_text(&self, bytes: Vec<u8>) -> std::result::Result<String, (Vec<u8>, DataProblem)> {
        if bytes.contains(&0) {
            return Err((bytes, DataProblem::Binary));
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let byte = error.utf8_error().valid_up_to();
            (error.into_bytes(), DataProblem::NotUtf8 { byte })
        })?;
        match self.encoding.filter(|_| text.contains('\u{fffd}')) {
            Some(encoding) => Err((text.into_bytes(), DataProblem::OtherEncoding { encoding: encoding.to_string() })),
            None => Ok(text),
        }
    }

    /// Reads bytes to the end of the line. Stops early, one byte after the maximum length of a line or of the file, so
    /// that the caller can detect the excess.
    fn next_bytes(&mut self) -> io::Result<Vec<u8>> {
        let most = (LONGEST_ROW as u64 + 1).min(self.left.saturating_add(1));
        let mut bytes = Vec::new();
        self.reader.by_ref().take(most).read_until(self.end, &mut bytes)?;
        Ok(bytes)
    }

    /// Reads the first line, and detects the encoding and the line end of the file.
    fn first_bytes(&mut self) -> io::Result<Vec<u8>> {
        let raw = std::mem::replace(&mut self.reader, Box::new(io::empty()));
        (self.reader, self.encoding) = decoded(raw, self.encoding)?;
        if self.arrays {
            let raw = std::mem::replace(&mut self.reader, Box::new(io::empty()));
            (self.reader, self.arrays) = elements(raw)?;
        }
        let bytes = self.next_bytes()?;
        if bytes.last() == Some(&b'\n') || !has_returns(&bytes) {
            return Ok(bytes);
        }
        self.end = b'\r';
        let rest = std::mem::replace(&mut self.reader, Box::new(io::empty()));
        self.reader = Box::new(Cursor::new(bytes).chain(rest));
        self.next_bytes()
    }

    /// Reads the next line that is not blank; `None` at the end of the file.
    pub(super) fn next_filled_line(&mut self) -> Result<Option<String>> {
        while let Some(line) = self.next_line()? {
            if !line.trim_matches([' ', '\r']).is_empty() {
                return Ok(Some(line));
            }
            self.blank += 1;
        }
        Ok(None)
    }

    /// Stores an error from a line that was read ahead. The next call of [`next_line`](Self::next_line) returns the
    /// error.
    pub(super) fn fail(&mut self, error: Error) {
        self.failed = Some(error);
    }

    pub(super) fn blank_lines(&self) -> usize {
        if self.arrays { 0 } else { self.blank }
    }

    fn input_error(&self, source: io::Error) -> Error {
        if let Some(problem) = source.get_ref().and_then(|own| own.downcast_ref::<NotAnArray>()) {
            return self.error_at(self.line, DataProblem::NotJson { message: problem.to_string() });
        }
        let problem = match (source.kind(), self.compression.map(Compression::name)) {
            (io::ErrorKind::UnexpectedEof, Some(format)) => DataProblem::CutOff { format },
            (io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData | io::ErrorKind::Other, Some(format)) => {
                DataProblem::NotCompressed { format, message: source.to_string() }
            }
            _ => return Error::io(&self.path, source),
        };
        self.error_at(self.line, problem)
    }
}

/// Returns whether a carriage return occurs outside of quotes and before the last byte.
fn has_returns(bytes: &[u8]) -> bool {
    let inner = bytes.strip_suffix(b"\r").unwrap_or(bytes);
    inner.split(|byte| *byte == b'"').step_by(2).any(|outside| outside.contains(&b'\r'))
}

/// Detects from the first bytes that a file is not plain text, such as a zip archive or gzip data.
fn other_format(bytes: &[u8]) -> Option<DataProblem> {
    let problem = |found, instead| Some(DataProblem::Encoding { found, instead });
    match bytes {
        [0x28, 0xb5, 0x2f, 0xfd, ..] => problem("Zstandard data", "give its name the ending .zst"),
        [0x1f, 0x8b, ..] => problem("gzip data", "give its name the ending .gz"),
        [b'P', b'K', 3, 4, ..] => problem("a zip archive or a spreadsheet", "save its table as csv"),
        [b'P', b'A', b'R', b'1', ..] => problem("parquet", "give its name the ending .parquet"),
        _ => None,
    }
}
