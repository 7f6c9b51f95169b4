//! Data sets on the Hugging Face hub, downloaded as parquet files for each split.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::file::HubFile;
use super::name::{is_name, split_revision};
use crate::error::{Error, HubProblem, Result};

/// Configuration (subset) of a data set on the Hugging Face hub, with the parquet files of its splits.
///
/// The hub lists the files of a revision, such as `data/train-00000-of-00001.parquet` or
/// `CONFIG/train-00000-of-00001.parquet`. The default revision is the branch `main`. If this branch has no parquet
/// files, the default is `refs/convert/parquet`, to which the hub converts data sets of other formats
/// (`CONFIG/train/0000.parquet`).
///
/// All files belong to the same commit. They are downloaded into the cache of Python's `huggingface_hub`. A downloaded
/// file must have the size and the SHA-256 checksum that the hub lists. A file that is already in the cache must have
/// the listed size.
///
/// If the hub cannot be reached, or `HF_HUB_OFFLINE` is set, the file list of the previous request is used.
///
/// Requires the feature `hub`. The variables `HF_ENDPOINT`, `HF_HOME`, `HF_HUB_CACHE`, `HF_HUB_OFFLINE` and `HF_TOKEN`
/// have the same meaning as in `huggingface_hub`.
#[derive(Debug, Clone)]
pub struct HubDataset {
    pub(super) name: String,
    #[cfg_attr(not(feature = "hub"), expect(dead_code, reason = "only fetched files need it"))]
    pub(super) revision: String,
    pub(super) commit: String,
    pub(super) splits: BTreeMap<String, Vec<HubFile>>,
}

impl HubDataset {
    /// Lists the files of a data set on the hub, named `OWNER/NAME` or `OWNER/NAME/CONFIG`. Without `CONFIG`, the data
    /// set's only configuration is used, or the one called `default`. A suffix `@REVISION` selects a branch, a tag or a
    /// commit.
    ///
    /// # Errors
    /// - [`Error::Argument`] if the name or the revision is invalid;
    /// - [`Error::NoHub`] without the feature `hub`;
    /// - [`Error::HubFiles`] if the hub cannot be reached, lacks the data set, the revision or the configuration, or
    ///   lists no parquet files.
    pub fn open(name: &str) -> Result<Self> {
        let (place, revision) = split_revision(name)?;
        let mut parts = place.splitn(3, '/');
        let repository: Vec<&str> = parts.by_ref().take(2).collect();
        let (repository, configuration) = (repository.join("/"), parts.next());
        if !is_name(&repository) || configuration.is_some_and(|name| name.contains('/') || !is_name(name)) {
            let expected = "OWNER/NAME or OWNER/NAME/CONFIG, and @REVISION behind it for another one than main";
            return Err(Error::argument("data set", expected, name));
        }
        open(&repository, configuration, revision)
    }

    /// Hash of the commit to which all files belong.
    pub fn commit(&self) -> &str {
        &self.commit
    }

    /// Names of the splits, sorted.
    pub fn splits(&self) -> impl Iterator<Item = &str> {
        self.splits.keys().map(String::as_str)
    }

    /// Total size of a split's files in bytes, as listed by the hub; `None` for an unknown split.
    pub fn bytes(&self, split: &str) -> Option<u64> {
        Some(self.splits.get(split)?.iter().filter_map(|file| file.size).sum())
    }

    /// Downloads the files of a split that are not in the cache. Returns the local paths of all files of the split.
    ///
    /// # Errors
    /// [`Error::HubFiles`] if the split is missing or incomplete, or a file cannot be downloaded or verified. A
    /// downloaded file that differs from the hub's list is deleted and also reported.
    pub fn fetch(&self, split: &str) -> Result<Vec<PathBuf>> {
        let failed = |problem| Error::HubFiles { name: self.name.clone(), problem };
        let Some(files) = self.splits.get(split) else {
            let known = self.splits().collect::<Vec<_>>().join(", ");
            return Err(failed(HubProblem::Split { wanted: split.into(), known }));
        };
        let names: Vec<String> = files.iter().map(|file| file.path.clone()).collect();
        if let Some(problem) = crate::storage::missing_part(&names) {
            return Err(failed(HubProblem::Parts { split: split.into(), problem }));
        }
        fetch(self, files)
    }
}

#[cfg(not(feature = "hub"))]
fn open(repository: &str, _: Option<&str>, _: Option<&str>) -> Result<HubDataset> {
    Err(Error::NoHub { name: repository.into() })
}

#[cfg(not(feature = "hub"))]
fn fetch(dataset: &HubDataset, _: &[HubFile]) -> Result<Vec<PathBuf>> {
    Err(Error::NoHub { name: dataset.name.clone() })
}

#[cfg(feature = "hub")]
use on_the_hub::{fetch, open};

#[cfg(feature = "hub")]
mod on_the_hub {
    use super::*;
    use crate::storage::hub::cache::RepositoryType;
    use crate::storage::hub::listing::Listing;
    use crate::storage::hub::repository::{CONVERTED, MAIN, Repository};

    type Splits = BTreeMap<String, Vec<HubFile>>;

