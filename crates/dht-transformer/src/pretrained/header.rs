//! Header of a safetensors file, checked before anything is allocated for its tensors.
//!
//! A file is: the header's length (8 bytes, little endian), the header (JSON: name → dtype, shape, offsets), the data.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};

use crate::error::WeightsProblem;
use crate::storage::GIT_LFS;

/// Maximum length of a header, as in the reference implementation.
const LONGEST_HEADER: u64 = 100_000_000;

/// Type, shape and position of a tensor in a file.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct TensorInfo {
    pub(crate) dtype: String,
    pub(crate) shape: Vec<usize>,
    data_offsets: (u64, u64),
}

impl TensorInfo {
    /// The size of an element in bits; `None` for a type that does not exist.
    fn bits(&self) -> Option<u64> {
        Some(match self.dtype.as_str() {
            "F4" => 4,
            "F6_E2M3" | "F6_E3M2" => 6,
            "BOOL" | "U8" | "I8" | "F8_E4M3" | "F8_E5M2" | "F8_E8M0" | "F8_E4M3FNUZ" | "F8_E5M2FNUZ" => 8,
            "U16" | "I16" | "F16" | "BF16" => 16,
            "U32" | "I32" | "F32" => 32,
            "U64" | "I64" | "F64" | "C64" => 64,
            _ => return None,
        })
    }

    /// Size of its data in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.data_offsets.1 - self.data_offsets.0
    }

    /// Number of its elements. Valid only after a check.
    pub(crate) fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    fn check(&self) -> Result<(), WeightsProblem> {
        let (begin, end) = self.data_offsets;
        if begin > end {
            return Err(WeightsProblem::Offsets { begin, end });
        }
        let bits = self.bits().ok_or_else(|| WeightsProblem::Type { dtype: self.dtype.clone() })?;
        let needed = self.shape.iter().try_fold(bits, |bits, &size| bits.checked_mul(size as u64));
        if needed.is_none_or(|bits| !bits.is_multiple_of(8) || bits / 8 != end - begin) {
            return Err(WeightsProblem::Length { shape: self.shape.clone(), bytes: end - begin });
        }
        Ok(())
    }
}

/// The tensors of a file.
#[derive(Debug)]
pub(crate) struct FileHeader {
    pub(crate) tensors: BTreeMap<String, TensorInfo>,
    /// Start of the data in the file.
    data_start: u64,
}

/// Name of a tensor, if the problem concerns one, and the problem.
pub(crate) type Problem = (Option<String>, WeightsProblem);

impl FileHeader {
    /// Reads the header of a file of `length` bytes.
    pub(crate) fn read(file: &mut impl Read, length: u64) -> std::io::Result<Result<Self, Problem>> {
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
        Ok(Self::parse(&text, length - 8 - size))
    }

    /// Parses a header that is followed by `data` bytes. Checks that each tensor has the length that its type and shape
    /// require, and that the tensors fill the data without gap or overlap.
    fn parse(text: &[u8], data: u64) -> Result<Self, Problem> {
        let entries: Entries = serde_json::from_slice(text)
            .map_err(|error| (None, WeightsProblem::Header { message: error.to_string() }))?;
        let data_start = 8 + text.len() as u64;
        let mut tensors = BTreeMap::new();
        let mut order = Vec::new();
        for (name, info) in entries.0 {
            info.check().map_err(|problem| (Some(name.clone()), problem))?;
            order.push((info.data_offsets, name.clone()));
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
        Ok(Self { tensors, data_start })
    }

    /// Start of a tensor's data in the file.
    pub(crate) fn position(&self, info: &TensorInfo) -> u64 {
        self.data_start + info.data_offsets.0
    }
}

/// Members of the header in order, including duplicates; metadata are skipped.
struct Entries(Vec<(String, TensorInfo)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Vec<(String, TensorInfo)>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        map.next_value::<de::IgnoredAny>()?;
                    } else {
                        members.push((name, map.next_value()?));
                    }
                }
                Ok(members)
            }
        }

        deserializer.deserialize_map(Members).map(Entries)
    }
}
