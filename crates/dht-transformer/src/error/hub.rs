/// What is wrong with files of a repository on the hub; [`Error::HubFiles`](crate::Error::HubFiles) names it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubProblem {
    /// The hub was not reached, or hung up.
    #[error("{what} could not be fetched: {source}")]
    Request {
        /// The file, or the list of files.
        what: String,
        /// What the hub's client said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The hub is not to be asked, and this is not in the cache.
    #[error("{what} is not in the cache, and HF_HUB_OFFLINE says not to ask the hub")]
    Offline {
        /// The file, or the list of files.
        what: String,
    },
    /// The hub refused.
    #[error("the hub answers {status} for {what}: {meaning}")]
    Status {
        /// The file, or the list of files.
        what: String,
        /// The status of HTTP.
        status: u16,
        /// What it means here.
        meaning: &'static str,
    },
    /// The list of files is not as it should be.
    #[error("its list of files cannot be read: {message}")]
    Answer {
        /// What is wrong with it.
        message: String,
    },
    /// There is no file of a split.
    #[error("has no parquet files of splits, neither on its branch main nor on refs/convert/parquet")]
    NoSplits,
    /// A configuration must be named, or is not there.
    #[error("has no configuration {asked:?}; there are {known}: name one, as in hf:OWNER/NAME/CONFIG")]
    Configuration {
        /// The one that was asked for, or `default`.
        asked: String,
        /// Those that are there.
        known: String,
    },
    /// A split is not there.
    #[error("has no split {wanted}; there are {known}")]
    Split {
        /// The names that were looked for.
        wanted: String,
        /// Those that are there.
        known: String,
    },
    /// The parts of a split are not all there.
    #[error("the parts of the split {split} do not fit together: {problem}")]
    Parts {
        /// The split.
        split: String,
        /// What is wrong.
        problem: String,
    },
    /// A file that cannot be checked after it was fetched.
    #[error("{file} is listed without size and SHA-256, so that it cannot be checked")]
    NoDigest {
        /// The file.
        file: String,
    },
    /// A file is not as long as the hub says; what was fetched is deleted.
    #[error("{file} has {got} bytes, expected {expected}: it is deleted, try again")]
    Size {
        /// The file.
        file: String,
        /// As listed.
        expected: u64,
        /// As fetched.
        got: u64,
    },
    /// A file is not the one that the hub lists; what was fetched is deleted.
    #[error("{file} has the SHA-256 {got}, expected {expected}: it is deleted, try again")]
    Digest {
        /// The file.
        file: String,
        /// As listed.
        expected: String,
        /// As fetched.
        got: String,
    },
}
