//! Outputs of partitions in a folder, on a local disk or a shared file system.
//!
//! A claim (the right to answer a partition) is an exclusive file lock. The operating system releases the lock when the
//! process ends, so that another worker can take it at once. Workers on several hosts rely on a file system that shares
//! locks between hosts, such as NFS with its default options. If locks apply to one host only (NFS mounted with
//! `nolock` or `local_lock`), two hosts may answer the same partition. The output is still correct, but the work is
//! done twice.

use std::fs::{File, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dht_dynamic::transformer::storage::{FileKind, read_file, write_atomically};
use serde_json::{Map, Value};

use super::outputs::{Answering, CLAIM, Claim, DESCRIPTION, FORMAT, OWN, Outputs, RECORD, worker};
use super::record::Record;
use crate::error::{Error, Result};
use crate::training::RunDir;

/// Prefix of the names of the temporary files that [`write_atomically`] creates.
const UNFINISHED: &str = ".partial-";
/// Name of the temporary file with complete answers, before it is renamed to the output.
const ANSWERS: &str = "answers";
/// Maximum time to wait for another worker that is writing the description of the run.
const PATIENCE: Duration = Duration::from_secs(10);

/// Writes a file atomically: completely or not at all.
///
/// # Errors
/// Errors of `write`; [`Error::Transformer`] if the file cannot be written.
pub fn write_file<T>(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<T>) -> Result<T> {
    let mut result = None;
    let written = write_atomically(path, |file| {
        let done = write(file);
        let message = done.as_ref().err().map(ToString::to_string);
        result = Some(done);
        message.map_or(Ok(()), |message| Err(io::Error::other(message)))
    });
    let value = result.transpose()?;
    written?;
    value.ok_or_else(|| Error::Io { path: path.into(), source: io::Error::other("nothing was written") })
}

/// Folder with the outputs of all partitions. Implements [`Outputs`] on a file system.
pub struct Folder(PathBuf);

impl Folder {
    /// Opens a folder, and creates it if it is missing.
    ///
    /// # Errors
    /// [`Error::Io`] if the folder cannot be created.
    pub fn open(path: &Path) -> Result<Self> {
        std::fs::create_dir_all(path).map_err(|source| Error::Io { path: path.into(), source })?;
        Ok(Self(path.into()))
    }

    /// Directory in which the workers keep the lock, the record and the temporary files of one output.
    fn own(&self, name: &str) -> PathBuf {
        self.0.join(OWN).join(name)
    }
}

/// Removes temporary files that a killed worker has left in a directory. The caller must hold the lock of the
/// directory.
fn remove_unfinished(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

impl Outputs for Folder {
    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn describe(&self, run: &Map<String, Value>) -> Result<Map<String, Value>> {
        let (own, start) = (self.0.join(OWN), Instant::now());
        let folder = loop {
            match RunDir::open(&own) {
                Err(Error::InUse { .. }) if start.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(20)),
                opened => break opened?,
            }
        };
        remove_unfinished(&own);
        if let Some(stored) = folder.description(DESCRIPTION, FORMAT)? {
            return Ok(stored);
        }
        folder.describe(DESCRIPTION, FORMAT, run)?;
        Ok(run.clone())
    }

    fn record(&self, name: &str) -> Result<Option<Record>> {
        let path = self.own(name).join(RECORD);
        match read_file(&path, FileKind::Description) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|_| Error::Foreign { path }),
            Err(source) if source.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::Io { path, source }),
        }
    }

    fn size(&self, name: &str) -> Result<Option<u64>> {
        match self.path(name).metadata() {
            Ok(metadata) => Ok(Some(metadata.len())),
            // A dangling symbolic link counts as a foreign file.
            Err(source) if source.kind() == ErrorKind::NotFound && self.path(name).is_symlink() => {
                Err(Error::ForeignOutput { path: self.path(name) })
            }
            Err(source) if source.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::Io { path: self.path(name), source }),
        }
    }

    fn claim(&self, name: &str) -> Result<Option<Box<dyn Claim>>> {
        let own = self.own(name);
        let path = own.join(CLAIM);
        let failed = |source| Error::Io { path: path.clone(), source };
        std::fs::create_dir_all(&own).map_err(failed)?;
        let mut file =
            File::options().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(source)) => {
                let reason = format!("{source}: workers need a file system with locks, or an output folder each");
                return Err(failed(io::Error::new(source.kind(), reason)));
            }
        }
        remove_unfinished(&own);
        file.set_len(0).and_then(|()| writeln!(file, "{}", worker())).map_err(failed)?;
        Ok(Some(Box::new(Lock { path, _file: file })))
    }

    fn write(&self, name: &str, answer: Answering<'_>) -> Result<Record> {
        let own = self.own(name);
        let answers = own.join(ANSWERS);
        let record = write_file(&answers, |file| {
            let mut counting = Counting { inner: file, bytes: 0 };
            let record = answer(&mut counting)?;
            Ok(Record { output_bytes: counting.bytes, ..record })
        })?;
        let path = own.join(RECORD);
        let json =
            serde_json::to_string(&record).map_err(|error| Error::Io { path: path.clone(), source: error.into() })?;
        write_atomically(&path, |file| writeln!(file, "{json}"))?;
        let output = self.path(name);
        let renamed = std::fs::rename(&answers, &output);
        let durable = renamed.and_then(|()| if cfg!(unix) { File::open(&self.0)?.sync_all() } else { Ok(()) });
        durable.map_err(|source| Error::Io { path: output, source })?;
        Ok(record)
    }
}

/// Claim on a partition (right to answer it): a file lock, which the operating system releases when the process ends.
struct Lock {
    path: PathBuf,
    _file: File,
}

impl Claim for Lock {
    fn is_held(&self) -> bool {
        true
    }

    /// Deletes the lock file, and then releases the lock. Another worker may still lock the deleted file, but it then
    /// finds that the output exists.
    fn finish(self: Box<Self>) {
        let _ = std::fs::remove_file(&self.path);
    }
}

struct Counting<W> {
    inner: W,
    bytes: u64,
}

impl<W: Write> Write for Counting<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
