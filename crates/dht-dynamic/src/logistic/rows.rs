//! Table of f32 rows of equal width, in memory or in a temporary file.

use std::borrow::Cow;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use dht_transformer::Error as TransformerError;

use crate::error::{Error, Result};

/// Default memory limit for a table of rows, in bytes.
pub(crate) const MEMORY: usize = 2 << 30;
/// Number of rows that are read from the file at a time.
pub(super) const BLOCK: usize = 4096;

/// Table of f32 rows of equal width, in memory or in a file. The file has no name and is in the [directory for
/// temporary files](std::env::temp_dir). The operating system removes it when the program ends.
#[derive(Debug, Clone)]
pub(crate) struct Rows {
    width: usize,
    values: Values,
}

#[derive(Debug, Clone)]
enum Values {
    Memory(Vec<f32>),
    File(Arc<RowFile>),
}

#[derive(Debug)]
struct RowFile {
    file: Mutex<File>,
    rows: usize,
}

fn io(source: std::io::Error) -> Error {
    let kind = source.kind();
    let source = format!("{source} (temporary file for the states of texts, which exceed their memory)");
    TransformerError::Io { path: std::env::temp_dir(), source: std::io::Error::new(kind, source) }.into()
}

impl RowFile {
    fn at(&self, row: usize, width: usize) -> std::io::Result<std::sync::MutexGuard<'_, File>> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start((row * width * size_of::<f32>()) as u64))?;
        Ok(file)
    }
}

impl Rows {
    /// Creates a table that is filled with zeros, in memory or in a file.
    ///
    /// # Errors
    /// [`TransformerError::Io`] if the file cannot be created with its full size.
    pub(crate) fn zeros(rows: usize, width: usize, in_file: bool) -> Result<Self> {
        if !in_file {
            return Ok(Self { width, values: Values::Memory(vec![0.0; rows * width]) });
        }
        let file = tempfile::tempfile().map_err(io)?;
        file.set_len((rows * width * size_of::<f32>()) as u64).map_err(io)?;
        Ok(Self { width, values: Values::File(Arc::new(RowFile { file: Mutex::new(file), rows })) })
    }

    /// Builds a table in memory from values in row-major order.
    #[cfg(test)]
    pub(crate) fn in_memory(width: usize, values: Vec<f32>) -> Self {
        Self { width, values: Values::Memory(values) }
    }

    pub(crate) fn len(&self) -> usize {
        match &self.values {
            Values::Memory(values) => values.len() / self.width.max(1),
            Values::File(file) => file.rows,
        }
    }

    /// Values of a table in memory, in row-major order; `None` for a table in a file.
    pub(super) fn values(&self) -> Option<&[f32]> {
        match &self.values {
            Values::Memory(values) => Some(values),
            Values::File(_) => None,
        }
    }

    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// Replaces one row by values of the same width.
    ///
    /// # Errors
    /// [`TransformerError::Io`] if the file cannot be written, for example because the disk is full.
    pub(crate) fn set(&mut self, row: usize, values: &[f32]) -> Result<()> {
        match &mut self.values {
            Values::Memory(all) => all[row * self.width..(row + 1) * self.width].copy_from_slice(values),
            Values::File(file) => {
                let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
                file.at(row, self.width).and_then(|mut file| file.write_all(&bytes)).map_err(io)?;
            }
        }
        Ok(())
    }

    /// Reads a range of rows. The values are in row-major order.
    pub(super) fn read(&self, rows: Range<usize>) -> Result<Cow<'_, [f32]>> {
        match &self.values {
            Values::Memory(values) => Ok(Cow::Borrowed(&values[rows.start * self.width..rows.end * self.width])),
            Values::File(file) => {
                let mut bytes = vec![0; rows.len() * self.width * size_of::<f32>()];
                file.at(rows.start, self.width).and_then(|mut file| file.read_exact(&mut bytes)).map_err(io)?;
                let (values, _) = bytes.as_chunks();
                Ok(Cow::Owned(values.iter().copied().map(f32::from_le_bytes).collect()))
            }
        }
    }

    /// Calls `visit` with each selected row. `chosen` has the indices of the rows, ascending; `None` selects all rows.
    pub(crate) fn each(&self, chosen: Option<&[usize]>, mut visit: impl FnMut(&[f32])) -> Result<()> {
        let count = chosen.map_or(self.len(), <[usize]>::len);
        for start in (0..count).step_by(BLOCK) {
            let places = start..count.min(start + BLOCK);
            let (first, values) = self.span(chosen, places.clone())?;
            for place in places {
                let at = (chosen.map_or(place, |chosen| chosen[place]) - first) * self.width;
                visit(&values[at..at + self.width]);
            }
        }
        Ok(())
    }

    /// Reads the smallest range of rows that contains all of `chosen[places]`, which are row indices. Also returns the
    /// first row of this range.
    pub(super) fn span(&self, chosen: Option<&[usize]>, places: Range<usize>) -> Result<(usize, Cow<'_, [f32]>)> {
        let rows = match chosen {
            Some(chosen) => chosen[places.start]..chosen[places.end - 1] + 1,
            None => places,
        };
        Ok((rows.start, self.read(rows)?))
    }
}
