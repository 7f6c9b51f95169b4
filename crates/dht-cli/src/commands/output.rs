//! Printing to standard output.

use std::io::{ErrorKind, Write};
use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::progress::visible;

/// Writes text to standard output. If the reader has closed the pipe, the program exits with code 0.
///
/// # Errors
/// [`Error::Io`] if the text cannot be written for another reason.
pub fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(source) if source.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        Err(source) => Err(Error::Io { path: PathBuf::from("standard output"), source }),
        Ok(()) => Ok(()),
    }
}

/// Writes text for people to standard output, with control characters escaped.
///
/// # Errors
/// [`Error::Io`] if the text cannot be written, as for [`print`].
pub fn print_text(text: &str) -> Result<()> {
    print(&visible(text))
}
