//! Normalisation of texts for models.

use std::borrow::Cow;

/// Joins the parts of one text; empty parts add no space.
pub(super) fn joined(parts: &[Cow<'_, str>]) -> String {
    let filled: Vec<&str> = parts.iter().map(AsRef::as_ref).filter(|text| !text.is_empty()).collect();
    filled.join(" ")
}
