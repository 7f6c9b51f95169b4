//! Input embeddings of an encoder, in memory that the n-gram classifier shares with the encoder.

use candle_core::{Device, Storage, Tensor};
use dht_transformer::Encoder;
use rayon::prelude::*;

use crate::error::{Error, Result};

/// Name of the encoder parameter that holds the word embeddings.
pub(crate) const WORD_EMBEDDINGS: &str = "embeddings.word_embeddings.weight";

/// Word embeddings of an encoder, before position embeddings and layer norm. Shape: (tokens, hidden).
///
/// On the CPU, the table shares the encoder's memory and is not a copy. If training changes the encoder's embeddings,
/// the table changes too, and a classifier that was fitted on it must be fitted again.
#[derive(Debug, Clone)]
pub(super) struct EmbeddingTable {
    table: Tensor,
    digest: u64,
}

impl EmbeddingTable {
    /// Creates the table from an encoder's parameters.
    ///
    /// # Errors
    /// * [`Error::Transformer`] if the encoder does not have a table of word embeddings.
    /// * [`Error::Argument`] if the table does not have one row for each token, or is not finite.
    pub(super) fn new(encoder: &Encoder) -> Result<Self> {
        let parameters = encoder.parameters();
        Self::of_tensor(parameters.var(parameters.id(WORD_EMBEDDINGS)?).as_tensor())
    }

    fn of_tensor(table: &Tensor) -> Result<Self> {
        let Ok((_, columns)) = table.dims2() else {
            return Err(Error::argument("embedding table", "one row for each token", format!("{:?}", table.dims())));
        };
        let table = if table.device().is_cpu() { table.clone() } else { table.to_device(&Device::Cpu)? };
        let mut table = Self { table, digest: 0 };
        let row_of_infinity = table.with_values(|values| {
            values.par_chunks(columns.max(1)).position_first(|row| row.iter().any(|value| !value.is_finite()))
        })?;
        if let Some(row) = row_of_infinity {
            return Err(Error::argument("embedding table", "finite numbers", format!("NaN or infinity in row {row}")));
        }
        table.digest = table.with_values(|values| digest(values, columns))?;
        Ok(table)
    }

    /// Number of columns: the width of an embedding.
    pub(super) fn columns(&self) -> usize {
        self.table.dims().last().copied().unwrap_or_default()
    }

    /// Number of rows: the size of the vocabulary.
    pub(super) fn tokens(&self) -> usize {
        self.table.dims().first().copied().unwrap_or_default()
    }

    /// Checksum of all embeddings. A saved classifier stores it to detect an encoder with other embeddings.
    pub(super) fn digest(&self) -> u64 {
        self.digest
    }

    /// Calls `read` with all entries of the table, in row-major order.
    ///
    /// # Errors
    /// [`Error::Argument`] if the table is not contiguous in memory.
    pub(super) fn with_values<T>(&self, read: impl FnOnce(&[f32]) -> T) -> Result<T> {
        let (storage, layout) = self.table.storage_and_layout();
        let (Storage::Cpu(storage), Some((start, end))) = (&*storage, layout.contiguous_offsets()) else {
            return Err(Error::argument("embedding table", "numbers in contiguous memory", "not contiguous"));
        };
        Ok(read(&storage.as_slice::<f32>()?[start..end]))
    }
}

/// Compares shapes and checksums instead of all entries.
impl PartialEq for EmbeddingTable {
    fn eq(&self, other: &Self) -> bool {
        (self.table.dims(), self.digest) == (other.table.dims(), other.digest)
    }
}

/// Computes the mean embedding of a text and the number of tokens in the mean. Tokens outside the table are skipped. If
/// no token remains, the mean is `empty`.
pub(super) fn mean(
    values: &[f32],
    columns: usize,
    empty: &[f32],
    tokens: impl Iterator<Item = u32>,
) -> (Vec<f32>, usize) {
    let (mut sum, mut count) = (vec![0.0_f32; columns], 0_usize);
    for token in tokens {
        let at = token as usize * columns;
        if let Some(row) = values.get(at..at + columns) {
            sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
            count += 1;
        }
    }
    if count == 0 {
        return (empty.to_vec(), 0);
    }
    sum.iter_mut().for_each(|sum| *sum /= count as f32);
    (sum, count)
}

/// Computes the checksum of a table. The bits of each row are hashed with FNV-1a, and the row hashes are hashed with
/// FNV-1a again.
fn digest(values: &[f32], columns: usize) -> u64 {
    const START: u64 = 0xcbf2_9ce4_8422_2325;
    let add = |digest: u64, value: u64| (digest ^ value).wrapping_mul(0x0000_0100_0000_01b3);
    let of_row = |row: &[f32]| row.iter().fold(START, |digest, value| add(digest, u64::from(value.to_bits())));
    let rows: Vec<u64> = values.par_chunks(columns.max(1)).map(of_row).collect();
    rows.into_iter().fold(START, add)
}
