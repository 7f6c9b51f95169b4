//! Models on the Hugging Face hub, downloaded as local directories.

use std::path::{Path, PathBuf};

use super::name::HubName;
use crate::error::{Error, Result};
use crate::storage::restore_replaced;

/// Resolves a path or a hub name to a local directory, and downloads the model if necessary; see
/// [`PretrainedWeights::fetch`](crate::pretrained::PretrainedWeights::fetch).
pub(crate) fn model_directory(name: impl AsRef<Path>) -> Result<PathBuf> {
    let path = name.as_ref();
    restore_replaced(path)?;
    let text = path.to_str().filter(|_| !path.exists());
    match text.map(HubName::parse).transpose()?.flatten() {
        Some(name) => fetch(&name).map_err(|error| match error {
            Error::HubFiles { name, problem } => Error::Hub { name, problem },
            other => other,
        }),
        None => Ok(path.into()),
    }
}

/// Downloads all files of a model that this project saved on the hub; see
/// [`PretrainedWeights::fetch_all`](crate::pretrained::PretrainedWeights::fetch_all).
pub(crate) fn whole_directory(name: &str) -> Result<PathBuf> {
    match HubName::parse(name)? {
        Some(name) => whole(&name),
        None => Err(Error::argument("name", "OWNER/NAME or OWNER/NAME@REVISION on the hub", name)),
    }
}

#[cfg(not(feature = "hub"))]
fn fetch(name: &HubName) -> Result<PathBuf> {
    Err(Error::NoHub { name: name.to_string() })
}

#[cfg(not(feature = "hub"))]
fn whole(name: &HubName) -> Result<PathBuf> {
    fetch(name)
}

#[cfg(feature = "hub")]
use on_the_hub::{fetch, whole};

#[cfg(feature = "hub")]
mod on_the_hub {
    use serde::Deserialize;

    use super::*;
    use crate::error::HubProblem;
    use crate::storage::hub::cache::RepositoryType;
    use crate::storage::hub::listing::Listing;
    use crate::storage::hub::repository::{MAIN, Repository};
    use crate::storage::{ShardIndex, WEIGHT_FILES};

    const CONFIG: &str = "config.json";
    /// Configuration of a LoRA or similar adapter. The loader refuses a model with this file.
    const ADAPTER: &str = "adapter_config.json";
    /// Files to download besides the weights: the loader reads them, or refuses a model because of them.
    const FILES: [&str; 12] = [
        CONFIG,
        ADAPTER,
        "head_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "sentence_bert_config.json",
        "config_sentence_transformers.json",
        "vocab.txt",
        "vocab.json",
        "merges.txt",
    ];
    /// List of the modules in a sentence-transformers model.
    const MODULES: &str = "modules.json";
    /// Description file of a model that this project saved. The other files of such a model are in the folder `model`.
    const DESCRIPTION: &str = "dht.json";
    const SAVED: &str = "model/";
    const MOST_NAMES: usize = 12;

    /// Entry of `modules.json`: a module of a sentence-transformers model and its directory. An empty path is the
    /// directory of `modules.json`.
    #[derive(Deserialize)]
    struct Module {
        path: String,
        #[serde(rename = "type")]
        class: String,
    }

    pub(super) fn fetch(name: &HubName) -> Result<PathBuf> {
        Model::open(name)?.encoder()
    }

    pub(super) fn whole(name: &HubName) -> Result<PathBuf> {
        let model = Model::open(name)?;
        if model.listing.find(DESCRIPTION).is_none() {
            return model.encoder();
        }
        let read = |path: &str| path == DESCRIPTION || path.starts_with(SAVED);
        for file in model.listing.files.iter().filter(|file| read(&file.path)) {
            model.get(&file.path)?;
        }
        Ok(model.folder())
    }

    /// Model repository on the hub, with its files at one commit.
    struct Model {
        name: HubName,
        repository: Repository,
        listing: Listing,
        /// Error of the request for the file list, if the files in the cache are used instead.
        unlisted: Option<HubProblem>,
    }

