use std::path::PathBuf;

/// What can go wrong in a run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Data, model or training.
    #[error(transparent)]
    Transformer(#[from] dht_transformer::Error),
    /// The search.
    #[error(transparent)]
    Search(Box<dht_search::Error>),
    /// An argument has a value that it must not have.
    #[error("--{flag} is {got}, expected {expected}")]
    Argument {
        /// The flag, without its dashes.
        flag: &'static str,
        /// What it may be.
        expected: String,
        /// What it is.
        got: String,
    },
    /// An argument that means nothing without another.
    #[error("--{flag} needs --{needs}")]
    Needs {
        /// The flag that was given.
        flag: &'static str,
        /// The flag that is missing.
        needs: &'static str,
    },
    /// Data that nothing can be learnt from.
    #[error("{data} has {got} {what}, expected at least {least}")]
    TooLittle {
        /// The data set.
        data: String,
        /// What there is too little of.
        what: &'static str,
        /// How much would do.
        least: usize,
        /// How much there is.
        got: usize,
    },
    /// A device that this build cannot use.
    #[error("--device {device}: this build has no {device} support; build with `--features {device}`")]
    DeviceNotBuilt {
        /// The device, which is also the feature.
        device: &'static str,
    },
    /// A device that does not answer.
    #[error("--device {device}: {source}")]
    Device {
        /// The device.
        device: &'static str,
        /// What candle said.
        source: candle_core::Error,
    },
    /// A file or directory could not be read or written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file is no record of a run, or a record cannot be written.
    #[error("{path}: {problem}", path = path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: RecordProblem,
    },
    /// A picture could not be drawn.
    #[error("picture {picture}: {message}")]
    Picture {
        /// The picture's file name.
        picture: &'static str,
        /// What the drawing library said.
        message: String,
    },
    /// Another run writes into the same directory.
    #[error("another run writes into {out}; wait for its end, or give this one an --out of its own", out = out.display())]
    InUse {
        /// The directory.
        out: PathBuf,
    },
    /// A run that would begin where another one was stopped.
    #[error(
        "{out} has checkpoints of a run that was stopped ({command}): --resume goes on with it, --restart removes them and \
         begins anew, and another --out leaves them be",
        out = out.display(),
    )]
    Unfinished {
        /// The directory.
        out: PathBuf,
        /// The command that was stopped.
        command: String,
    },
    /// A file that no run wrote, under a name that this run would write.
    #[error("{path} is not a file of such a run, and this one would replace it; move it away, or give another --out", path = path.display())]
    ForeignFile {
        /// The file.
        path: PathBuf,
    },
    /// A run that is to go on from checkpoints, where there are none.
    #[error(
        "--resume: {out} has no checkpoints to go on from{why}; leave --resume out to begin anew",
        out = out.display(), why = if *finished { ", since the run there is finished" } else { "" },
    )]
    NothingToResume {
        /// The directory.
        out: PathBuf,
        /// Whether there is the record of a run.
        finished: bool,
    },
    /// A run that is to go on from checkpoints that other texts made.
    #[error(
        "--resume: by {path}, the checkpoints beside it were made with {stored}, now it is {asked}; ask for those texts \
         and that --max-length, or give --restart instead of it to begin anew",
        path = path.display(),
    )]
    OtherTexts {
        /// The file that says whose the checkpoints are.
        path: PathBuf,
        /// What it says: the sum of the training texts and their longest.
        stored: String,
        /// The same of this run.
        asked: String,
    },
    /// A run that is to go on from checkpoints that another one made.
    #[error(
        "--resume: the run that was stopped in {out} is {stored}, now it is {asked}; ask for that one, or give --restart \
         instead to begin anew",
        out = out.display(),
    )]
    OtherRun {
        /// The directory.
        out: PathBuf,
        /// The command that was stopped.
        stored: String,
        /// That of this run.
        asked: String,
    },
    /// A record of a run that nobody could repeat.
    #[error("{path} does not say which command made it; run the example again and take the record that it writes", path = path.display())]
    NoCommand {
        /// The record.
        path: PathBuf,
    },
    /// A text has no place for numbers.
    #[error("expected the line {start} and after it the line {end}, each once")]
    Markers {
        /// The line before the numbers.
        start: &'static str,
        /// The line after them.
        end: &'static str,
    },
}

/// Why a file is refused as a record, or a record is not written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordProblem {
    /// It is not JSON, or a field is missing or of another type.
    #[error("is not a record: {message}")]
    Content {
        /// What the parser said.
        message: String,
    },
    /// It was written by a later release.
    #[error("has schema {found}, expected at most {supported}")]
    Newer {
        /// The schema of the file.
        found: u64,
        /// The latest that can be read.
        supported: u32,
    },
    /// A number is NaN or infinite, which JSON cannot hold.
    #[error("{field} is not a finite number")]
    NotFinite {
        /// Where, as a path of keys.
        field: String,
    },
}

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl From<dht_search::Error> for Error {
    fn from(error: dht_search::Error) -> Self {
        match error {
            dht_search::Error::Transformer(error) => Self::Transformer(error),
            other => Self::Search(Box::new(other)),
        }
    }
}
