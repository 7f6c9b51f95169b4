//! Writer for the newest file of a decision log.

use std::fs::{self, File, OpenOptions};
use std::io::{Error, ErrorKind, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::error::{LogError, LogProblem};
use super::lines::{LONGEST_LINE, TOO_LONG};
use super::record::{Record, SegmentRecord};
use super::segments::{TAIL, bytes_before, check_regular, cut_torn_line, digest, path_of};

/// Temporary name of a new log file, until its first line is written.
const PARTIAL: &str = "next.partial";

/// Appends lines to the newest file of a log, each in one write, and starts the next file when this one is full.
#[derive(Debug)]
pub(super) struct SegmentWriter {
    folder: PathBuf,
    rotate_bytes: u64,
    sync: bool,
    file: File,
    number: u64,
    length: u64,
    /// `true` if the file contains at most its first line. Starting the next file would then be useless.
    fresh: bool,
    line: Vec<u8>,
    tail: Vec<u8>,
}

impl SegmentWriter {
    /// Opens the newest file of a log after its last complete line, or creates the first file. Also returns the number
    /// of bytes of an incomplete last line that were removed. With `sync`, waits until the file's directory entry is on
    /// the disk.
    pub(super) fn open(
        folder: &Path,
        newest: Option<u64>,
        rotate_bytes: u64,
        sync: bool,
    ) -> Result<(Self, u64), LogError> {
        let number = newest.unwrap_or(0);
        let path = path_of(folder, number);
        if number == u64::MAX {
            return Err(LogError::File { path, problem: LogProblem::LastNumber });
        }
        check_regular(&path)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(newest.is_none());
        let mut file = options.open(&path).map_err(|source| taken_or_io(&path, source))?;
        let (length, torn) = cut_torn_line(&mut file).map_err(|source| LogError::io(&path, source))?;
        discard(&folder.join(PARTIAL));
        if sync {
            // An existing file may lack its entry on the disk, if the process that created it was killed.
            sync_folder(folder)?;
        }
        let tail = bytes_before(&mut file, length).map_err(|source| LogError::io(&path, source))?;
        file.seek(SeekFrom::Start(length)).map_err(|source| LogError::io(&path, source))?;
        let (folder, line, fresh) = (folder.to_owned(), Vec::new(), length == 0);
        Ok((Self { folder, rotate_bytes, sync, file, number, length, fresh, line, tail }, torn))
    }

    pub(super) fn path(&self) -> PathBuf {
        path_of(&self.folder, self.number)
    }

    /// Position at which the next line will be written (number of the file, and byte in it).
    pub(super) fn position(&self) -> (u64, u64) {
        (self.number, self.length)
    }

    /// Hash of the bytes before the position of the next line.
    pub(super) fn tail_digest(&self) -> u64 {
        digest(&self.tail)
    }

    /// Writes the first line of the file, if a crash left the file empty.
    pub(super) fn begin(&mut self, first: SegmentRecord) -> Result<(), LogError> {
        if self.length == 0 {
            self.line = line_of(&Record::Segment(first)).map_err(|source| LogError::io(&self.path(), source))?;
            self.write_line()?;
        }
        Ok(())
    }

    /// Writes one line; after an error, removes a partially written line. If the file is full, starts a new file with
    /// the first line `first`.
    pub(super) fn write(&mut self, record: &Record, first: SegmentRecord) -> Result<(), LogError> {
        self.line.clear();
        add_line(&mut self.line, record).map_err(|source| LogError::io(&self.path(), source))?;
        let length = self.line.len() as u64;
        if length > LONGEST_LINE {
            return Err(LogError::Value { problem: LogProblem::Malformed(TOO_LONG.to_owned()) });
        }
        if !self.fresh && self.length + length > self.rotate_bytes {
            self.rotate(first)?;
        }
        self.write_line()?;
        self.fresh = false;
        Ok(())
    }

    fn write_line(&mut self) -> Result<(), LogError> {
        let outcome =
            self.file.write_all(&self.line).and_then(|()| if self.sync { self.file.sync_data() } else { Ok(()) });
        if let Err(source) = outcome {
            // If this also fails, the line is cut off when the log is opened again.
            let _ = self.file.set_len(self.length);
            let _ = self.file.seek(SeekFrom::Start(self.length));
            return Err(LogError::io(&self.path(), source));
        }
        self.length += self.line.len() as u64;
        self.tail.extend_from_slice(&self.line);
        self.tail.drain(..self.tail.len().saturating_sub(TAIL));
        Ok(())
    }

    /// Starts the next file. Its first line is written before the file gets its name, so that no crash and no full disk
    /// leaves a file without this line.
    fn rotate(&mut self, first: SegmentRecord) -> Result<(), LogError> {
        let number = self.number.saturating_add(1);
        if number == u64::MAX {
            return Err(LogError::File { path: self.path(), problem: LogProblem::LastNumber });
        }
        if self.sync {
            self.sync()?;
        }
        let (path, partial) = (path_of(&self.folder, number), self.folder.join(PARTIAL));
        let made = self.make(&partial, first).map_err(|source| LogError::io(&partial, source));
        let made = made.and_then(|made| publish(&partial, &path).map(|()| made));
        discard(&partial);
        let (mut file, length) = made?;
        self.tail = bytes_before(&mut file, length).map_err(|source| LogError::io(&path, source))?;
        (self.file, self.number, self.length, self.fresh) = (file, number, length, true);
        if self.sync { sync_folder(&self.folder) } else { Ok(()) }
    }

    fn make(&self, path: &Path, first: SegmentRecord) -> std::io::Result<(File, u64)> {
        discard(path);
        let line = line_of(&Record::Segment(first))?;
        let mut file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        file.write_all(&line)?;
        if self.sync {
            file.sync_data()?;
        }
        Ok((file, line.len() as u64))
    }

    pub(super) fn sync(&mut self) -> Result<(), LogError> {
        self.file.sync_data().map_err(|source| LogError::io(&self.path(), source))
    }
}

/// Removes the partial file that a killed process left. Errors are ignored. If the path is a folder, for example,
/// starting the next file will fail with an error that names the path.
fn discard(partial: &Path) {
    if fs::symlink_metadata(partial).is_ok_and(|metadata| metadata.is_file() || metadata.is_symlink()) {
        let _ = fs::remove_file(partial);
    }
}

/// Gives a file its final name, without replacing an existing file. It creates a hard link, because a rename would
/// replace.
fn publish(partial: &Path, path: &Path) -> Result<(), LogError> {
    match fs::hard_link(partial, path) {
        Ok(()) => Ok(()),
        // This file system does not support links.
        Err(error) if error.kind() != ErrorKind::AlreadyExists && fs::symlink_metadata(path).is_err() => {
            fs::rename(partial, path).map_err(|source| LogError::io(path, source))
        }
        Err(error) => Err(taken_or_io(path, error)),
    }
}

/// Creates a folder and its parents, if they do not exist. With `sync`, waits until their directory entries are on the
/// disk.
pub(super) fn create_folder(folder: &Path, sync: bool) -> Result<(), LogError> {
    let missing = folder.ancestors().take_while(|above| !above.as_os_str().is_empty() && !above.exists()).count();
    fs::create_dir_all(folder).map_err(|source| LogError::io(folder, source))?;
    let above = folder.ancestors().skip(1).take(if sync { missing } else { 0 });
    // The parent of a relative path with one component is the current folder.
    above.map(|above| if above.as_os_str().is_empty() { Path::new(".") } else { above }).try_for_each(sync_folder)
}

/// Waits until the entries of a folder are on the disk, if the operating system can open folders.
fn sync_folder(folder: &Path) -> Result<(), LogError> {
    #[cfg(test)]
    tests::SYNCED.with_borrow_mut(|synced| synced.push(folder.to_owned()));
    match cfg!(unix) {
        true => File::open(folder).and_then(|folder| folder.sync_all()).map_err(|source| LogError::io(folder, source)),
        false => Ok(()),
    }
}

fn taken_or_io(path: &Path, source: Error) -> LogError {
    match source.kind() {
        ErrorKind::AlreadyExists => LogError::File { path: path.to_owned(), problem: LogProblem::Exists },
        _ => LogError::io(path, source),
    }
}

fn line_of(record: &Record) -> std::io::Result<Vec<u8>> {
    let mut line = Vec::new();
    add_line(&mut line, record)?;
    Ok(line)
}

fn add_line(lines: &mut Vec<u8>, record: &Record) -> std::io::Result<()> {
    serde_json::to_writer(&mut *lines, record)?;
    lines.push(b'\n');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{DecisionLog, LogSettings};
    use std::cell::RefCell;

    thread_local! {
        /// Folders whose entries this thread has synced, for tests.
        pub(super) static SYNCED: RefCell<Vec<PathBuf>> = const { RefCell::new(Vec::new()) };
    }

    fn synced_by_opening(folder: &Path, sync: bool) -> Vec<PathBuf> {
        SYNCED.with_borrow_mut(Vec::clear);
        drop(DecisionLog::open(folder, LogSettings::default().with_sync(sync)).unwrap());
        SYNCED.take()
    }

    #[test]
    fn opening_a_synced_log_syncs_the_entries_of_its_first_file() {
        let above = std::env::temp_dir().join(format!("dht-bandits-synced-{}", std::process::id()));
        let folder = above.join("inner").join("log");
        let temporary = above.parent().unwrap().to_owned();
        let new = vec![above.join("inner"), above.clone(), temporary, folder.clone()];
        assert_eq!(synced_by_opening(&folder, true), new);
        // Opening syncs the entry again, since a process cannot know whether it is on the disk.
        assert_eq!(synced_by_opening(&folder, true), std::slice::from_ref(&folder));
        assert!(synced_by_opening(&above.join("other"), false).is_empty());
        fs::remove_dir_all(&above).unwrap();
    }
}
