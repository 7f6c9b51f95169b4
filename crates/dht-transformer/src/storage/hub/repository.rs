//! Repository on the Hugging Face hub: file lists, and downloads with verification.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};
use ureq::Body;
use ureq::http::Response;

use super::cache::{RepositoryCache, RepositoryType, is_offline};
use super::client::{Client, encoded, status_problem};
use super::file::HubFile;
use super::listing::Listing;
use crate::error::{Error, HubProblem, Result};
use crate::storage::{file_sha256, hexadecimal, write_atomically};

pub(super) const MAIN: &str = "main";
/// Branch to which the hub converts data sets of other formats, as parquet files.
pub(super) const CONVERTED: &str = "refs/convert/parquet";
const LIST: &str = "the list of files";
const MOST_NAMES: usize = 20;

#[derive(Deserialize)]
struct References {
    branches: Vec<Reference>,
    #[serde(default)]
    tags: Vec<Reference>,
}

#[derive(Deserialize)]
struct Reference {
    name: String,
}

pub(super) struct Repository {
    name: String,
    kind: RepositoryType,
    client: Client,
    cache: RepositoryCache,
}

impl Repository {
    pub(super) fn new(name: &str, kind: RepositoryType) -> Self {
        let (client, cache) = (Client::from_environment(), RepositoryCache::new(kind, name));
        Self { name: name.into(), kind, client, cache }
    }

    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.cache.snapshot(commit)
    }

    /// Requests the files of a revision with their sizes and checksums. If the hub is offline or cannot be reached, the
    /// list of an earlier request is used.
    pub(super) fn list(&self, revision: &str) -> Result<Listing, HubProblem> {
        let path = self.cache.list(&encoded(revision, None));
        let previous = || Listing::parse(revision, &fs::read_to_string(&path).ok()?).ok();
        // The files of a commit do not change.
        if let Some(listing) = previous().filter(|listing| listing.commit == revision) {
            return Ok(listing);
        }
        let problem = match self.ask_for_list(revision) {
            Ok(text) => {
                let listing = Listing::parse(revision, &text)?;
                // Without it a later run must reach the hub; nothing else is lost.
                if let Err(error) = store(&path, &text) {
                    tracing::debug!(repository = %self.name, %error, "the list of files was not stored");
                }
                return Ok(listing);
            }
            Err(problem) => problem,
        };
        match previous().filter(|_| is_unreached(&problem)) {
            Some(listing) => {
                tracing::warn!(repository = %self.name, %problem, "using the stored list of files");
                Ok(listing)
            }
            None => Err(problem),
        }
    }

    /// Lists the files of a revision that are in the cache, without sizes and checksums. The list is used if `problem`
    /// means that the hub could not be reached or is overloaded. `None` for other problems, and if the cache has no
    /// files.
    pub(super) fn cached(&self, revision: &str, problem: &HubProblem) -> Option<Listing> {
        let commit = self.cache.commit(revision).filter(|_| is_unreached(problem))?;
        tracing::warn!(repository = %self.name, %problem, %commit, "using the files in the cache");
        let file = |path| HubFile { path, size: None, sha256: None, blob: None };
        let files = self.cache.files(&commit).into_iter().map(file).collect();
        Some(Listing { revision: revision.into(), commit, files })
    }

    fn ask_for_list(&self, revision: &str) -> Result<String, HubProblem> {
        if is_offline() {
            return Err(HubProblem::Offline { what: LIST.into() });
        }
        let address = format!("api/{}/{}", self.kind.plural(), self.name);
        let list = self.client.text(LIST, &format!("{address}/revision/{}?blobs=true", encoded(revision, None)));
        list.map_err(|problem| match problem {
            HubProblem::Status { status: 404, .. } => self.no_revision(revision, &address).unwrap_or(problem),
            _ => problem,
        })
    }

    /// Creates the error for an unknown revision, which names the existing branches and tags. `None` if the repository
    /// does not exist.
    fn no_revision(&self, revision: &str, address: &str) -> Option<HubProblem> {
        let text = self.client.text(LIST, &format!("{address}/refs")).ok()?;
        let References { branches, tags } = serde_json::from_str(&text).ok()?;
        let names: Vec<String> = branches.into_iter().chain(tags).map(|reference| reference.name).collect();
        let more = if names.len() > MOST_NAMES { " and others" } else { "" };
        let known = names.iter().take(MOST_NAMES).cloned().collect::<Vec<_>>().join(", ") + more;
        Some(HubProblem::Revision { asked: revision.into(), known })
    }

    /// Returns the path of a file in the cache; a missing file is downloaded. A cached file must have the size that the
    /// hub lists. A downloaded file must also have the listed checksum before it is stored in the cache.
    pub(super) fn fetch(&self, listing: &Listing, file: &HubFile) -> Result<PathBuf, HubProblem> {
        let is_there =
            |path: &Path| fs::metadata(path).is_ok_and(|metadata| file.size.is_none_or(|size| size == metadata.len()));
        let pointer = self.snapshot(&listing.commit).join(&file.path);
        if is_there(&pointer) {
            return Ok(pointer);
        }
        let sum = file.sha256.clone().or_else(|| file.blob.clone());
        let sum =
            sum.unwrap_or_else(|| hexadecimal(Sha256::new_with_prefix(format!("{}/{}", listing.commit, file.path))));
        let blob = self.cache.blob(&sum);
        let failed = |source: io::Error| request_problem(file, source);
        let _lock = self.cache.lock(&sum);
        // Another process may have fetched it meanwhile, and be reading it.
        if is_there(&pointer) {
            return Ok(pointer);
        }
        if !is_there(&blob) {
            if is_offline() {
                return Err(HubProblem::Offline { what: file.path.clone() });
            }
            blob.parent().map_or(Ok(()), fs::create_dir_all).map_err(failed)?;
            self.download(listing, file, &blob)?;
        }
        let pointer = self.cache.place(&sum, &listing.commit, &file.path).map_err(failed)?;
        if let Err(error) = self.cache.refer(&listing.revision, &listing.commit) {
            tracing::debug!(repository = %self.name, %error, "the commit of the revision was not noted");
        }
        Ok(pointer)
    }

    /// Downloads a file to the path `blob`. An interrupted download is resumed.
    fn download(&self, listing: &Listing, file: &HubFile, blob: &Path) -> Result<(), HubProblem> {
        let failed = |source: io::Error| request_problem(file, source);
        let part = blob.with_extension("part");
        let length = fs::metadata(&part).map_or(0, |metadata| metadata.len());
        let is_whole = file.sha256.is_some() && check(&part, file).is_ok();
        if !is_whole {
            let from = if file.size.is_some_and(|size| length < size) { length } else { 0 };
            tracing::info!(repository = %self.name, file = %file.path, bytes = file.size, from, "fetching");
            self.receive(listing, file, &part, from)?;
            check(&part, file).inspect_err(|_| _ = fs::remove_file(&part))?;
            if file.sha256.is_none() {
                tracing::debug!(repository = %self.name, file = %file.path, "listed without SHA-256");
            }
        }
        fs::rename(&part, blob).map_err(failed)
    }

    /// Appends the bytes from position `from` on to the partly downloaded file `part`. If the hub sends the whole file,
    /// `part` is overwritten.
    fn receive(&self, listing: &Listing, file: &HubFile, part: &Path, from: u64) -> Result<(), HubProblem> {
        let failed = |source: io::Error| request_problem(file, source);
        let prefix = if self.kind == RepositoryType::Dataset { "datasets/" } else { "" };
        // By its commit, so that the file matches the list even if the branch changes.
        let (commit, path) = (encoded(&listing.commit, None), encoded(&file.path, Some('/')));
        let address = format!("{prefix}{}/resolve/{commit}/{path}", self.name);
        let (mut response, from) = self.request(file, &address, from)?;
        let mut out = File::options().create(true).truncate(false).write(true).open(part).map_err(failed)?;
        out.set_len(from).and_then(|()| out.seek(SeekFrom::End(0))).map_err(failed)?;
        let most = file.size.map_or(u64::MAX, |size| size.saturating_sub(from).saturating_add(1));
        io::copy(&mut response.body_mut().as_reader().take(most), &mut out).map_err(failed)?;
        out.sync_all().map_err(failed)
    }

    /// Requests a file from byte `from` on. Returns the response, and the position of its first byte in the file.
    fn request(&self, file: &HubFile, address: &str, from: u64) -> Result<(Response<Body>, u64), HubProblem> {
        let response = self.client.get(&file.path, address, from)?;
        let range = response.headers().get("content-range").and_then(|value| value.to_str().ok());
        let continues = range.is_some_and(|range| range.starts_with(&format!("bytes {from}-")));
        match response.status().as_u16() {
            206 if continues => Ok((response, from)),
            206 | 416 if from > 0 => self.request(file, address, 0),
            200..=299 => Ok((response, 0)),
            status => Err(status_problem(&file.path, status)),
        }
    }
}

