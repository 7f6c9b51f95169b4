//! Joining of text columns.

use std::borrow::Cow;

/// Joins the parts of one text by spaces. Empty parts are skipped.
pub(super) fn joined(parts: &[Cow<'_, str>]) -> String {
    let filled: Vec<&str> = parts.iter().map(AsRef::as_ref).filter(|text| !text.is_empty()).collect();
    filled.join(" ")
}
