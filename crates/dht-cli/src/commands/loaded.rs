//! Loading of models for commands, with the checksum of their files.

use std::path::Path;

use candle_core::Device;
use dht_dynamic::serving::TextModel;

use crate::error::{Error, Result};
use crate::partitions::{download, url};
use crate::training::identity;

/// Model with the checksum of the files from which it was loaded.
pub struct Loaded {
    /// Loaded model.
    pub model: TextModel,
    /// SHA-256 of the model's `dht.json`, which contains the checksums of all other files. For a Hugging Face
    /// directory, SHA-256 over all files.
    pub sha256: Option<String>,
}

/// Loads the model in a directory or at an `s3://` URL.
///
/// # Errors
/// [`Error::Io`], [`Error::Transformer`] or [`Error::Dynamic`] if the files cannot be read; [`Error::Store`] if the
/// object store rejects a request; [`Error::Io`] if the directory was replaced while it was read.
pub fn load(path: &Path, device: &Device) -> Result<Loaded> {
    if let Some(url) = url(path) {
        let folder = download(url)?;
        return load_directory((*folder).as_ref(), device);
    }
    load_directory(path, device)
}

fn load_directory(path: &Path, device: &Device) -> Result<Loaded> {
    let sha256 = identity(path)?;
    let model = TextModel::load(path, device)?;
    if identity(path)? != sha256 {
        let changed = std::io::Error::other("it was replaced while it was being loaded: load it again");
        return Err(Error::Io { path: path.into(), source: changed });
    }
    Ok(Loaded { model, sha256 })
}
