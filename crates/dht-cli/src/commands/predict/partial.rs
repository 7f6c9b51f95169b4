//! Unfinished output of `dht predict --resume`, and the state from which a later run continues.

use std::fs::{File, TryLockError};
use std::io::{BufWriter, ErrorKind, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dht_dynamic::transformer::data::Given;
use dht_dynamic::transformer::storage::{FileKind, read_file, write_atomically};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::rows::InputRow;
use crate::error::{Error, Result};
use crate::partitions::Totals;
use crate::training::Difference;

/// Minimum time between two saved states, since each of them waits for the disk.
const SAVE_EVERY: Duration = Duration::from_secs(1);

/// Output to which answers are written batch by batch.
pub trait Output: Write {
    /// Totals over the rows that earlier runs answered.
    fn totals(&self) -> Totals {
        Totals::default()
    }

    /// Column titles of the output that an earlier run took from the first JSON object; `None` if there are none.
    fn titles(&self) -> Option<Vec<String>> {
        None
    }

    /// Returns those rows of a batch that have no answer in the output yet.
    ///
    /// # Errors
    /// [`Error::Unresumable`] if an answered row has changed.
    fn unanswered(&mut self, rows: Vec<InputRow>) -> Result<Vec<InputRow>> {
        Ok(rows)
    }

    /// Records that all rows so far are answered. `titles` are the column titles that were taken from the first JSON
    /// object; `is_end` is true after the last row of an input.
    ///
    /// # Errors
    /// [`Error::Io`] if the state cannot be saved.
    fn answered(&mut self, _titles: Option<&[String]>, _totals: &Totals, _is_end: bool) -> Result<()> {
        Ok(())
    }
}

impl<W: Write + ?Sized> Output for &mut W {}
impl Output for std::io::Sink {}

/// State of a run that has answered the first rows of its inputs.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct SavedState {
    /// Model, settings and inputs of the run.
    run: Map<String, Value>,
    /// Number of rows that were read.
    rows: u64,
    /// SHA-256 of the rows that were read.
    sha256: String,
    /// Size of the answers that were written, in bytes.
    bytes: u64,
    /// Column titles of the output: the member names of the first JSON object, if JSON objects are answered in a table.
    /// Otherwise `None`.
    titles: Option<Vec<String>>,
    /// Totals over the rows that were read.
    totals: Totals,
    /// Lines of the first row without a text and of the first row without an answer, which the totals do not store.
    first_lines: (u64, u64),
}

/// File with the answers so far, `FILE.part`, which becomes the output at the end. The state is in `FILE.part.json`.
pub struct PartialFile {
    path: PathBuf,
    state_path: PathBuf,
    out: BufWriter<File>,
    run: Map<String, Value>,
    /// State to continue from; `None` for a new run.
    saved: Option<SavedState>,
    /// Hash of the rows that were read in this run.
    hash: Sha256,
    rows: u64,
    bytes: u64,
    saved_at: Instant,
}

/// Appends to the last component of a path.
fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

impl PartialFile {
    /// Opens the unfinished output of the same run, or creates a new one.
    ///
    /// # Errors
    /// * [`Error::OtherRun`] if the unfinished output stems from another model, other settings or other inputs.
    /// * [`Error::Unresumable`] if its files are damaged.
    /// * [`Error::Argument`] if another process writes it.
    /// * [`Error::Io`] if the files cannot be read or created.
    pub fn open(output: &Path, run: Map<String, Value>) -> Result<Self> {
        let (path, state_path) = (with_ending(output, ".part"), with_ending(output, ".part.json"));
        let failed = |source| Error::Io { path: path.clone(), source };
        let is_new = !path.exists();
        let mut file =
            File::options().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::argument("output", "a file that no other run writes", output.display()));
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let unusable = |problem: String| Error::Unresumable { path: path.clone(), problem };
        let saved: Option<SavedState> = match read_file(&state_path, FileKind::Description) {
            // The user has removed the answers, in order to begin again.
            Ok(_) if is_new => None,
            Ok(bytes) => {
                let parsed = serde_json::from_slice(&bytes);
                Some(parsed.map_err(|error| unusable(format!("{}: {error}", state_path.display())))?)
            }
            Err(source) if source.kind() == ErrorKind::NotFound => None,
            Err(source) => return Err(Error::Io { path: state_path, source }),
        };
        if let Some(Difference { name, there, here }) =
            saved.as_ref().and_then(|saved| Difference::first(&saved.run, &run))
        {
            return Err(Error::OtherRun { path, differs: format!("{name} is {there} there and {here} here") });
        }
        let bytes = saved.as_ref().map_or(0, |saved| saved.bytes);
        let length = file.metadata().map_err(failed)?.len();
        if length < bytes {
            return Err(unusable(format!("it has {length} bytes of {bytes}")));
        }
        // Answers after the saved state are written again.
        file.set_len(bytes).map_err(failed)?;
        file.seek(SeekFrom::Start(bytes)).map_err(failed)?;
        let out = BufWriter::new(file);
        let (hash, saved_at) = (Sha256::new(), Instant::now());
        Ok(Self { path, state_path, out, run, saved, hash, rows: 0, bytes, saved_at })
    }

    /// Returns whether the output still has the answer to the current row.
    fn is_answered(&self) -> bool {
        self.saved.as_ref().is_some_and(|saved| self.rows < saved.rows)
    }

    fn changed(&self, problem: String) -> Error {
        Error::Unresumable { path: self.path.clone(), problem }
    }

    /// Renames the file to its final name, and removes the state.
    ///
    /// # Errors
    /// * [`Error::Unresumable`] if the inputs have fewer rows than were answered before.
    /// * [`Error::Io`] if the files cannot be written.
    pub fn finish(mut self, output: &Path) -> Result<()> {
        if self.is_answered() {
            let before = self.saved.as_ref().map_or(0, |saved| saved.rows);
            return Err(self.changed(format!("{before} rows were answered, and the input has {} now", self.rows)));
        }
        let failed = |source| Error::Io { path: self.path.clone(), source };
        self.out.flush().map_err(failed)?;
        self.out.get_ref().sync_all().map_err(failed)?;
        std::fs::rename(&self.path, output).map_err(|source| Error::Io { path: output.into(), source })?;
        match std::fs::remove_file(&self.state_path) {
            Err(source) if source.kind() != ErrorKind::NotFound => {
                Err(Error::Io { path: self.state_path.clone(), source })
            }
            _ => Ok(()),
        }
    }
}

