//! Parser of the file list that the hub returns for a repository.

use std::path::{Component, Path};

use serde::Deserialize;

use super::file::HubFile;
use crate::error::HubProblem;

/// Files of a repository at one commit.
#[derive(Debug)]
pub(super) struct Listing {
    /// Revision that was requested: a branch, a tag or a commit.
    pub(super) revision: String,
    pub(super) commit: String,
    pub(super) files: Vec<HubFile>,
}

#[derive(Deserialize)]
struct Answer {
    sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    blob_id: Option<String>,
    lfs: Option<LargeFile>,
}

#[derive(Deserialize)]
struct LargeFile {
    #[serde(alias = "oid")]
    sha256: Option<String>,
    size: Option<u64>,
}

impl Listing {
    /// Parses the file list that the hub returns for a revision.
    ///
    /// # Errors
    /// [`HubProblem::Answer`] if the text is not a file list, or has an invalid path or checksum.
    pub(super) fn parse(revision: &str, text: &str) -> Result<Self, HubProblem> {
        let answer: Answer =
            serde_json::from_str(text).map_err(|error| HubProblem::Answer { message: error.to_string() })?;
        let refuse = |what: &str, got: &str| Err(HubProblem::Answer { message: format!("{what} {got:?}") });
        if answer.sha.is_empty() || !answer.sha.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return refuse("the commit is", &answer.sha);
        }
        let is_sum = |sum: &str, length| sum.len() == length && sum.bytes().all(|byte| byte.is_ascii_hexdigit());
        let mut files = Vec::with_capacity(answer.siblings.len());
        for Sibling { rfilename: path, size, blob_id, lfs } in answer.siblings {
            // The path is used in the cache.
            let plain = Path::new(&path).components().all(|part| matches!(part, Component::Normal(_)));
            if path.is_empty() || !plain || path.contains('\\') {
                return refuse("it has the path", &path);
            }
            let (large, sum) = lfs.map_or((None, None), |file| (file.size, file.sha256));
            let sum = sum.map(|sum| sum.trim_start_matches("sha256:").to_lowercase());
            if let Some(sum) = sum.as_deref().filter(|sum| !is_sum(sum, 64)) {
                return refuse("it has the SHA-256", sum);
            }
            let blob = blob_id.filter(|sum| is_sum(sum, 40));
            files.push(HubFile { path, size: large.or(size), sha256: sum, blob });
        }
        Ok(Self { revision: revision.into(), commit: answer.sha, files })
    }

    pub(super) fn find(&self, path: &str) -> Option<&HubFile> {
        self.files.iter().find(|file| file.path == path)
    }
}
