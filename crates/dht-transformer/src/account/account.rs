//! The account of a directory: its items, and the reasons that it cannot be loaded.

use super::entry::Entry;
use crate::error::Error;

/// A reason that a directory cannot be loaded.
#[derive(Debug)]
#[non_exhaustive]
pub struct Problem {
    /// The error that loading returns.
    pub error: Error,
    /// `true` if an encoder can still be trained from the directory, so that only loading it as a classifier is
    /// refused.
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
    /// All items: first the files, then the fields and tensors of each file.
    pub entries: Vec<Entry>,
    /// All problems; empty for a directory that [`TextClassifier::load`](crate::TextClassifier::load) and
    /// [`TextTokenizer::from_dir`](crate::TextTokenizer::from_dir) accept.
    pub problems: Vec<Problem>,
    /// Class names, if the directory holds a classifier.
    pub labels: Option<Vec<String>>,
    /// Maximum length of a text in tokens: `model_max_length`, at most the number of positions.
    pub max_length: Option<usize>,
}

impl Account {
    /// Returns whether the class names are placeholders: `LABEL_0`, `LABEL_1` and so on.
    pub fn has_placeholder_names(&self) -> bool {
        let mut names = self.labels.iter().flatten().enumerate();
        names.all(|(class, name)| *name == format!("LABEL_{class}"))
    }

    /// Returns whether the directory is a classifier that can be used unchanged.
    pub fn is_classifier(&self) -> bool {
        self.problems.is_empty()
    }

    /// Returns whether an encoder can be trained from the directory.
    pub fn is_start(&self) -> bool {
        self.problems.iter().all(|problem| problem.classifier_alone)
    }
}
