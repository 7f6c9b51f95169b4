//! Standard output.

use std::io::{ErrorKind, Write};
use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::progress::visible;

/// Writes a text to standard output. The program exits with code 0 if the reader has closed the pipe.
///
/// # Errors
/// [`Error::Io`] for all other failures.
pub fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(source) if source.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        Err(source) => Err(Error::Io { path: PathBuf::from("standard output"), source }),
        Ok(()) => Ok(()),
    }
}

/// Prints text for a reader, with control characters escaped, as [`print`].
///
/// # Errors
/// As [`print`].
pub fn print_text(text: &str) -> Result<()> {
    print(&visible(text))
}
