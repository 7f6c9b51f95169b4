//! Range checks of flags and output paths.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::experiment::{DataSource, Model, RunPlan};

/// Upper limit for numbers of seeds, passes over the data, and augmented copies.
pub(super) const MOST: u64 = 100;

pub(super) fn refused(flag: &'static str, expected: impl Into<String>, got: impl ToString) -> Error {
    Error::Argument { flag, expected: expected.into(), got: got.to_string() }
}

/// Absolute path in which the existing part has no symbolic links.
pub(super) fn real(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.into());
    let Some(there) = path.ancestors().find(|part| part.exists()) else { return path };
    let rest = path.strip_prefix(there).unwrap_or(&path);
    there.canonicalize().map_or_else(|_| path.clone(), |there| there.join(rest))
}

/// Rejects an output directory that is also the directory of the model or of the data.
pub(super) fn elsewhere(flag: &'static str, out: &Path, run: &RunPlan) -> Result<()> {
    let model = if let Model::Directory(folder) = &run.model { Some(folder) } else { None };
    let data = if let DataSource::Directory { folder, .. } = &run.data { Some(folder) } else { None };
    match model.into_iter().chain(data).find(|read| real(read) == real(out)) {
        Some(read) => Err(refused(flag, "another directory than those that are read", read.display())),
        None => Ok(()),
    }
}
