//! Repository on the hub: its list of files, and verified downloads.

use std::fs;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use hf_hub::api::sync::{Api, ApiBuilder, ApiError};
use hf_hub::{Cache, Repo, RepoType};
use serde::Deserialize;

use super::file::HubFile;
use crate::error::{Error, HubProblem, Result};
use crate::storage::{file_sha256, write_atomically};

/// Main branch of a repository.
pub(super) const MAIN: &str = "main";
/// Branch with the hub's conversions of data sets of other formats.
pub(super) const CONVERTED: &str = "refs/convert/parquet";
/// Maximum size of a list of files in bytes.
const MOST_BYTES: u64 = 64 << 20;
/// Timeout of a request for a list of files.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Name of the file list in errors.
const LIST: &str = "the list of files";

/// Client of the hub, configured by environment variables.
pub(super) fn api() -> Result<Api, ApiError> {
    let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let mut builder = ApiBuilder::from_cache(cache()).with_progress(false);
    if let Some(endpoint) = set("HF_ENDPOINT") {
        builder = builder.with_endpoint(endpoint.trim_end_matches('/').into());
    }
    if let Some(token) = set("HF_TOKEN") {
        builder = builder.with_token(Some(token));
    }
    builder.build()
}

/// Local cache of files.
pub(super) fn cache() -> Cache {
    match std::env::var_os("HF_HUB_CACHE").filter(|path| !path.is_empty()) {
        Some(path) => Cache::new(path.into()),
        None => Cache::from_env(),
    }
}

/// Returns whether the hub must not be queried.
pub(super) fn is_offline() -> bool {
    let value = std::env::var("HF_HUB_OFFLINE").unwrap_or_default().to_ascii_lowercase();
    ["1", "on", "yes", "true"].contains(&value.as_str())
}

/// Files of one commit.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) branch: &'static str,
    pub(super) commit: String,
    pub(super) files: Vec<HubFile>,
}

/// Response of the hub.
#[derive(Deserialize)]
struct Answer {
    sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    lfs: Option<LargeFile>,
}

#[derive(Deserialize)]
struct LargeFile {
    #[serde(alias = "oid")]
    sha256: String,
    size: u64,
}

/// Repository and its local cache.
pub(super) struct Repository {
    name: String,
    kind: RepoType,
    api: Api,
}

impl Repository {
    pub(super) fn open(name: &str, kind: RepoType) -> Result<Self> {
        let failed = |source| Error::HubFiles { name: name.into(), problem: problem_of(LIST, source) };
        Ok(Self { name: name.into(), kind, api: api().map_err(failed)? })
    }

    fn revision(&self, revision: &str) -> Repo {
        Repo::with_revision(self.name.clone(), self.kind, revision.into())
    }

    /// Lists the files of a branch with their sizes and sums. If the hub is offline or cannot be reached, the previous
    /// list is returned.
    pub(super) fn list(&self, branch: &'static str) -> Result<Listing, HubProblem> {
        let kept = self.kept_list(branch);
        let problem = match self.ask_for_list(branch) {
            Ok(text) => {
                let listing = listing_of(branch, &text)?;
                // Without it a later run must reach the hub; nothing else is lost.
                if let Err(error) = keep(&kept, &text) {
                    tracing::debug!(repository = %self.name, %error, "the list of files was not kept");
                }
                return Ok(listing);
            }
            Err(problem) => problem,
        };
        let unreached = match &problem {
            HubProblem::Request { .. } | HubProblem::Offline { .. } => true,
            HubProblem::Status { status, .. } => *status >= 500,
            _ => false,
        };
        match fs::read_to_string(&kept) {
            Ok(text) if unreached => {
                tracing::warn!(repository = %self.name, %problem, "using the list of files of the last time");
                listing_of(branch, &text)
            }
            _ => Err(problem),
        }
    }

    /// Path of the stored file list of a branch.
    fn kept_list(&self, branch: &str) -> PathBuf {
        let snapshot = cache().repo(self.revision(branch)).pointer_path("list");
        let folder = snapshot.parent().and_then(Path::parent).unwrap_or(&snapshot);
        folder.join(format!("list.{}.json", branch.replace('/', ".")))
    }

    fn ask_for_list(&self, branch: &str) -> Result<String, HubProblem> {
        if is_offline() {
            return Err(HubProblem::Offline { what: LIST.into() });
        }
        let request = self.api.repo(self.revision(branch)).info_request().query("blobs", "true");
        let request = request.config().timeout_global(Some(LONGEST_WAIT)).build();
        let failed = |error| problem_of(LIST, ApiError::from(Box::new(error)));
        let mut response = request.call().map_err(failed)?;
        response.body_mut().with_config().limit(MOST_BYTES).read_to_string().map_err(failed)
    }

