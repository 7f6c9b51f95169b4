//! Real texts, models and reference numbers lie outside of the repository; where, only environment variables say. The
//! table in CONTRIBUTING.md has them all.

use std::io::Write;
use std::path::{Path, PathBuf};

/// The file or folder `path` below the folder that `variable` names; `None`, with a line that says what is skipped, where
/// the variable is not set or there is nothing.
pub fn outside(variable: &str, path: &str) -> Option<PathBuf> {
    let missing = match std::env::var_os(variable) {
        None => format!("{variable} is not set (the folder that has {path}; see CONTRIBUTING.md)"),
        Some(folder) => match Path::new(&folder).join(path) {
            found if found.exists() => return Some(found),
            wanted => format!("{variable} has no {}", wanted.display()),
        },
    };
    // Not by a macro: what those print, tests that pass keep to themselves.
    let _ = writeln!(std::io::stderr(), "skipped: {missing}");
    None
}
