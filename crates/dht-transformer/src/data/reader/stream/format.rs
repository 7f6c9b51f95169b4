//! Format of texts to predict.

use std::borrow::Cow;

use crate::data::reader::file_name::format_of;
use crate::data::reader::json::replace_lone_surrogates;
use crate::data::reading::TableFormat;

/// Format of texts to predict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TextFormat {
    /// One text on each line, including blank lines.
    Lines,
    /// Comma-separated, quoted as in RFC 4180.
    Csv,
    /// Tab-separated, not quoted.
    Tsv,
    /// One JSON object on each line.
    JsonLines,
}

impl TextFormat {
    /// Replaces each escape of a JSON text that is half of a surrogate pair by `\ufffd`, as the readers of JSON lines do.
    /// Such halves remain if a text is cut within an emoji.
    pub fn replace_lone_surrogates(json: &str) -> Cow<'_, str> {
        replace_lone_surrogates(json)
    }

    /// Format implied by a file's name, and whether the file is compressed (`.gz`): csv, tsv, jsonl (also ndjson and
    /// json); any other name means lines.
    pub fn of_name(name: &str) -> (Self, bool) {
        match format_of(name) {
            Some((TableFormat::Csv, compressed)) => (Self::Csv, compressed),
            Some((TableFormat::Tsv, compressed)) => (Self::Tsv, compressed),
            Some((TableFormat::JsonLines, compressed)) => (Self::JsonLines, compressed),
            // Parquet bytes are refused: they are not text.
            Some((TableFormat::Parquet, _)) => (Self::Lines, false),
            None => {
                let name = name.to_ascii_lowercase();
                let (stem, compressed) = name.strip_suffix(".gz").map_or((&*name, false), |stem| (stem, true));
                // JSON in another layout is refused at its first line.
                (if stem.ends_with(".json") { Self::JsonLines } else { Self::Lines }, compressed)
            }
        }
    }
}
