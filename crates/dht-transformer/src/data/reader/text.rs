//! Joining of several text columns to one text.

use std::borrow::Cow;

/// Joins the parts of a text with spaces. Empty parts are skipped.
pub(super) fn joined(parts: &[Cow<'_, str>]) -> String {
    let filled: Vec<&str> = parts.iter().map(AsRef::as_ref).filter(|text| !text.is_empty()).collect();
    filled.join(" ")
}
