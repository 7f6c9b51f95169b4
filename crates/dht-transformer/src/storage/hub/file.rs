//! File of a repository on the Hugging Face hub.

/// File of a repository, as the hub lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HubFile {
    /// Path relative to the root of the repository.
    pub path: String,
    /// Size in bytes, if listed.
    pub size: Option<u64>,
    /// SHA-256 checksum in hexadecimal. The hub lists it for large files.
    pub sha256: Option<String>,
    /// Git object hash in hexadecimal. The hub lists it for small files.
    pub blob: Option<String>,
}
