//! A file of a repository on the hub.

/// A file as the hub lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubFile {
    /// Its path in the repository.
    pub path: String,
    /// Its bytes.
    pub size: Option<u64>,
    /// Its SHA-256 sum in hexadecimal, which the hub knows of large files.
    pub sha256: Option<String>,
}
