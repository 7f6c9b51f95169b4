//! Reader of numbered lines, which reuses one buffer. An incomplete last line is ignored.

use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};

use super::error::{LogError, LogProblem};

/// Byte-order mark, which some editors write at the start of a UTF-8 file.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

pub(super) const LONGEST_LINE: u64 = 1 << 26;
pub(super) const TOO_LONG: &str = "longer than 64 MiB";

/// Returns whether a last line without a newline is complete, that is, whether it is one JSON object.
pub(super) fn is_whole(line: &[u8]) -> bool {
    line.ends_with(b"}") && serde_json::from_slice::<serde::de::IgnoredAny>(line).is_ok()
}

#[derive(Debug)]
pub(super) struct Lines<R> {
    reader: R,
    path: PathBuf,
    buffer: Vec<u8>,
    number: u64,
    /// Byte of the file at which the current line starts; `end` is the byte after the line.
    start: u64,
    end: u64,
    torn: u64,
    failed: bool,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(reader: R, path: &Path) -> Self {
        Self { reader, path: path.to_owned(), buffer: Vec::new(), number: 0, start: 0, end: 0, torn: 0, failed: false }
    }

    /// Reads the next line that is not blank. Returns `false` at the end of the file and after a read error. A last
    /// line without a newline counts if it is a complete JSON object.
    pub(super) fn advance(&mut self) -> Result<bool, LogError> {
        while let Some(has_newline) = self.read()? {
            if !has_newline && !is_whole(&self.buffer) {
                self.torn += 1;
                return Ok(false);
            }
            if !self.is_blank() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Reads the next line, without its newline. Returns whether the line ended in a newline, or `None` at the end of
    /// the file and after a read error.
    ///
    /// # Errors
    /// Fails if reading fails, or if the line is too long. The rest of a long line is skipped.
    pub(super) fn read(&mut self) -> Result<Option<bool>, LogError> {
        self.buffer.clear();
        if self.failed {
            return Ok(None);
        }
        let read = (&mut self.reader).take(LONGEST_LINE).read_until(b'\n', &mut self.buffer);
        let length = read.map_err(|source| {
            self.failed = true;
            LogError::io(&self.path, source)
        })?;
        if length == 0 {
            return Ok(None);
        }
        if self.number == 0 && self.buffer.starts_with(BYTE_ORDER_MARK) {
            self.buffer.drain(..BYTE_ORDER_MARK.len());
        }
        self.number += 1;
        (self.start, self.end) = (self.end, self.end + length as u64);
        let has_newline = self.buffer.last() == Some(&b'\n');
        if has_newline {
            self.buffer.pop();
            if self.buffer.last() == Some(&b'\r') {
                self.buffer.pop();
            }
        } else if length as u64 == LONGEST_LINE && !is_whole(&self.buffer) {
            self.skip_line()?;
            return Err(self.refuse(LogProblem::Malformed(TOO_LONG.to_owned())));
        }
        Ok(Some(has_newline))
    }

    pub(super) fn is_blank(&self) -> bool {
        self.buffer.iter().all(u8::is_ascii_whitespace)
    }

    fn skip_line(&mut self) -> Result<(), LogError> {
        loop {
            let available = self.reader.fill_buf().map_err(|source| {
                self.failed = true;
                LogError::io(&self.path, source)
            })?;
            let newline = available.iter().position(|byte| *byte == b'\n');
            let length = newline.map_or(available.len(), |position| position + 1);
            self.reader.consume(length);
            self.end += length as u64;
            if newline.is_some() || length == 0 {
                return Ok(());
            }
        }
    }

    pub(super) fn line(&self) -> &[u8] {
        &self.buffer
    }

    pub(super) fn start(&self) -> u64 {
        self.start
    }

    /// Number of incomplete last lines: 0 or 1.
    pub(super) fn torn(&self) -> u64 {
        self.torn
    }

    pub(super) fn refuse(&self, problem: LogProblem) -> LogError {
        LogError::line(&self.path, self.number, problem)
    }
}