    pub(super) fn open(name: &str, configuration: Option<&str>, revision: Option<&str>) -> Result<HubDataset> {
        let shown = revision.map_or_else(|| name.to_owned(), |revision| format!("{name}@{revision}"));
        let failed = |problem| Error::HubFiles { name: shown.clone(), problem };
        let repository = Repository::new(name, RepositoryType::Dataset);
        let listing = repository.list(revision.unwrap_or(MAIN)).map_err(failed)?;
        let choose = |listing: &Listing| choose(configurations(&listing.files), configuration, revision);
        let selected = match (choose(&listing), revision) {
            (Ok(splits), _) => Ok((listing, splits)),
            // The hub converts the branch main alone.
            (Err(problem), Some(_)) => Err(problem),
            (Err(problem), None) => match repository.list(CONVERTED) {
                Ok(listing) => match choose(&listing) {
                    Ok(splits) => Ok((listing, splits)),
                    // Users know the names of the converted branch.
                    Err(HubProblem::NoSplits { .. }) => Err(problem),
                    Err(problem) => Err(problem),
                },
                Err(HubProblem::Status { .. } | HubProblem::Revision { .. }) => Err(problem),
                Err(problem) => Err(problem),
            },
        };
        let (Listing { revision, commit, .. }, splits) = selected.map_err(failed)?;
        Ok(HubDataset { name: name.into(), revision, commit, splits })
    }

    pub(super) fn fetch(dataset: &HubDataset, files: &[HubFile]) -> Result<Vec<PathBuf>> {
        let failed = |problem| Error::HubFiles { name: dataset.name.clone(), problem };
        let repository = Repository::new(&dataset.name, RepositoryType::Dataset);
        let (revision, commit) = (dataset.revision.clone(), dataset.commit.clone());
        let listing = Listing { revision, commit, files: Vec::new() };
        let fetched = |file: &HubFile| match (&file.size, &file.sha256) {
            (Some(_), Some(_)) => repository.fetch(&listing, file),
            _ => Err(HubProblem::NoDigest { file: file.path.clone() }),
        };
        files.iter().map(|file| fetched(file).map_err(failed)).collect()
    }

    /// Groups parquet files by configuration and split, from their paths.
    pub(super) fn configurations(files: &[HubFile]) -> BTreeMap<String, Splits> {
        let mut by_configuration: BTreeMap<String, Splits> = BTreeMap::new();
        for file in files {
            if let Some((configuration, split)) = place_of(&file.path) {
                let splits = by_configuration.entry(configuration.into()).or_default();
                splits.entry(split.into()).or_default().push(file.clone());
            }
        }
        let splits = by_configuration.values_mut().flat_map(BTreeMap::values_mut);
        splits.for_each(|files| files.sort_by(|a, b| a.path.cmp(&b.path)));
        by_configuration
    }

    /// Parses the configuration and the split from a file path. `None` for other files, and for `partial-train`: the
    /// hub converts only a part of a very large data set.
    pub(super) fn place_of(path: &str) -> Option<(&str, &str)> {
        let mut folders: Vec<&str> = path.split('/').collect();
        let stem = folders.pop()?.strip_suffix(".parquet")?;
        let numbered = !stem.is_empty() && stem.bytes().all(|byte| byte.is_ascii_digit());
        let split = if numbered { folders.pop()? } else { stem.split(['-', '.']).next()? };
        let configuration = match *folders {
            [] | ["data"] => "default",
            [name] | ["data", name] => name,
            _ => return None,
        };
        let word = |sign: char| sign.is_ascii_alphanumeric() || sign == '_';
        (!split.is_empty() && split.chars().all(word)).then_some((configuration, split))
    }

    fn choose(
        mut available: BTreeMap<String, Splits>,
        asked: Option<&str>,
        revision: Option<&str>,
    ) -> Result<Splits, HubProblem> {
        let only = available.keys().next().filter(|_| available.len() == 1).cloned();
        let asked = asked.map(str::to_owned).or(only).unwrap_or_else(|| "default".into());
        if available.is_empty() {
            let places = revision.map_or_else(|| format!("{MAIN} and on {CONVERTED}"), str::to_owned);
            return Err(HubProblem::NoSplits { places });
        }
        let known = || available.keys().cloned().collect::<Vec<_>>().join(", ");
        let problem = HubProblem::Configuration { asked: asked.clone(), known: known() };
        available.remove(&asked).ok_or(problem)
    }
}

#[cfg(all(test, feature = "hub"))]
mod tests {
    use super::on_the_hub::place_of;

    #[test]
    fn paths_tell_configuration_and_split() {
        for (path, place) in [
            ("data/train-00000-of-00002.parquet", Some(("default", "train"))),
            ("train.parquet", Some(("default", "train"))),
            ("sst2/validation-00000-of-00001.parquet", Some(("sst2", "validation"))),
            ("mnli/validation_matched-00000-of-00001.parquet", Some(("mnli", "validation_matched"))),
            ("data/en/test-00000-of-00001-0123456789abcdef.parquet", Some(("en", "test"))),
            ("default/train/0000.parquet", Some(("default", "train"))),
            ("plain_text/unsupervised/0001.parquet", Some(("plain_text", "unsupervised"))),
            ("default/partial-train/0000.parquet", None),
            ("0000.parquet", None),
            ("a/b/c/train.parquet", None),
            ("data/train.csv", None),
            ("-.parquet", None),
        ] {
            assert_eq!(place_of(path), place, "{path}");
        }
    }
}
