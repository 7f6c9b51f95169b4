//! Common parts of saved states: the header with type and format version, and macros for serde implementations.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::error::{Error, Result};

/// Format version of saved states: the one that this release writes, and the newest that it reads.
///
/// * 1: a policy stores the oldest version whose decisions it accepts.
/// * 2: epochs of decisions replace the oldest accepted version, and removed arms are stored. A reader of format 1
///   would reuse the ids of removed arms.
/// * 3: every field is written, whatever its value, so that binary formats can be read by position.
/// * 4: adds the epoch of baseline policies, removed arms in deltas of shared weights, normalizers' thresholds of
///   standard deviations relative to the mean, and arms that were added as copies before a normalizer was frozen.
///
/// Text formats (JSON, TOML) name their fields, so that older versions can be read. Binary formats may write fields by
/// position, and positions differ between versions. A binary state is therefore read only if it has this version.
const FORMAT: u32 = 4;

/// Header of a saved state: type and format version. It is the first field, so that it can be read by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateHeader {
    /// Type of the saved object, such as `disjoint/ridge/ucb`.
    pub kind: String,
    /// Format version of the state.
    pub format: u32,
}

impl StateHeader {
    pub(crate) fn new(kind: impl Into<String>) -> Self {
        Self { kind: kind.into(), format: FORMAT }
    }
}

/// Reads and checks the header of a saved state before its other fields. Fails if the type of the state does not begin
/// with `family`, or if the fields of its version cannot be read.
pub(crate) fn read_header<'de, D: Deserializer<'de>>(family: &str, deserializer: D) -> Result<StateHeader, D::Error> {
    let is_text = deserializer.is_human_readable();
    let header = StateHeader::deserialize(deserializer)?;
    let expected = if header.kind.starts_with(family) { &header.kind } else { family };
    check_header(&header, expected).map_err(D::Error::custom)?;
    if !is_text && header.format != FORMAT {
        return Err(D::Error::custom(Error::OlderState { required: FORMAT, found: header.format }));
    }
    Ok(header)
}

/// Generates a function `read_header` for one family of saved states: those whose type name begins with the family's
/// name.
macro_rules! header_reader {
    ($family:literal) => {
        fn read_header<'de, D: serde::Deserializer<'de>>(
            deserializer: D,
        ) -> Result<$crate::saved_state::StateHeader, D::Error> {
            $crate::saved_state::read_header($family, deserializer)
        }
    };
}
pub(crate) use header_reader;

/// Implements serde for a type by its saved state: serializes the result of `state()`, and deserializes with
/// `from_state`.
macro_rules! serde_by_state {
    ([$($generics:tt)*] $type:ty as $state:ident) => {
        impl<$($generics)*> serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.state().serialize(serializer)
            }
        }

        impl<'de, $($generics)*> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::from_state(&$state::deserialize(deserializer)?).map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use serde_by_state;

/// Implements serde for an enum differently in text and binary formats. Text formats write the variant name as a field
/// (`tag`) among the other fields, as in hand-written settings. Binary formats write serde's default form, because some
/// of them cannot read such a field back.
macro_rules! serde_tagged_in_texts {
    ($type:ident as $name:literal, tag $tag:literal: $variants:tt) => {
        #[derive(Serialize, Deserialize)]
        #[serde(remote = $name, tag = $tag, rename_all = "kebab-case", deny_unknown_fields)]
        enum Tagged $variants

        #[derive(Serialize, Deserialize)]
        #[serde(remote = $name, rename_all = "kebab-case", deny_unknown_fields)]
        enum Named $variants

        impl Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    Tagged::serialize(self, serializer)
                } else {
                    Named::serialize(self, serializer)
                }
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    Tagged::deserialize(deserializer)
                } else {
                    Named::deserialize(deserializer)
                }
            }
        }
    };
}
pub(crate) use serde_tagged_in_texts;

pub(crate) fn check_header(header: &StateHeader, expected: &str) -> Result<()> {
    if header.kind != expected {
        return Err(Error::ForeignState { expected: expected.to_owned(), found: header.kind.clone() });
    }
    if header.format > FORMAT || header.format == 0 {
        return Err(Error::NewerState { supported: FORMAT, found: header.format });
    }
    Ok(())
}

pub(crate) fn check_count(what: &'static str, got: usize, expected: usize) -> Result<()> {
    if got == expected {
        Ok(())
    } else {
        Err(Error::InvalidState { what, index: 0, problem: format!("there are {got}, expected {expected}") })
    }
}
