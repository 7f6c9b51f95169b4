//! SHA-256 checksums of files and streams.

use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::regular_file::open_file;
use crate::error::{Error, Result};

/// Computes the SHA-256 checksum of a file: 64 hexadecimal digits, as `sha256sum` prints them.
///
/// # Errors
/// [`Error::Io`] when the file cannot be read.
///
/// # Examples
/// ```
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("abc.txt");
/// std::fs::write(&path, "abc")?;
/// let sum = dht_transformer::storage::file_sha256(&path)?;
/// // FIPS 180-2, appendix B.1.
/// assert_eq!(sum, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn file_sha256(path: impl AsRef<Path>) -> Result<String> {
    let path = path.as_ref();
    open_file(path).and_then(|file| Hashing::new(file).finish()).map_err(|source| Error::io(path, source))
}

pub(crate) fn hexadecimal(sum: Sha256) -> String {
    sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reader that computes the SHA-256 of the bytes it forwards.
pub(crate) struct Hashing<R> {
    inner: R,
    hasher: Sha256,
    bytes: u64,
}

impl<R: Read> Hashing<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self { inner, hasher: Sha256::new(), bytes: 0 }
    }

    pub(crate) fn is_unread(&self) -> bool {
        self.bytes == 0
    }

    /// Reads the remaining bytes. Returns the SHA-256 of all bytes, in hexadecimal.
    pub(crate) fn finish(mut self) -> io::Result<String> {
        io::copy(&mut self, &mut io::sink())?;
        Ok(hexadecimal(self.hasher))
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        self.bytes += count as u64;
        Ok(count)
    }
}
