//! File of a repository on the hub.

/// File of a repository, as listed by the hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HubFile {
    /// Path in the repository.
    pub path: String,
    /// Size in bytes.
    pub size: Option<u64>,
    /// SHA-256 checksum in hexadecimal, which the hub lists for large files.
    pub sha256: Option<String>,
    /// Git's object hash in hexadecimal, which the hub lists for small files.
    pub blob: Option<String>,
}
