//! What saved states share: the header that they begin with, and serde by way of the state.

use crate::error::{Error, Result};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

/// The format that this version writes, and the newest that it reads.
///
/// 1: versions alone. 2: epochs of decisions instead of the oldest accepted version, and removed arms; a reader of
/// format 1 would reuse their ids.
const FORMAT: u32 = 2;

/// The kind and version of a saved state. It comes first, so that it can be read alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateHeader {
    /// What was saved, such as `disjoint/ridge/ucb`.
    pub kind: String,
    /// The version of the format.
    pub format: u32,
}

impl StateHeader {
    pub(crate) fn of(kind: impl Into<String>) -> Self {
        Self { kind: kind.into(), format: FORMAT }
    }
}

/// Reads a header and refuses what another family of states, or a newer version, wrote: before the rest is read, which
/// may have other fields there.
pub(crate) fn read_header<'de, D: Deserializer<'de>>(family: &str, deserializer: D) -> Result<StateHeader, D::Error> {
    let header = StateHeader::deserialize(deserializer)?;
    let expected = if header.kind.starts_with(family) { &header.kind } else { family };
    check_header(&header, expected).map_err(D::Error::custom)?;
    Ok(header)
}

/// The reader of one family's headers.
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

/// Serialises a type as the state that its `state` returns, and deserialises it with `from_state`.
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
