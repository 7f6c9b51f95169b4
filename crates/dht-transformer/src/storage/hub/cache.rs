//! Local cache of files from the Hugging Face hub, with the directory layout of Python's `huggingface_hub`.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Value of an environment variable; `None` if it is empty or not set.
pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

/// Returns whether `HF_HUB_OFFLINE` forbids requests to the hub.
pub(super) fn is_offline() -> bool {
    let value = variable("HF_HUB_OFFLINE").unwrap_or_default().to_ascii_lowercase();
    ["1", "on", "yes", "true"].contains(&value.as_str())
}

/// Directory of Hugging Face's programs: `HF_HOME`, otherwise `huggingface` in the user's cache directory.
fn home() -> PathBuf {
    let path = |name: &str| std::env::var_os(name).filter(|path| !path.is_empty()).map(PathBuf::from);
    let user = || std::env::home_dir().unwrap_or_default().join(".cache");
    path("HF_HOME").unwrap_or_else(|| path("XDG_CACHE_HOME").unwrap_or_else(user).join("huggingface"))
}

/// Access token for private repositories: `HF_TOKEN`, otherwise the token that Python's `hf auth login` has stored.
pub(super) fn token() -> Option<String> {
    let file = variable("HF_TOKEN_PATH").map_or_else(|| home().join("token"), PathBuf::from);
    let saved = || fs::read_to_string(file).ok().map(|token| token.trim().to_owned());
    variable("HF_TOKEN").or_else(saved).filter(|token| !token.is_empty())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RepositoryType {
    Model,
    Dataset,
}

impl RepositoryType {
    /// Plural of the repository type, as in the hub's URLs and in the cache, such as `models`.
    pub(super) fn plural(self) -> &'static str {
        match self {
            Self::Model => "models",
            Self::Dataset => "datasets",
        }
    }
}

/// Cached files of one repository. `blobs/SUM` stores the content of a file, and `snapshots/COMMIT/PATH` is a link to
/// it. `refs/REVISION` stores the last known commit of a branch or a tag.
pub(super) struct RepositoryCache {
    folder: PathBuf,
    locks: PathBuf,
}

impl RepositoryCache {
    pub(super) fn new(kind: RepositoryType, name: &str) -> Self {
        let cache = std::env::var_os("HF_HUB_CACHE").filter(|path| !path.is_empty());
        let cache = cache.map_or_else(|| home().join("hub"), PathBuf::from);
        let name = format!("{}--{}", kind.plural(), name.replace('/', "--"));
        Self { folder: cache.join(&name), locks: cache.join(".locks").join(name) }
    }

    /// Directory with the cached files of a commit.
    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.folder.join("snapshots").join(commit)
    }

    /// Path of the file content with this checksum.
    pub(super) fn blob(&self, sum: &str) -> PathBuf {
        self.folder.join("blobs").join(sum)
    }

    /// Path of the stored file list of a revision. `revision` must be percent-encoded.
    pub(super) fn list(&self, revision: &str) -> PathBuf {
        self.folder.join(format!("list.{revision}.json"))
    }

    /// Last known commit of a revision; `None` if the cache has no files of that commit.
    pub(super) fn commit(&self, revision: &str) -> Option<String> {
        let noted = fs::read_to_string(self.folder.join("refs").join(revision)).ok();
        let commit = noted.map_or_else(|| revision.to_owned(), |commit| commit.trim().to_owned());
        let is_commit = !commit.is_empty() && commit.bytes().all(|byte| byte.is_ascii_alphanumeric());
        (is_commit && self.snapshot(&commit).is_dir()).then_some(commit)
    }

    /// Stores the commit to which a revision points, for offline use.
    pub(super) fn refer(&self, revision: &str, commit: &str) -> io::Result<()> {
        if revision == commit {
            return Ok(());
        }
        let path = self.folder.join("refs").join(revision);
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        fs::write(path, commit)
    }

    /// Locks the file content with this checksum, so that no other process downloads it at the same time. `None` if the
    /// file system does not support locks.
    pub(super) fn lock(&self, sum: &str) -> Option<File> {
        fs::create_dir_all(&self.locks).ok()?;
        let path = self.locks.join(format!("{sum}.lock"));
        let file = File::options().create(true).truncate(false).write(true).open(path).ok()?;
        file.lock().ok()?;
        Some(file)
    }

    /// Links a file of a commit to its cached content. Returns the path of the link.
    pub(super) fn place(&self, sum: &str, commit: &str, path: &str) -> io::Result<PathBuf> {
        let pointer = self.snapshot(commit).join(path);
        pointer.parent().map_or(Ok(()), fs::create_dir_all)?;
        match fs::remove_file(&pointer) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // Relative, so that the cache can be moved.
        let up = std::iter::repeat_n("..", path.split('/').count() + 1);
        let target: PathBuf = up.chain(["blobs", sum]).collect();
        if link(&target, &pointer).is_err() {
            // A system without symbolic links. Other commits may need the content.
            let blob = self.blob(sum);
            fs::hard_link(&blob, &pointer).or_else(|_| fs::copy(&blob, &pointer).map(drop))?;
        }
        Ok(pointer)
    }

    /// Paths of a commit's files that are in the cache.
    pub(super) fn files(&self, commit: &str) -> Vec<String> {
        let mut paths = Vec::new();
        let mut folders = vec![(self.snapshot(commit), String::new())];
        while let Some((folder, prefix)) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let Ok(name) = entry.file_name().into_string() else { continue };
                let path = format!("{prefix}{name}");
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    folders.push((entry.path(), format!("{path}/")));
                } else if entry.path().is_file() {
                    paths.push(path);
                }
            }
        }
        paths.sort_unstable();
        paths
    }
}

#[cfg(unix)]
fn link(target: &Path, pointer: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, pointer)
}

#[cfg(windows)]
fn link(target: &Path, pointer: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_file(target, pointer)
}

#[cfg(not(any(unix, windows)))]
fn link(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
