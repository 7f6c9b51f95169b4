//! Formats of files with texts to predict.

use std::borrow::Cow;

use crate::data::reader::coding::Compression;
use crate::data::reader::file_name::format_of;
use crate::data::reader::json::replace_lone_surrogates;
use crate::data::reading::TableFormat;

/// Format of a file with texts to predict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TextFormat {
    /// One text on each line, including blank lines. fastText labels (`__label__…`) before a text are removed.
    Lines,
    /// Comma-separated columns, quoted as in RFC 4180.
    Csv,
    /// Tab-separated columns without quoting.
    Tsv,
    /// One JSON object on each line, or an array of objects.
    JsonLines,
}

impl TextFormat {
    /// Replaces the escapes of lone surrogates in a JSON text by `\ufffd`, as the readers of JSON lines do. A lone
    /// surrogate is half of a UTF-16 pair. It occurs where a program cut a text inside an emoji.
    pub fn replace_lone_surrogates(json: &str) -> Cow<'_, str> {
        replace_lone_surrogates(json)
    }

    /// Detects the format and the compression from the extension of a file name. `.csv`, `.tsv`, `.jsonl`, `.ndjson`
    /// and `.json` are known; any other file is read as lines of text.
    ///
    /// # Examples
    /// ```
    /// use dht_transformer::data::{Compression, TextFormat};
    ///
    /// assert_eq!(TextFormat::of_name("texts.jsonl.zst"), (TextFormat::JsonLines, Some(Compression::Zstd)));
    /// assert_eq!(TextFormat::of_name("texts.txt"), (TextFormat::Lines, None));
    /// ```
    pub fn of_name(name: &str) -> (Self, Option<Compression>) {
        match format_of(name) {
            Some((TableFormat::Csv, compression)) => (Self::Csv, compression),
            Some((TableFormat::Tsv, compression)) => (Self::Tsv, compression),
            Some((TableFormat::JsonLines, compression)) => (Self::JsonLines, compression),
            // Parquet is refused later, since its bytes are not text.
            Some((TableFormat::FastText | TableFormat::Parquet | TableFormat::Folders, _)) | None => {
                (Self::Lines, Compression::of_name(name).0)
            }
        }
    }
}