/// Removes the file if no row was answered.
impl Drop for PartialFile {
    fn drop(&mut self) {
        if self.saved.is_none() && self.bytes == 0 {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Write for PartialFile {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        // The titles precede the first row.
        if self.is_answered() {
            return Ok(buffer.len());
        }
        let written = self.out.write(buffer)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

impl Output for PartialFile {
    fn totals(&self) -> Totals {
        let Some(saved) = &self.saved else { return Totals::default() };
        let (first_without, first_failed) = saved.first_lines;
        Totals { first_without, first_failed, ..saved.totals }
    }

    fn titles(&self) -> Option<Vec<String>> {
        self.saved.as_ref()?.titles.clone()
    }

    fn unanswered(&mut self, mut rows: Vec<InputRow>) -> Result<Vec<InputRow>> {
        let before = self.saved.as_ref().map_or(0, |saved| saved.rows);
        let mut answered = 0;
        for row in &rows {
            update(&mut self.hash, row);
            self.rows += 1;
            if self.rows > before {
                continue;
            }
            answered += 1;
            if self.rows == before && self.saved.as_ref().is_some_and(|saved| saved.sha256 != hex(&self.hash)) {
                return Err(self.changed(format!("one of the {before} answered rows has changed in the input")));
            }
        }
        rows.drain(..answered);
        Ok(rows)
    }

    fn answered(&mut self, titles: Option<&[String]>, totals: &Totals, is_end: bool) -> Result<()> {
        if self.is_answered() || !is_end && self.saved_at.elapsed() < SAVE_EVERY {
            return Ok(());
        }
        let failed = |source| Error::Io { path: self.path.clone(), source };
        self.out.flush().map_err(failed)?;
        self.out.get_ref().sync_data().map_err(failed)?;
        let state = SavedState {
            run: self.run.clone(),
            rows: self.rows,
            sha256: hex(&self.hash),
            bytes: self.bytes,
            titles: titles.map(<[String]>::to_vec),
            totals: *totals,
            first_lines: (totals.first_without, totals.first_failed),
        };
        let json = serde_json::to_vec(&state).map_err(|error| failed(error.into()))?;
        write_atomically(&self.state_path, |file| file.write_all(&json))?;
        self.saved_at = Instant::now();
        Ok(())
    }
}

/// SHA-256 of the bytes so far, in hexadecimal.
fn hex(hash: &Sha256) -> String {
    hash.clone().finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Hashes the content of a row. Each part is preceded by its length, so that different rows differ in their bytes.
fn update(hash: &mut Sha256, row: &InputRow) {
    let mut part = |text: &str| {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    };
    match row {
        InputRow::Unreadable { reason, .. } => part(reason),
        InputRow::Text(row) => match &row.given {
            Given::Line(line) => part(line),
            Given::Cells(cells) => cells.iter().for_each(|cell| part(cell)),
            Given::Members(members) => members.iter().for_each(|(name, value)| {
                part(name);
                part(value.get());
            }),
        },
    }
    hash.update([0xff; 8]);
}
