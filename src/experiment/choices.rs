//! Values of flags that select the model, the search settings and the texts of a run.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use dht_transformer::{config::ModelSize, data::Column};

/// Model to train.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Model {
    /// Hugging Face directory of a pre-trained model.
    Directory(PathBuf),
    /// Size of a new model, which is trained from scratch.
    Size(ModelSize),
}

impl FromStr for Model {
    type Err = std::convert::Infallible;

    /// Parses a size such as `4x4x64`; any other text is the path of a directory.
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

/// Preset of the search settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum SettingsChoice {
    /// This project's settings.
    #[default]
    Ours,
    /// Settings that the paper prints ([`SearchSettings::paper`](dht_search::SearchSettings::paper)), with queues of
    /// the size of a batch. The record lists the differences between the run and the paper.
    Paper,
}

/// Source of the texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataSource {
    /// Embedded generator of texts, which requires no files.
    Embedded,
    /// Files in a directory.
    Directory {
        /// Directory of the files.
        folder: PathBuf,
        /// Text columns; empty to detect them.
        text: Vec<Column>,
        /// Label column; `None` to detect it.
        label: Option<Column>,
        /// True if two text columns are a pair.
        pair: bool,
    },
}