/// Returns whether an error means that the hub could not be reached or is overloaded, so that cached files may be used.
fn is_unreached(problem: &HubProblem) -> bool {
    match problem {
        HubProblem::Request { .. } | HubProblem::Offline { .. } => true,
        HubProblem::Status { status, .. } => *status >= 500 || *status == 429,
        _ => false,
    }
}

fn request_problem(file: &HubFile, source: io::Error) -> HubProblem {
    HubProblem::Request { what: file.path.clone(), source: source.into() }
}

fn store(path: &Path, text: &str) -> Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all).map_err(|source| Error::io(path, source))?;
    write_atomically(path, |file| file.write_all(text.as_bytes()))
}

/// Checks the size and the checksum of a downloaded file against the hub's list.
fn check(path: &Path, file: &HubFile) -> Result<(), HubProblem> {
    let name = || file.path.clone();
    let got = fs::metadata(path).map_err(|source| request_problem(file, source))?.len();
    if let Some(expected) = file.size.filter(|size| *size != got) {
        return Err(HubProblem::Size { file: name(), expected, got });
    }
    if let Some(expected) = &file.sha256 {
        let failed = |source: Error| HubProblem::Request { what: name(), source: source.into() };
        let got = file_sha256(path).map_err(failed)?;
        if got != *expected {
            return Err(HubProblem::Digest { file: name(), expected: expected.clone(), got });
        }
    }
    Ok(())
}
