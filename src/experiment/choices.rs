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
    /// batch. The record lists where the run differs from the paper.
    Paper,
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
