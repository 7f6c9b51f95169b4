//! Data sets with a folder for each class and a file for each text.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::coding::{Compression, decoded};
use super::file_name::{file_name, format_of};
use super::lines::LONGEST_ROW;
use super::request::TableRequest;
use super::row::Row;
use super::table::{Draw, PART, Table};
use crate::data::reading::TableFormat;
use crate::error::{DataProblem, Error, Result};
use crate::storage::hexadecimal;

impl Table {
    /// Reads a directory with a folder for each class, in the order of the folders' names. Each text file becomes a row
    /// of the table. At most `most` bytes are read. Also returns the SHA-256 checksum of all classes and texts.
    pub(super) fn read_folders(folder: &Path, request: &TableRequest, most: u64) -> Result<(Self, String)> {
        let mut table = Self {
            draw: request.most_rows.map(Draw::new),
            width: 2,
            keys: Some(["label", "text"].map(String::from).to_vec()),
            ..Self::default()
        };
        let (mut left, mut digest) = (most, Sha256::new());
        for class in class_folders(folder)? {
            let label = file_name(&class);
            for path in entries(&class)?.into_iter().filter(|path| is_text(path)) {
                let at = |problem| Error::Data { path: path.clone(), line: None, problem };
                let text = text_of(&path, request)?;
                left = left.checked_sub(text.len() as u64).ok_or_else(|| at(DataProblem::TooLarge { most }))?;
                [&label, "\0", &text, "\0"].iter().for_each(|part| digest.update(part));
                if text.trim().is_empty() {
                    table.blank_lines += 1;
                    continue;
                }
                let mut row = Row::at(1 | (table.parts.len() as u64) << PART);
                row.put(0, &label);
                row.put(1, &text);
                table.add(row);
                table.parts.push(path);
            }
        }
        Ok((table, hexadecimal(digest)))
    }
}

/// Finds the subdirectories that contain text files. Each of them holds the texts of one class.
pub(super) fn class_folders(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for path in entries(folder)?.into_iter().filter(|path| path.is_dir()) {
        if entries(&path)?.iter().any(|path| is_text(path)) {
            folders.push(path);
        }
    }
    Ok(folders)
}

/// Returns whether a file name is accepted as a text: it ends in `.txt`, or has no known extension.
fn is_text(path: &Path) -> bool {
    let name = file_name(path);
    let (_, stem) = Compression::of_name(&name);
    let ending = stem.rsplit_once('.').map_or("", |(_, ending)| ending);
    let other = format_of(stem).is_some_and(|(format, _)| format != TableFormat::FastText);
    let is_plain =
        ending.is_empty() || ending.eq_ignore_ascii_case("txt") || ending.bytes().all(|byte| byte.is_ascii_digit());
    is_plain && !other && path.is_file()
}

/// Entries of a directory that are not hidden, sorted by name.
pub(super) fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |source| Error::io(folder, source);
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if !file_name(&path).starts_with('.') {
            paths.push(path);
        }
    }
    paths.sort_unstable();
    Ok(paths)
}

fn text_of(path: &Path, request: &TableRequest) -> Result<String> {
    let failed = |source| Error::io(path, source);
    let at = |problem| Error::Data { path: path.into(), line: None, problem };
    let raw = File::open(path).map_err(failed)?;
    let raw = match Compression::of_name(&file_name(path)).0 {
        Some(compression) => compression.reader(raw),
        None => Box::new(BufReader::new(raw)),
    };
    let (text, encoding) = decoded(raw, request.encoding).map_err(failed)?;
    let mut bytes = Vec::new();
    text.take(LONGEST_ROW as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > LONGEST_ROW {
        return Err(at(DataProblem::RowTooLong { most: LONGEST_ROW }));
    }
    if bytes.contains(&0) {
        return Err(at(DataProblem::Binary));
    }
    let text = String::from_utf8(bytes);
    let text = text.map_err(|error| at(DataProblem::NotUtf8 { byte: error.utf8_error().valid_up_to() }))?;
    match encoding.filter(|_| text.contains('\u{fffd}')) {
        Some(encoding) => Err(at(DataProblem::OtherEncoding { encoding: encoding.to_string() })),
        None => Ok(text),
    }
}
