//! Standard output.

use std::io::{ErrorKind, Write};
use std::path::PathBuf;

use crate::error::{Error, Result};

/// Writes a text to standard output. A reader that went away ends the program quietly.
///
/// # Errors
/// [`Error::Io`] for everything else.
pub fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    written(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// The result of a write to standard output.
///
/// # Errors
/// As [`print`].
pub fn written(result: std::io::Result<()>) -> Result<()> {
    match result {
        Err(source) if source.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        Err(source) => Err(Error::Io { path: PathBuf::from("standard output"), source }),
        Ok(()) => Ok(()),
    }
}
