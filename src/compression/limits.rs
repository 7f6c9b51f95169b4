//! What flags may say.

use crate::error::Error;

/// The largest number of seeds, passes and copies.
pub(super) const MOST: u64 = 100;

pub(super) fn refused(flag: &'static str, expected: impl Into<String>, got: impl ToString) -> Error {
    Error::Argument { flag, expected: expected.into(), got: got.to_string() }
}
