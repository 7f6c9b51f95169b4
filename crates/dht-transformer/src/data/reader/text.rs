//! Texts as models are given them.

use std::borrow::Cow;

/// A text as all readers and services give it to a model: without spaces around it, with `\n` at the ends of lines. Training
/// and answers read one text alike, in whatever way it comes.
pub fn clean_text(text: &str) -> Cow<'_, str> {
    let text = text.trim_matches(|sign: char| sign.is_whitespace() || sign == '\u{feff}');
    if text.contains('\r') { text.replace("\r\n", "\n").replace('\r', "\n").into() } else { text.into() }
}

/// The parts of one text; empty ones leave no space.
pub(super) fn joined(parts: &[Cow<'_, str>]) -> String {
    let filled: Vec<&str> = parts.iter().map(AsRef::as_ref).filter(|text| !text.is_empty()).collect();
    filled.join(" ")
}