    /// Path of a file in the cache, downloaded if missing. A file whose size or sum differs from the list is deleted.
    pub(super) fn fetch(&self, listing: &Listing, file: &HubFile) -> Result<PathBuf, HubProblem> {
        let cached = cache().repo(self.revision(listing.branch));
        let pointer = cached.pointer_path(&listing.commit).join(&file.path);
        let request = |source: std::io::Error| HubProblem::Request { what: file.path.clone(), source: source.into() };
        if pointer.exists() && check(&pointer, file).is_ok() {
            return Ok(pointer);
        }
        if is_offline() {
            return Err(HubProblem::Offline { what: file.path.clone() });
        }
        forget(&pointer);
        // An incomplete file is resumed; for a complete one that request would fail.
        if let (Some(sum), Some(size)) = (&file.sha256, file.size) {
            let part = cached.blob_path(sum).with_extension("part");
            if fs::metadata(&part).is_ok_and(|found| found.len() >= size) {
                fs::remove_file(&part).map_err(request)?;
            }
        }
        tracing::info!(repository = %self.name, file = %file.path, bytes = file.size, "fetching");
        // By its commit, so that the file matches the list even if the branch changes.
        let repository = self.api.repo(self.revision(&listing.commit));
        let fetched = repository.download(&file.path).map_err(|source| problem_of(&file.path, source))?;
        if let Err(problem) = check(&fetched, file) {
            forget(&fetched);
            return Err(problem);
        }
        cached.create_ref(&listing.commit).map_err(request)?;
        Ok(fetched)
    }
}

/// Files in a response of the hub.
fn listing_of(branch: &'static str, text: &str) -> Result<Listing, HubProblem> {
    let answer: Answer =
        serde_json::from_str(text).map_err(|error| HubProblem::Answer { message: error.to_string() })?;
    let refuse = |what: &str, got: &str| Err(HubProblem::Answer { message: format!("{what} {got:?}") });
    if answer.sha.is_empty() || !answer.sha.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return refuse("the commit is", &answer.sha);
    }
    let mut files = Vec::with_capacity(answer.siblings.len());
    for Sibling { rfilename: path, size, lfs } in answer.siblings {
        // The path is used in the cache.
        let plain = Path::new(&path).components().all(|part| matches!(part, Component::Normal(_)));
        if path.is_empty() || !plain || path.contains('\\') {
            return refuse("it has the path", &path);
        }
        if let Some(LargeFile { sha256, .. }) = &lfs
            && (sha256.len() != 64 || !sha256.bytes().all(|byte| byte.is_ascii_hexdigit()))
        {
            return refuse("it has the SHA-256", sha256);
        }
        let size = lfs.as_ref().map(|file| file.size).or(size);
        files.push(HubFile { path, size, sha256: lfs.map(|file| file.sha256.to_lowercase()) });
    }
    Ok(Listing { branch, commit: answer.sha, files })
}

fn keep(path: &Path, text: &str) -> Result<()> {
    let failed = |source| Error::Io { path: path.into(), source };
    path.parent().map_or(Ok(()), fs::create_dir_all).map_err(failed)?;
    write_atomically(path, |file| file.write_all(text.as_bytes()))
}

/// Compares a file with its entry in the hub's list.
fn check(path: &Path, file: &HubFile) -> Result<(), HubProblem> {
    let name = || file.path.clone();
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| HubProblem::Request { what: name(), source };
    let got = fs::metadata(path).map_err(|source| failed(source.into()))?.len();
    if let Some(expected) = file.size.filter(|size| *size != got) {
        return Err(HubProblem::Size { file: name(), expected, got });
    }
    if let Some(expected) = &file.sha256 {
        let got = file_sha256(path).map_err(|source| failed(source.into()))?;
        if got != *expected {
            return Err(HubProblem::Digest { file: name(), expected: expected.clone(), got });
        }
    }
    Ok(())
}

/// Removes a file from the cache: the link, and its target if the target is in the cache, too.
fn forget(pointer: &Path) {
    let target = fs::canonicalize(pointer).ok();
    // A file that cannot be deleted fails the check again.
    let _ = fs::remove_file(pointer);
    let blob = target.filter(|target| target.parent().is_some_and(|folder| folder.ends_with("blobs")));
    blob.map(fs::remove_file);
}

fn problem_of(what: &str, source: ApiError) -> HubProblem {
    let what = what.to_owned();
    if let ApiError::RequestError(error) = &source
        && let ureq::Error::StatusCode(status) = **error
    {
        let meaning = match status {
            401 | 403 => "it is not there, or needs a login (set HF_TOKEN)",
            404 => "there is no such repository, branch or file",
            429 => "too many requests, try again later",
            500.. => "the hub has failed, try again later",
            _ => "not what was expected",
        };
        return HubProblem::Status { what, status, meaning };
    }
    HubProblem::Request { what, source: source.into() }
}
