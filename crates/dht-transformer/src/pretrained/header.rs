//! Parser of the header of a safetensors file, which is validated before memory is allocated for tensors.
//!
//! A safetensors file consists of the header's length (8 bytes, little endian), the header (JSON: name → dtype, shape,
//! offsets) and the data.

use std::collections::BTreeMap;
use std::io::Read;

use serde::Deserialize;

use super::tensor_info::{TensorInfo, bits};
use crate::error::WeightsProblem;
use crate::storage::{GIT_LFS, Members};

/// Maximum length of a header in bytes, as in the reference implementation.
pub(super) const LONGEST_HEADER: u64 = 100_000_000;

#[derive(Deserialize)]
struct TensorEntry {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: (u64, u64),
}

impl TensorEntry {
    fn check(&self) -> Result<(), WeightsProblem> {
        let (begin, end) = self.data_offsets;
        if begin > end {
            return Err(WeightsProblem::Offsets { begin, end });
        }
        let bits = bits(&self.dtype).ok_or_else(|| WeightsProblem::Type { dtype: self.dtype.clone() })?;
        let needed = self.shape.iter().try_fold(bits, |bits, &size| bits.checked_mul(size as u64));
        if needed.is_none_or(|bits| !bits.is_multiple_of(8) || bits / 8 != end - begin) {
            return Err(WeightsProblem::Length { shape: self.shape.clone(), bytes: end - begin });
        }
        Ok(())
    }
}

pub(super) type Tensors = BTreeMap<String, TensorInfo>;

/// Problem in a weight file, with the name of the tensor if it concerns one tensor.
pub(super) type Problem = (Option<String>, WeightsProblem);

pub(super) fn read_header(file: &mut impl Read, length: u64) -> std::io::Result<Result<Tensors, Problem>> {
    if length < 8 {
        return Ok(Err((None, WeightsProblem::Truncated { expected: 8, got: length })));
    }
    let mut size = [0; 8];
    file.read_exact(&mut size)?;
    // As a length, far beyond any header.
    if size == GIT_LFS {
        return Ok(Err((None, WeightsProblem::GitLfsPointer)));
    }
    let size = u64::from_le_bytes(size);
    if size > LONGEST_HEADER {
        return Ok(Err((None, WeightsProblem::HeaderTooLong { bytes: size, most: LONGEST_HEADER })));
    }
    if size > length - 8 {
        return Ok(Err((None, WeightsProblem::Truncated { expected: 8 + size, got: length })));
    }
    let mut text = vec![0; size as usize];
    file.read_exact(&mut text)?;
    Ok(parse(&text, length - 8 - size))
}

/// Parses the header of a safetensors file, where `data` is the number of bytes after the header. Checks that each
/// tensor has the length that its type and shape require, and that the tensors fill these bytes without gap or overlap.
fn parse(text: &[u8], data: u64) -> Result<Tensors, Problem> {
    let entries: Members<TensorEntry> =
        serde_json::from_slice(text).map_err(|error| (None, WeightsProblem::Header { message: error.to_string() }))?;
    let data_start = 8 + text.len() as u64;
    let mut tensors = BTreeMap::new();
    let mut order = Vec::new();
    for (name, entry) in entries.0 {
        entry.check().map_err(|problem| (Some(name.clone()), problem))?;
        let (begin, end) = entry.data_offsets;
        order.push((entry.data_offsets, name.clone()));
        let info = TensorInfo::contiguous(entry.dtype, entry.shape, data_start.saturating_add(begin), end - begin);
        if tensors.insert(name.clone(), info).is_some() {
            return Err((Some(name), WeightsProblem::Duplicate));
        }
    }
    order.sort();
    let mut end = 0;
    for ((begin, next), name) in order {
        if begin != end {
            return Err((Some(name), WeightsProblem::Gap { begin, expected: end }));
        }
        if next > data {
            let expected = data_start.saturating_add(next);
            return Err((Some(name), WeightsProblem::Truncated { expected, got: data_start + data }));
        }
        end = next;
    }
    if end < data {
        return Err((None, WeightsProblem::Trailing { bytes: data - end }));
    }
    Ok(tensors)
}
