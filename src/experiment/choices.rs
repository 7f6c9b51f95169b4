//! What the flags of a run choose from: models, settings, dispatch, decisions, texts.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use dht_transformer::{config::ModelSize, data::Column};

/// The model to train.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Model {
    /// A pre-trained model.
    Directory(PathBuf),
    /// A fresh model of this size.
    Size(ModelSize),
}

impl FromStr for Model {
    type Err = std::convert::Infallible;

    /// Parses a size; any other text is the path of a directory.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(text.parse().map_or_else(|_| Self::Directory(text.into()), Self::Size))
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(folder) => folder.display().fmt(f),
            Self::Size(size) => size.fmt(f),
        }
    }
}

/// The settings of the search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum SettingsChoice {
    /// This project's.
    #[default]
    Ours,
    /// What the paper prints ([`SearchSettings::paper`](dht_search::SearchSettings::paper)), with queues of the size of a
    /// batch. The output and the record list where the run differs from the paper.
    Paper,
}

impl SettingsChoice {
    /// How samples are trained together unless a flag says otherwise.
    pub(crate) fn dispatch(self) -> DispatchChoice {
        match self {
            Self::Ours => DispatchChoice::InFlight,
            Self::Paper => DispatchChoice::Queue,
        }
    }
}

/// How samples of different routes are trained together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum DispatchChoice {
    /// As in the paper: a queue for each depth, trained when it is full.
    Queue,
    /// One batch, whose samples are regrouped by route between groups of layers.
    InFlight,
}

/// Where the depth of a text is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Decision {
    /// Once, after the base layers.
    #[default]
    AtTheBase,
    /// At every exit, by the expected gain of deeper exits.
    AtEveryExit,
}

/// The source of the texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataSource {
    /// The generator.
    Embedded,
    /// Files.
    Directory {
        /// Their directory.
        folder: PathBuf,
        /// The text columns; empty to detect them.
        text: Vec<Column>,
        /// The label column; `None` to detect it.
        label: Option<Column>,
        /// Whether two text columns are a pair.
        pair: bool,
    },
}
