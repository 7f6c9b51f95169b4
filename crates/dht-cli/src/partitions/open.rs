//! Opening of input and output partitions at a path or URL.

use std::path::Path;
use std::time::Duration;

use super::bucket;
use super::folder::Folder;
use super::input::{Input, InputFile, is_hidden};
use super::outputs::{Outputs, url};
use crate::error::{Error, Result};

/// Lists the input partitions at a path: a file, the files of a directory, an object, or the objects below a URL that
/// ends with `/`. In directories, names that begin with `.` or `_` are left out, as other tools do.
///
/// # Errors
/// [`Error::Io`] if a file is missing; [`Error::Io`] or [`Error::Store`] if the object store rejects a request.
pub fn inputs(path: &Path) -> Result<Vec<Box<dyn Input>>> {
    if let Some(url) = url(path) {
        return bucket::inputs(url);
    }
    let failed = |source| Error::Io { path: path.into(), source };
    if !path.metadata().map_err(failed)?.is_dir() {
        return Ok(vec![Box::new(InputFile(path.into()))]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let file = entry.map_err(failed)?.path();
        // A dangling symbolic link is a partition that cannot be read.
        let missing = file.is_symlink() && !file.exists();
        if (file.is_file() || missing) && !is_hidden(&file.file_name().unwrap_or_default().to_string_lossy()) {
            files.push(file);
        }
    }
    files.sort();
    Ok(files.into_iter().map(|file| Box::new(InputFile(file)) as Box<dyn Input>).collect())
}

/// Opens the output at a path or an `s3://` URL. In an object store, another worker's claim on a partition (right to
/// answer it) expires if it is not renewed for the time `claim`.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io) if the output cannot be opened;
/// [`Error::StoreNotBuilt`](crate::Error::StoreNotBuilt) if this build does not support object stores.
pub fn outputs(path: &Path, claim: Duration) -> Result<Box<dyn Outputs>> {
    match url(path) {
        Some(url) => bucket::outputs(url, claim),
        None => Ok(Box::new(Folder::open(path)?)),
    }
}
