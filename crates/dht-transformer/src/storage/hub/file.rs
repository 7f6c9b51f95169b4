//! File of a repository on the hub.

/// File as listed by the hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HubFile {
    /// Path in the repository.
    pub path: String,
    /// Size in bytes.
    pub size: Option<u64>,
    /// SHA-256 sum in hexadecimal, which the hub lists for large files.
    pub sha256: Option<String>,
    /// Git's sum of a small file in hexadecimal.
    pub blob: Option<String>,
}
