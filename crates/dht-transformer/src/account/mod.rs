//! Account of a model's directory: every file, field and tensor that Python's `transformers` 5 reads for a sequence
//! classifier of the supported families, and how this crate treats it.
//!
//! The tables are data: [`files`](self), fields of `config.json`, fields of the tokenizer's files, names of tensors, and
//! classes of `transformers`. The loaders refuse by the same tables that
//! [`inspect_hugging_face`](crate::pretrained::inspect_hugging_face) lists. An item that is in no table is
//! [unknown](Treatment::Unknown), and refused where it could change an answer: a tensor inside a layer, or a class of the
//! model or of the tokenizer.

mod architecture;
mod config_fields;
mod files;
mod rule;
mod tensors;
mod tokenizer_fields;

use std::fmt;

use serde::Serialize;

use crate::error::Error;

pub(crate) use architecture::Architecture;
pub(crate) use config_fields::{config_entries, config_refusals};
pub(crate) use files::file_entry;
pub(crate) use tensors::unused_tensor;
pub(crate) use tokenizer_fields::{TOKENS, TokenizerClass, tokenizer_entries, tokenizer_refusals};

/// Treatment of an item of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Treatment {
    /// The item has the effect that it has in `transformers`.
    Obeyed,
    /// The item is known and cannot change an answer.
    Harmless,
    /// The item would change answers in a way that this crate does not compute: the directory cannot be loaded.
    Refused,
    /// The item is in no table, and `transformers` gives it no effect on answers.
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

/// An item of a directory, with its treatment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Entry {
    /// The file that the item is in; for a file, its own name.
    pub file: String,
    /// The field or tensor; `None` for the file itself.
    pub item: Option<String>,
    /// The treatment.
    pub treatment: Treatment,
    /// The reason.
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

/// A reason that a directory cannot be loaded.
#[derive(Debug)]
#[non_exhaustive]
pub struct Problem {
    /// The error that loading reports.
    pub error: Error,
    /// Whether an encoder can be trained from the directory all the same, so that only its use as a classifier is refused.
    pub classifier_alone: bool,
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self { error, classifier_alone: false }
    }
}

/// The items of a directory and the reasons that it cannot be loaded.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Account {
    /// All items: files, then fields and tensors by file.
    pub entries: Vec<Entry>,
    /// All problems; empty for a directory that [`TextClassifier::load`](crate::TextClassifier::load) and
    /// [`TextTokenizer::from_dir`](crate::TextTokenizer::from_dir) accept.
    pub problems: Vec<Problem>,
    /// The names of the classes, where the directory holds a classifier.
    pub labels: Option<Vec<String>>,
    /// The maximal length of a text in tokens: `model_max_length`, bounded by the positions.
    pub max_length: Option<usize>,
}

impl Account {
    /// Whether the names of the classes are placeholders: `LABEL_0`, `LABEL_1` and so on.
    pub fn has_placeholder_names(&self) -> bool {
        let mut names = self.labels.iter().flatten().enumerate();
        names.all(|(class, name)| *name == format!("LABEL_{class}"))
    }

    /// Whether the directory is a classifier that can be used as it is.
    pub fn is_classifier(&self) -> bool {
        self.problems.is_empty()
    }

    /// Whether an encoder can be trained from the directory.
    pub fn is_start(&self) -> bool {
        self.problems.iter().all(|problem| problem.classifier_alone)
    }
}
