//! Format of a file and name of its data set, both derived from the file's name.

use std::path::Path;

use super::coding::Compression;
use crate::data::reading::TableFormat;

/// Last component of a path.
pub(super) fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Format and compression that the name of a file implies; `None` for an unknown extension.
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

/// Name of the data set in a file: `FOLDER/STEM`, or `STEM` without a folder.
pub(super) fn name_of(path: &Path) -> String {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = file.split('.').next().unwrap_or_default();
    match path.parent().and_then(Path::file_name) {
        Some(folder) => format!("{}/{stem}", folder.to_string_lossy()),
        None => stem.to_owned(),
    }
}
