//! Writer of checkpoint files. If the process is killed at any moment, the previous checkpoint remains intact.

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde_json::json;
use sha2::{Digest, Sha256};

use super::checkpoint::Checkpoint;
use super::format::{BEFORE_SUM, BLOCK, METADATA, PREFIX, STATE, SUM_DIGITS, VERSION};
use crate::error::{Error, Result};
use crate::storage::{folder_of, hexadecimal, synchronise_folder};

impl Checkpoint {
    /// Writes the checkpoint to `path`. An existing file is replaced only after the new file is completely on disk.
    ///
    /// The checkpoint is written to `.NAME.partial` in the same directory, synced and renamed. A failure or kill before
    /// the rename leaves the previous file unchanged; the next save overwrites a remaining partial file. Two processes
    /// must not save to the same path at the same time. In addition to the checkpoint itself, saving takes memory for
    /// the text of the state and one block of values.
    ///
    /// # Errors
    /// [`Error::Shape`] if a tensor's shape does not fit its number of values, [`Error::Parameter`] for a reserved
    /// name, [`Error::Io`] if the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        self.save_watched(path.as_ref(), &|_| {})
    }

    /// Saves a checkpoint as [`save`](Self::save) does, and reports each operation to `watch`, so that tests can abort
    /// at any point.
    pub(crate) fn save_watched(&self, path: &Path, watch: &dyn Fn(Moment)) -> Result<()> {
        self.check()?;
        // A rename would replace a device or a pipe by a file.
        if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
            return Err(Error::io(path, io::Error::other("is no regular file")));
        }
        let partial = partial(path)?;
        let written = self.write_synced(&partial, watch).and_then(|()| {
            watch(Moment::Synced);
            fs::rename(&partial, path).map_err(|source| Error::io(path, source))?;
            watch(Moment::Renamed);
            let folder = folder_of(path);
            synchronise_folder(folder).map_err(|source| Error::io(folder, source))
        });
        if written.is_err() {
            // The partial file is useless; an error of its removal would hide the first error.
            let _ = fs::remove_file(&partial);
        }
        written
    }

    fn check(&self) -> Result<()> {
        for (name, tensor) in &self.tensors {
            if [STATE, METADATA].contains(&name.as_str()) {
                return Err(Error::Parameter { name: name.clone(), problem: "is a reserved name" });
            }
            let elements = tensor.shape.iter().try_fold(1_usize, |product, &axis| product.checked_mul(axis));
            if elements != Some(tensor.values.len()) {
                return Err(Error::Shape {
                    what: name.clone(),
                    expected: tensor.shape.clone(),
                    got: vec![tensor.values.len()],
                });
            }
        }
        Ok(())
    }

    fn write_synced(&self, path: &Path, watch: &dyn Fn(Moment)) -> Result<()> {
        let file = File::create(path).map_err(|source| Error::io(path, source))?;
        watch(Moment::Created);
        let written = self.write(Watched { file: &file, watch });
        written.and_then(|()| file.sync_all()).map_err(|source| Error::io(path, source))
    }

    /// Writes a whole checkpoint file. The checksum is inserted at the end.
    pub(crate) fn write(&self, mut file: impl Write + Seek) -> io::Result<()> {
        let state = serde_json::to_vec(&self.state)?;
        let header = self.header(state.len())?;

        let mut summed = Summed { inner: &mut file, sum: Sha256::new() };
        summed.write_all(&(header.len() as u64).to_le_bytes())?;
        summed.write_all(header.as_bytes())?;
        let mut bytes = vec![0; BLOCK * size_of::<f32>()];
        for tensor in self.tensors.values() {
            for block in tensor.values.chunks(BLOCK) {
                let bytes = &mut bytes[..size_of_val(block)];
                for (bytes, value) in bytes.chunks_exact_mut(size_of::<f32>()).zip(block) {
                    bytes.copy_from_slice(&value.to_le_bytes());
                }
                summed.write_all(bytes)?;
            }
        }
        summed.write_all(&state)?;

        let sum = hexadecimal(summed.sum);
        file.seek(SeekFrom::Start((size_of::<u64>() + before_sum(VERSION).len()) as u64))?;
        file.write_all(sum.as_bytes())?;
        file.flush()
    }

    /// Creates the header of a checkpoint file, with zeros in place of the checksum. It is padded so that the tensors
    /// are aligned.
    fn header(&self, state_bytes: usize) -> io::Result<String> {
        let mut header = before_sum(VERSION);
        header.push_str(&"0".repeat(SUM_DIGITS));
        header.push_str("\"}");
        let mut start = 0;
        let mut entry = |name: &str, dtype: &str, shape: &[usize], bytes: usize| {
            let end = start + bytes;
            let name = serde_json::to_string(name)?;
            header.push_str(&format!(
                ",{name}:{}",
                json!({ "dtype": dtype, "shape": shape, "data_offsets": [start, end] })
            ));
            start = end;
            io::Result::Ok(())
        };
        for (name, tensor) in &self.tensors {
            entry(name, "F32", &tensor.shape, size_of_val(tensor.values.as_slice()))?;
        }
        entry(STATE, "U8", &[state_bytes], state_bytes)?;
        header.push('}');
        while !header.len().is_multiple_of(size_of::<u64>()) {
            header.push(' ');
        }
        Ok(header)
    }
}

fn before_sum(version: u64) -> String {
    format!("{PREFIX}{version}{BEFORE_SUM}")
}

/// Operation on the file while a checkpoint is saved, reported to tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Creation of the partial file, which will replace the checkpoint.
    Created,
    /// Write of a number of further bytes, which were passed to the operating system.
    Written(usize),
    /// Sync of the partial file, which is then completely on disk.
    Synced,
    /// Renaming of the partial file to the name of the checkpoint.
    Renamed,
}

struct Watched<'a> {
    file: &'a File,
    watch: &'a dyn Fn(Moment),
}

impl Write for Watched<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        (self.watch)(Moment::Written(written));
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Seek for Watched<'_> {
    fn seek(&mut self, place: SeekFrom) -> io::Result<u64> {
        self.file.seek(place)
    }
}

/// Writer that forwards bytes and computes their SHA-256.
struct Summed<W> {
    inner: W,
    sum: Sha256,
}

impl<W: Write> Write for Summed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.sum.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn partial(path: &Path) -> Result<PathBuf> {
    let name = path
        .file_name()
        .ok_or_else(|| Error::io(path, io::Error::new(io::ErrorKind::InvalidInput, "is not the name of a file")))?;
    let mut partial = std::ffi::OsString::from(".");
    partial.push(name);
    partial.push(".partial");
    Ok(path.with_file_name(partial))
}
