//! Common parts of saved states: the header at their start, and serde implementations that use the state type.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::error::{Error, Result};

/// Format version that this release writes, and the newest version that it reads.
///
/// * 1: only versions.
/// * 2: epochs of decisions instead of the oldest accepted version, and removed arms. A reader of format 1 would reuse
///   the ids of removed arms.
/// * 3: every field is written, whatever its value, so that binary formats can be read by position.
/// * 4: the epoch of baselines, removed arms in deltas of shared weights, relative floors of normalizers, and arms that a
///   warm-up has copied.
///
/// Text formats (JSON, TOML) name their fields, so that older versions can be read. Binary formats may write fields by
/// position, and positions differ between versions. Only this version is therefore read from binary formats.
const FORMAT: u32 = 4;

/// Type and format version of a saved state. The header precedes the other fields, so that it can be read by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateHeader {
    /// Type of the saved object, such as `disjoint/ridge/ucb`.
    pub kind: String,
    /// Version of the format.
    pub format: u32,
}

impl StateHeader {
    pub(crate) fn new(kind: impl Into<String>) -> Self {
        Self { kind: kind.into(), format: FORMAT }
    }
}

/// Reads a header before the rest of the state. Refuses a state of another family than `family`, and versions that have
/// other fields.
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

/// Generates the header reader for one family of states.
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

/// Serialises a type as the state that its method `state` returns, and deserialises it with `from_state`.
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

/// Serialises an enum with a tag (a field that names the variant) or by variant name. Text formats write the tag among
/// the fields, as people write settings. Binary formats write the variant name, since not all of them can read such a
/// tag back.
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
