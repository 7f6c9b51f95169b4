/// Reason why files could not be downloaded from the Hugging Face hub. [`Error::HubFiles`](crate::Error::HubFiles) adds
/// the name of the repository.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubProblem {
    /// The hub could not be reached, or closed the connection.
    #[error("{what} could not be fetched: {source}")]
    Request {
        /// Requested file path, or "the list of files".
        what: String,
        /// Error of the HTTP client.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// `HF_HUB_OFFLINE` forbids requests to the hub, and the file is not in the cache.
    #[error("{what} is not in the cache, and HF_HUB_OFFLINE says not to ask the hub")]
    Offline {
        /// Requested file path, or "the list of files".
        what: String,
    },
    /// The hub answered a request with an HTTP error.
    #[error("the hub answers {status} for {what}: {meaning}")]
    Status {
        /// Requested file path, or "the list of files".
        what: String,
        /// HTTP status code.
        status: u16,
        /// Explanation of the status code.
        meaning: &'static str,
    },
    /// The hub's list of files is invalid.
    #[error("its list of files cannot be read: {message}")]
    Answer {
        /// Description of the invalid part of the list.
        message: String,
    },
    /// The repository does not have the requested revision.
    #[error("has no revision {asked:?}; there are {known}, and its commits by their full hash")]
    Revision {
        /// Requested revision.
        asked: String,
        /// Existing branches and tags.
        known: String,
    },
    /// The repository does not have a file that the model requires.
    #[error("has no {wanted}; its files are {found}")]
    NoFile {
        /// Name of the required file.
        wanted: String,
        /// Names of the existing files; only the first names if there are many.
        found: String,
    },
    /// The repository of a data set has no parquet files.
    #[error("has no parquet files of splits on {places}")]
    NoSplits {
        /// Revisions that were searched.
        places: String,
    },
    /// The requested configuration of a data set does not exist, or there are several and none was requested.
    #[error("has no configuration {asked:?}; there are {known}: name one, as in hf:OWNER/NAME/CONFIG")]
    Configuration {
        /// Requested configuration; `default` if none was requested.
        asked: String,
        /// Existing configurations.
        known: String,
    },
    /// The requested split of a data set does not exist.
    #[error("has no split {wanted}; there are {known}")]
    Split {
        /// Requested split, or its possible names.
        wanted: String,
        /// Existing splits.
        known: String,
    },
    /// The parquet files of a split are incomplete.
    #[error("the parts of the split {split} do not fit together: {problem}")]
    Parts {
        /// Name of the split.
        split: String,
        /// Description of the missing or inconsistent file.
        problem: String,
    },
    /// A file cannot be verified, since the hub does not list both its size and its SHA-256 checksum.
    #[error("{file} is listed without size and SHA-256, so that it cannot be checked")]
    NoDigest {
        /// File path.
        file: String,
    },
    /// A downloaded file does not have the size that the hub lists. It was deleted.
    #[error("{file} has {got} bytes, expected {expected}: it is deleted, try again")]
    Size {
        /// File path.
        file: String,
        /// Size that the hub lists, in bytes.
        expected: u64,
        /// Actual size in bytes.
        got: u64,
    },
    /// A downloaded file does not have the SHA-256 checksum that the hub lists. It was deleted.
    #[error("{file} has the SHA-256 {got}, expected {expected}: it is deleted, try again")]
    Digest {
        /// File path.
        file: String,
        /// Checksum that the hub lists, in hexadecimal.
        expected: String,
        /// Actual checksum in hexadecimal.
        got: String,
    },
}
