//! Input partitions: files, or objects in an object store.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::UNIX_EPOCH;

use sha2::{Digest, Sha256};

use super::record::Facts;
use crate::error::{Error, Result};

/// Input partition (part of a large input): a file, or an object in an object store.
pub trait Input {
    /// Path or URL of the partition.
    fn path(&self) -> &Path;

    /// Identity of the current content: size and version.
    fn facts(&self) -> Result<Facts>;

    /// Opens the content of the partition for reading, if its identity is still `facts`.
    ///
    /// # Errors
    /// [`Error::PartitionChanged`] if an object has changed since `facts` were read.
    fn open(&self, facts: &Facts) -> Result<Box<dyn Read + Send>>;
}

/// Returns whether a directory entry is not a partition: a hidden file, or a marker such as `_SUCCESS`.
pub(super) fn is_hidden(name: &str) -> bool {
    name.starts_with(['.', '_'])
}

/// Input partition that is a local file.
pub(super) struct InputFile(pub(super) PathBuf);

impl Input for InputFile {
    fn path(&self) -> &Path {
        &self.0
    }

    fn facts(&self) -> Result<Facts> {
        let failed = |source| Error::Io { path: self.0.clone(), source };
        let metadata = self.0.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(failed(std::io::Error::other("a partition must be a regular file")));
        }
        let changed = metadata.modified().map_err(failed)?.duration_since(UNIX_EPOCH).unwrap_or_default();
        #[cfg(unix)]
        let inode = std::os::unix::fs::MetadataExt::ino(&metadata);
        #[cfg(not(unix))]
        let inode = 0;
        Ok(Facts { bytes: metadata.len(), version: format!("{}:{inode}", changed.as_nanos()) })
    }

    fn open(&self, _: &Facts) -> Result<Box<dyn Read + Send>> {
        File::open(&self.0)
            .map(|file| Box::new(file) as Box<dyn Read + Send>)
            .map_err(|source| Error::Io { path: self.0.clone(), source })
    }
}

/// Reader that hashes and counts all bytes that are read through it. [`Sums`] has the results.
pub struct HashingReader<R> {
    inner: R,
    sums: Sums,
}

/// Hash and byte count of a [`HashingReader`], which remain accessible while it reads.
#[derive(Clone, Default)]
pub struct Sums(Arc<Mutex<(Sha256, u64)>>);

impl<R: Read> HashingReader<R> {
    /// Wraps a reader, so that the bytes read from it are hashed and counted.
    pub fn new(inner: R) -> (Self, Sums) {
        let sums = Sums::default();
        (Self { inner, sums: sums.clone() }, sums)
    }
}

impl Sums {
    /// Returns the number of bytes read so far, and their SHA-256 in hexadecimal.
    pub fn get(&self) -> (u64, String) {
        let (hasher, bytes) = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (bytes, hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

impl<R: Read> Read for HashingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        let mut sums = self.sums.0.lock().unwrap_or_else(PoisonError::into_inner);
        sums.0.update(&buffer[..count]);
        sums.1 += count as u64;
        Ok(count)
    }
}
