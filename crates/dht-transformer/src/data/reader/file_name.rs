//! File names: the format that an extension implies, and the name of the data set.

use std::path::Path;

use super::coding::Compression;
use crate::data::reading::TableFormat;

pub(super) fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Detects the format and the compression from the extension of a file name; `None` for an unknown extension.
pub(super) fn format_of(name: &str) -> Option<(TableFormat, Option<Compression>)> {
    let name = name.to_ascii_lowercase();
    if name.ends_with(".parquet") {
        return Some((TableFormat::Parquet, None));
    }
    let (compression, name) = Compression::of_name(&name);
    let format = match name.rsplit_once('.')?.1 {
        "csv" => TableFormat::Csv,
        "tsv" => TableFormat::Tsv,
        "jsonl" | "ndjson" | "json" => TableFormat::JsonLines,
        "txt" => TableFormat::FastText,
        _ => return None,
    };
    Some((format, compression))
}

/// Derives the name of a data set from the path of its file: `FOLDER/STEM`, or `STEM` without a folder.
pub(super) fn name_of(path: &Path) -> String {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = file.split('.').next().unwrap_or_default();
    match path.parent().and_then(Path::file_name) {
        Some(folder) => format!("{}/{stem}", folder.to_string_lossy()),
        None => stem.to_owned(),
    }
}
