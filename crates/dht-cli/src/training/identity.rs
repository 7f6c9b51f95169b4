//! Checksum that identifies a model by the content of its files.

use std::io::ErrorKind;
use std::path::Path;

use dht_dynamic::transformer::pretrained::PretrainedWeights;
use dht_dynamic::transformer::storage::{FileKind, file_sha256, read_file};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// Computes a checksum of a model: the SHA-256 of its `dht.json`, or of the names and contents of the files that are
/// read from a Hugging Face directory. `None` if there are no such files.
///
/// # Errors
/// [`Error::Io`] or [`Error::Transformer`] if a file cannot be read.
pub fn identity(model: &Path) -> Result<Option<String>> {
    let failed = |path: &Path, source| Error::Io { path: path.into(), source };
    let path = model.join("dht.json");
    let mut all = Sha256::new();
    match read_file(&path, FileKind::Description) {
        Ok(bytes) => all.update(bytes),
        Err(error) if ![ErrorKind::NotFound, ErrorKind::NotADirectory].contains(&error.kind()) => {
            return Err(failed(&path, error));
        }
        Err(_) if !model.join("config.json").is_file() => return Ok(None),
        Err(_) => {
            let weights = PretrainedWeights::weight_files(model)?;
            let read = |path: &str| {
                ["json", "txt", "safetensors"].iter().any(|end| path.ends_with(&format!(".{end}")))
                    || weights.contains(&model.join(path))
            };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weights_that_are_read_are_part_of_an_identity() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("a file");
        let of = || identity(folder.path()).expect("files").expect("a model");
        write("config.json", "{}");
        let without = of();
        write("pytorch_model.bin", "one");
        let first = of();
        write("pytorch_model.bin", "two");
        let second = of();
        assert!(without != first && first != second);
        write("model.safetensors", "three");
        let preferred = of();
        write("pytorch_model.bin", "one");
        assert_eq!(of(), preferred);
    }
}
