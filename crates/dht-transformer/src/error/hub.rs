/// Problem with the files of a repository on the Hugging Face hub; [`Error::HubFiles`](crate::Error::HubFiles) names
/// the repository.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubProblem {
    /// The hub was not reached, or closed the connection.
    #[error("{what} could not be fetched: {source}")]
    Request {
        /// Requested file, or the list of files.
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
        /// Explanation of the status.
        meaning: &'static str,
    },
    /// The list of files is invalid.
    #[error("its list of files cannot be read: {message}")]
    Answer {
        /// Problem of the list.
        message: String,
    },
    /// The repository does not have the revision.
    #[error("has no revision {asked:?}; there are {known}, and its commits by their full hash")]
    Revision {
        /// Requested revision.
        asked: String,
        /// Existing branches and tags.
        known: String,
    },
    /// The repository does not have a file that a model needs.
    #[error("has no {wanted}; its files are {found}")]
    NoFile {
        /// Needed file.
        wanted: String,
        /// Existing files.
        found: String,
    },
    /// The repository has no parquet file of a split.
    #[error("has no parquet files of splits on {places}")]
    NoSplits {
        /// Revisions that were searched.
        places: String,
    },
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
        /// Possible names of the split.
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
    /// A fetched file cannot be checked, since the hub lists neither its size nor its SHA-256 checksum.
    #[error("{file} is listed without size and SHA-256, so that it cannot be checked")]
    NoDigest {
        /// File path.
        file: String,
    },
    /// A fetched file does not have the size that the hub lists, and is deleted.
    #[error("{file} has {got} bytes, expected {expected}: it is deleted, try again")]
    Size {
        /// File path.
        file: String,
        /// Size that the hub lists, in bytes.
        expected: u64,
        /// Size of the fetched file, in bytes.
        got: u64,
    },
    /// A fetched file does not have the digest that the hub lists, and is deleted.
    #[error("{file} has the SHA-256 {got}, expected {expected}: it is deleted, try again")]
    Digest {
        /// File path.
        file: String,
        /// Digest that the hub lists, in hexadecimal.
        expected: String,
        /// Digest of the fetched file.
        got: String,
    },
}
