//! Real texts, models and reference numbers lie outside of the repository; where, only environment variables say. The
//! table in CONTRIBUTING.md has them all.

use std::io::Write;
use std::path::{Path, PathBuf};

/// The file or folder `path` below the folder that `variable` names; `None`, with a line that says what is skipped, where
/// the variable is not set or there is nothing.
pub fn outside(variable: &str, path: &str) -> Option<PathBuf> {
    // Not by a macro: what those print, tests that pass keep to themselves.
    find(variable, path).map_err(|missing| writeln!(std::io::stderr(), "skipped: {missing}")).ok()
}

fn find(variable: &str, path: &str) -> Result<PathBuf, String> {
    let Some(folder) = std::env::var_os(variable) else {
        return Err(format!("{variable} is not set (the folder that has {path}; see CONTRIBUTING.md)"));
    };
    let found = Path::new(&folder).join(path);
    if found.exists() { Ok(found) } else { Err(format!("{variable} has no {}", found.display())) }
}

#[test]
fn what_no_variable_names_is_looked_for_nowhere() {
    let missing = find("DHT_NO_SUCH_VARIABLE", "Cargo.toml").unwrap_err();
    assert!(missing.starts_with("DHT_NO_SUCH_VARIABLE is not set"), "{missing}");
    assert!(find("CARGO_MANIFEST_DIR", "Cargo.toml").is_ok());
    assert!(find("CARGO_MANIFEST_DIR", "no such file").is_err());
}
