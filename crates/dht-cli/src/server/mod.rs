//! Texts over HTTP.

use std::path::Path;

use crate::error::Result;

pub fn run(_model: &Path, _port: u16) -> Result<()> {
    Ok(())
}
