//! Paths of test data outside of the repository: real texts, models and reference numbers. Environment variables name
//! their directories. The table in CONTRIBUTING.md lists all of them.

use std::io::Write;
use std::path::{Path, PathBuf};

/// File or directory `path` below the directory that the environment variable `variable` names. Returns `None`, and
/// prints a line about the skipped test, if the variable is not set or the path does not exist.
pub fn outside(variable: &str, path: &str) -> Option<PathBuf> {
    // Written directly to standard error, because the test harness hides the output of `eprintln!` in tests that pass.
    find(variable, path).map_err(|missing| writeln!(std::io::stderr(), "skipped: {missing}")).ok()
}

fn find(variable: &str, path: &str) -> Result<PathBuf, String> {
    let Some(folder) = std::env::var_os(variable) else {
        return Err(format!("{variable} is not set (the folder that has {path}; see CONTRIBUTING.md)"));
    };
    let file = Path::new(&folder).join(path);
    if file.exists() { Ok(file) } else { Err(format!("{variable} has no {}", file.display())) }
}

#[test]
fn what_no_variable_names_is_looked_for_nowhere() {
    let missing = find("DHT_NO_SUCH_VARIABLE", "Cargo.toml").unwrap_err();
    assert!(missing.starts_with("DHT_NO_SUCH_VARIABLE is not set"), "{missing}");
    assert!(find("CARGO_MANIFEST_DIR", "Cargo.toml").is_ok());
    assert!(find("CARGO_MANIFEST_DIR", "no such file").is_err());
}
