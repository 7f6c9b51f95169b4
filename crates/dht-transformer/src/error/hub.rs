/// Problem with files of a repository on the hub; [`Error::HubFiles`](crate::Error::HubFiles) names the repository.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubProblem {
    /// The hub was not reached, or closed the connection.
    #[error("{what} could not be fetched: {source}")]
    Request {
        /// File, or the list of files.
        what: String,
        /// Error of the hub's client.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The hub must not be queried, and the file is not in the cache.
    #[error("{what} is not in the cache, and HF_HUB_OFFLINE says not to ask the hub")]
    Offline {
        /// File, or the list of files.
        what: String,
    },
    /// The hub refused the request.
    #[error("the hub answers {status} for {what}: {meaning}")]
    Status {
        /// File, or the list of files.
        what: String,
        /// HTTP status.
        status: u16,
        /// Meaning of the status here.
        meaning: &'static str,
    },
    /// The list of files is invalid.
    #[error("its list of files cannot be read: {message}")]
    Answer {
        /// Problem of the list.
        message: String,
    },
    /// No file belongs to a split.
    #[error("has no parquet files of splits, neither on its branch main nor on refs/convert/parquet")]
    NoSplits,
    /// A configuration must be named, or does not exist.
    #[error("has no configuration {asked:?}; there are {known}: name one, as in hf:OWNER/NAME/CONFIG")]
    Configuration {
        /// Requested configuration, or `default`.
        asked: String,
        /// Existing configurations.
        known: String,
    },
    /// A split does not exist.
    #[error("has no split {wanted}; there are {known}")]
    Split {
        /// Possible names.
        wanted: String,
        /// Existing splits.
        known: String,
    },
    /// The parts of a split are incomplete.
    #[error("the parts of the split {split} do not fit together: {problem}")]
    Parts {
        /// Split name.
        split: String,
        /// Problem of the parts.
        problem: String,
    },
    /// A fetched file cannot be checked.
    #[error("{file} is listed without size and SHA-256, so that it cannot be checked")]
    NoDigest {
        /// File path.
        file: String,
    },
    /// A file does not have the listed size; the fetched file is deleted.
    #[error("{file} has {got} bytes, expected {expected}: it is deleted, try again")]
    Size {
        /// File path.
        file: String,
        /// Listed size.
        expected: u64,
        /// Fetched size.
        got: u64,
    },
    /// A file does not have the listed digest; the fetched file is deleted.
    #[error("{file} has the SHA-256 {got}, expected {expected}: it is deleted, try again")]
    Digest {
        /// File path.
        file: String,
        /// Listed digest.
        expected: String,
        /// Digest of the fetched file.
        got: String,
    },
}
