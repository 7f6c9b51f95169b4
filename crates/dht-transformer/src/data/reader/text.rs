//! Normalisation of texts for models.

use std::borrow::Cow;

/// Normalises a text for a model: removes spaces around it, and ends lines with `\n`. All readers and services call it,
/// so training and inference see the same text.
pub fn clean_text(text: &str) -> Cow<'_, str> {
    let text = text.trim_matches(|sign: char| sign.is_whitespace() || sign == '\u{feff}');
    if text.contains('\r') { text.replace("\r\n", "\n").replace('\r', "\n").into() } else { text.into() }
}

/// Joins the parts of one text; empty parts add no space.
pub(super) fn joined(parts: &[Cow<'_, str>]) -> String {
    let filled: Vec<&str> = parts.iter().map(AsRef::as_ref).filter(|text| !text.is_empty()).collect();
    filled.join(" ")
}
