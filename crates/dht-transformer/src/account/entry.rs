//! Entry of an account: an item of a model directory, and its treatment.

use std::fmt;

use serde::Serialize;

/// Treatment of a file, field or tensor of a model directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Treatment {
    /// The item has the effect that it has in `transformers`.
    Obeyed,
    /// The item is known and cannot change an output of the model.
    Harmless,
    /// The item would change outputs of the model in a way that this crate does not compute. The directory cannot be
    /// loaded.
    Refused,
    /// The item is not in any table of this crate, and `transformers` gives the item no effect on outputs of the model.
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

/// File, field or tensor of a model directory, with its treatment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Entry {
    /// Name of the file that contains the item, or of the item if it is a file.
    pub file: String,
    /// Name of the field or tensor; `None` for the file itself.
    pub item: Option<String>,
    /// Treatment of the item.
    pub treatment: Treatment,
    /// Reason for the treatment.
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