    impl Model {
        fn open(name: &HubName) -> Result<Self> {
            let repository = Repository::new(&name.repository, RepositoryType::Model);
            let revision = name.revision.as_deref().unwrap_or(MAIN);
            let listed = repository.list(revision).map(|listing| (listing, None));
            let listed = listed.or_else(|problem| match repository.cached(revision, &problem) {
                Some(listing) => Ok((listing, Some(problem))),
                None => Err(problem),
            });
            let failed = |problem| Error::HubFiles { name: name.to_string(), problem };
            let (listing, unlisted) = listed.map_err(failed)?;
            Ok(Self { name: name.clone(), repository, listing, unlisted })
        }

        fn folder(&self) -> PathBuf {
            self.repository.snapshot(&self.listing.commit)
        }

        /// Downloads a file and returns its local path; `None` if the repository does not have it.
        fn get(&self, path: &str) -> Result<Option<PathBuf>> {
            let fetched = self.listing.find(path).map(|file| self.repository.fetch(&self.listing, file));
            fetched.transpose().map_err(|problem| Error::HubFiles { name: self.name.to_string(), problem })
        }

        fn lacks(self, missing: &str) -> Error {
            let names: Vec<&str> = self.listing.files.iter().map(|file| &*file.path).collect();
            let more = if names.len() > MOST_NAMES { " and others" } else { "" };
            let files = names[..names.len().min(MOST_NAMES)].join(", ") + more;
            let problem = self.unlisted.unwrap_or(HubProblem::NoFile { wanted: missing.into(), found: files });
            Error::HubFiles { name: self.name.to_string(), problem }
        }

        /// Downloads the files of an encoder that the loader reads. Other files of the repository are not downloaded.
        fn encoder(self) -> Result<PathBuf> {
            let modules = self.get(MODULES)?.and_then(|path| std::fs::read(path).ok());
            // The loader reports a file that is not JSON.
            let modules: Vec<Module> = modules.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
            let folder_of = |class: &str| {
                let module = modules.iter().find(|module| module.class.ends_with(class));
                module.map(|module| module.path.trim_end_matches('/')).filter(|path| !path.is_empty())
            };
            if let Some(pooling) = folder_of(".Pooling") {
                self.get(&format!("{pooling}/{CONFIG}"))?;
            }
            let inner = folder_of(".Transformer").filter(|_| self.listing.find(CONFIG).is_none());
            let folder = inner.map_or_else(String::new, |folder| format!("{folder}/"));
            // The prompts stay beside the list of modules.
            self.get("config_sentence_transformers.json")?;
            for name in FILES {
                self.get(&format!("{folder}{name}"))?;
            }
            let is_refused = self.listing.find(&format!("{folder}{ADAPTER}")).is_some();
            if is_refused {
                return Ok(self.folder());
            }
            let config = format!("{folder}{CONFIG}");
            if self.listing.find(&config).is_none() {
                return Err(self.lacks(&config));
            }
            match self.weights(&folder)? {
                None => Ok(self.folder()),
                Some(missing) => Err(self.lacks(&missing)),
            }
        }

        /// Downloads the weights. If the weight file is an index, its shards are downloaded, too. If the repository
        /// lacks a required file, returns the file's name.
        fn weights(&self, folder: &str) -> Result<Option<String>> {
            for name in WEIGHT_FILES {
                let Some(path) = self.get(&format!("{folder}{name}"))? else { continue };
                let shards =
                    if ShardIndex::is_index(&path) { ShardIndex::read(&path)?.names() } else { Default::default() };
                for shard in shards {
                    let shard = format!("{folder}{shard}");
                    if self.get(&shard)?.is_none() {
                        return Ok(Some(shard));
                    }
                }
                return Ok(None);
            }
            Ok(Some(format!("{folder}{}, nor {}", WEIGHT_FILES[0], WEIGHT_FILES[2])))
        }
    }
}
