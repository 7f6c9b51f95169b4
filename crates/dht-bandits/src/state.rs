//! What every saved state begins with.

use crate::error::{Error, Result};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

/// The newest format that this version writes and reads.
const FORMAT: u32 = 1;

/// The kind and version of a saved state. It comes first, so that it can be read alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// What was saved, such as `disjoint/ridge/ucb`.
    pub kind: String,
    /// The version of the format.
    pub format: u32,
}

impl Header {
    pub(crate) fn of(kind: impl Into<String>) -> Self {
        Self { kind: kind.into(), format: FORMAT }
    }
}

/// Reads a header and refuses what another family of states, or a newer version, wrote: before the rest is read, which may
/// have other fields there.
pub(crate) fn read_header<'de, D: Deserializer<'de>>(family: &str, deserializer: D) -> Result<Header, D::Error> {
    let header = Header::deserialize(deserializer)?;
    let expected = if header.kind.starts_with(family) { &header.kind } else { family };
    check_header(&header, expected).map_err(D::Error::custom)?;
    Ok(header)
}

/// The reader of one family's headers.
macro_rules! header_of {
    ($family:literal) => {
        fn read_header<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<$crate::state::Header, D::Error> {
            $crate::state::read_header($family, deserializer)
        }
    };
}
pub(crate) use header_of;

pub(crate) fn check_header(header: &Header, expected: &str) -> Result<()> {
    if header.kind != expected {
        return Err(Error::ForeignState { expected: expected.to_owned(), found: header.kind.clone() });
    }
    if header.format > FORMAT || header.format == 0 {
        return Err(Error::NewerState { supported: FORMAT, found: header.format });
    }
    Ok(())
}

/// So many updates nobody counts: room for more is left.
const LARGEST_VERSION: u64 = u64::MAX / 2;

/// A version, and the oldest version whose decisions are accepted.
pub(crate) fn check_versions(version: u64, oldest_accepted: u64) -> Result<(u64, u64)> {
    if oldest_accepted <= version && version <= LARGEST_VERSION {
        return Ok((version, oldest_accepted));
    }
    let problem =
        format!("{version} with decisions since {oldest_accepted}, expected at most {LARGEST_VERSION}, not below");
    Err(Error::InvalidState { what: "version", index: 0, problem })
}

pub(crate) fn check_count(what: &'static str, got: usize, expected: usize) -> Result<()> {
    if got == expected {
        Ok(())
    } else {
        Err(Error::InvalidState { what, index: 0, problem: format!("there are {got}, expected {expected}") })
    }
}
