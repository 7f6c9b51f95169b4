//! Models as commands load them, with the identity of their files.

use std::io::ErrorKind;
use std::path::Path;

use candle_core::Device;
use dht_dynamic::serving::TextModel;
use dht_dynamic::transformer::storage::file_sha256;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::partitions::{download, url};

/// Loaded model.
pub struct Loaded {
    /// The model.
    pub model: TextModel,
    /// SHA-256 of its `dht.json`, which has the checksums of its other files; of all files of a Hugging Face directory.
    pub sha256: Option<String>,
}

/// Loads the model of a directory, or of an `s3://` URL.
///
/// # Errors
/// Errors of the files and of the store; [`Error::Io`] if the directory was replaced meanwhile.
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

/// SHA-256 of a model's `dht.json`, or of the names and contents of the files that a Hugging Face directory is read
/// from. `None` if there is none of them; loading the model reports this.
fn identity(model: &Path) -> Result<Option<String>> {
    let failed = |path: &Path, source| Error::Io { path: path.into(), source };
    let path = model.join("dht.json");
    let mut all = Sha256::new();
    match std::fs::read(&path) {
        Ok(bytes) => all.update(bytes),
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(&path, error)),
        Err(_) if !model.join("config.json").is_file() => return Ok(None),
        Err(_) => {
            let read = |path: &str| ["json", "txt", "safetensors"].iter().any(|end| path.ends_with(&format!(".{end}")));
            let mut names = Vec::new();
            for entry in std::fs::read_dir(model).map_err(|error| failed(model, error))? {
                let name = entry.map_err(|error| failed(model, error))?.file_name();
                names.extend(name.into_string().ok().filter(|name| read(name) && model.join(name).is_file()));
            }
            names.sort_unstable();
            for name in names {
                all.update(format!("{name}\n{}\n", file_sha256(model.join(&name))?));
            }
        }
    }
    Ok(Some(all.finalize().iter().map(|byte| format!("{byte:02x}")).collect()))
}
