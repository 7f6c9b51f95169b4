//! Texts of rows, shortened for an analysis.

use dht_dynamic::transformer::Dataset;
use serde::Serialize;

/// Maximum number of characters of a text in an analysis.
const TEXT: usize = 500;

/// Text of a row, shortened for an analysis.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RowText {
    /// Number of the row, counted from 1.
    pub row: usize,
    /// Beginning of the row's text.
    pub text: String,
    /// Beginning of the second text of a pair.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pair: Option<String>,
}

impl RowText {
    /// Copies the beginning of a row's text, at most [`TEXT`] characters.
    pub fn new(texts: &Dataset, row: usize) -> Self {
        let example = &texts.examples[row];
        Self { row: row + 1, text: cut(&example.text), pair: example.pair.as_deref().map(cut) }
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(TEXT) {
        Some((end, _)) => format!("{}… ({} characters)", &text[..end], text.chars().count()),
        None => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_characters() {
        let long = "é".repeat(1_000_000);
        let beginning = cut(&long);
        assert!(beginning.len() < 1100 && beginning.ends_with("é… (1000000 characters)"), "{beginning}");
        assert_eq!(cut("short"), "short");
    }
}
