//! Models on the hub, fetched as local directories.

use std::path::{Path, PathBuf};

use super::name::is_name;
#[cfg(feature = "hub")]
use super::repository;
use crate::error::{Error, Result};
use crate::storage::restore_replaced;
#[cfg(feature = "hub")]
use crate::storage::{ShardIndex, WEIGHT_FILES};

/// Directory for a path or a hub name; see [`PretrainedWeights::fetch`](crate::pretrained::PretrainedWeights::fetch).
pub(crate) fn model_directory(name: impl AsRef<Path>) -> Result<PathBuf> {
    let path = name.as_ref();
    restore_replaced(path)?;
    match path.to_str().filter(|name| is_name(name) && !path.exists()) {
        Some(name) => fetch(name),
        None => Ok(path.into()),
    }
}

#[cfg(not(feature = "hub"))]
fn fetch(name: &str) -> Result<PathBuf> {
    Err(Error::NoHub { name: name.into() })
}

#[cfg(feature = "hub")]
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Fetches the weights by the first of their names that the model has, and the shards of an index. If it has none, the
/// error is that of the first name.
#[cfg(feature = "hub")]
fn fetch_weights(get: impl Fn(&str) -> Result<PathBuf, Failure>) -> Result<(), Failure> {
    let mut failed = None;
    for name in WEIGHT_FILES {
        match get(name) {
            Ok(path) if ShardIndex::is_index(&path) => {
                for shard in ShardIndex::read(&path)?.names() {
                    get(&shard)?;
                }
                return Ok(());
            }
            Ok(_) => return Ok(()),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    failed.map_or(Ok(()), Err)
}

#[cfg(feature = "hub")]
fn fetch(name: &str) -> Result<PathBuf> {
    let failed = |file| move |source: Failure| Error::Hub { name: name.into(), file, source };
    let repository = repository::api().map_err(|error| failed("config.json")(error.into()))?.model(name.into());
    let get = |file: &str| -> Result<PathBuf, Failure> {
        if repository::is_offline() {
            let missing = || crate::error::HubProblem::Offline { what: file.into() }.into();
            return repository::cache().model(name.into()).get(file).ok_or_else(missing);
        }
        Ok(repository.get(file)?)
    };
    let config = get("config.json").map_err(failed("config.json"))?;
    fetch_weights(get).map_err(failed(WEIGHT_FILES[0]))?;
    // A model need not have a tokenizer, or all of its possible files.
    const TOKENIZER: [&str; 7] = [
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "vocab.txt",
        "vocab.json",
        "merges.txt",
    ];
    for file in TOKENIZER {
        if let Err(error) = get(file) {
            tracing::debug!(name, file, %error, "not fetched");
        }
    }
    // All files of one revision lie in one directory.
    Ok(config.parent().map_or_else(|| config.clone(), Path::to_path_buf))
}

/// Directory of all files of a repository; see
/// [`PretrainedWeights::fetch_all`](crate::pretrained::PretrainedWeights::fetch_all).
pub(crate) fn whole_directory(name: &str) -> Result<PathBuf> {
    if !is_name(name) {
        return Err(Error::argument("name", "OWNER/NAME of a repository on the hub", name));
    }
    whole(name)
}

#[cfg(not(feature = "hub"))]
fn whole(name: &str) -> Result<PathBuf> {
    fetch(name)
}

#[cfg(feature = "hub")]
fn whole(name: &str) -> Result<PathBuf> {
    const DESCRIPTION: &str = "dht.json";
    let failed = |problem| Error::HubFiles { name: name.into(), problem };
    let repository = repository::Repository::open(name, hf_hub::RepoType::Model)?;
    let listing = repository.list(repository::MAIN).map_err(failed)?;
    if !listing.files.iter().any(|file| file.path == DESCRIPTION) {
        return fetch(name);
    }
    let mut folder = PathBuf::new();
    for file in &listing.files {
        let path = repository.fetch(&listing, file).map_err(failed)?;
        if file.path == DESCRIPTION {
            folder = path.parent().map_or_else(|| path.clone(), Path::to_path_buf);
        }
    }
    Ok(folder)
}
