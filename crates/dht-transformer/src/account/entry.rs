//! Entry of an account (inspection report): one file, field or tensor of a model directory, and how it is treated.

use std::fmt;

use serde::Serialize;

/// Treatment of a file, field or tensor when a model directory is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Treatment {
    /// Applied: the file, field or tensor has the same effect as in `transformers`.
    Obeyed,
    /// Ignored: the file, field or tensor cannot change an output of the model.
    Harmless,
    /// Prevents loading: the file, field or tensor would change outputs of the model in a way that this crate does not
    /// compute.
    Refused,
    /// Ignored: this crate does not know the file, field or tensor, and in `transformers` it has no effect on outputs
    /// of the model.
    Unknown,
}

impl fmt::Display for Treatment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Obeyed => "obeyed",
            Self::Harmless => "harmless",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
        })
    }
}

/// File, field or tensor of a model directory, and how it is treated when the model is loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Entry {
    /// Name of the file. For a field or tensor, the name of the file that contains it.
    pub file: String,
    /// Name of the field or tensor; `None` if the entry is about a whole file.
    pub item: Option<String>,
    /// Treatment of the file, field or tensor when the model is loaded.
    pub treatment: Treatment,
    /// Reason for this treatment.
    pub reason: String,
}

impl Entry {
    pub(crate) fn new(
        file: impl Into<String>,
        item: Option<&str>,
        treatment: Treatment,
        reason: impl Into<String>,
    ) -> Self {
        Self { file: file.into(), item: item.map(str::to_owned), treatment, reason: reason.into() }
    }
}
