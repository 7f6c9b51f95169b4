//! Advice on how to go on after a refused data set.

use std::fmt;

use dht_dynamic::transformer::Error;
use dht_dynamic::transformer::error::DataProblem;

/// Action by which a user solves a problem of a data set. The problem itself may say more, such as the line to remove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Advice {
    /// Give the command one of these flags.
    Flag(String),
    /// Write the file in another way, and perhaps give the command a flag.
    Edit(&'static str),
}

impl Advice {
    /// Advice on an error in parentheses, after a space; empty if there is none.
    pub(super) fn shown(error: &Error) -> String {
        let Error::Data { problem, .. } = error else { return String::new() };
        Self::on(problem).map_or_else(String::new, |advice| format!(" ({advice})"))
    }

    fn on(problem: &DataProblem) -> Option<Self> {
        let flags = match problem {
            DataProblem::NestedValue { .. } | DataProblem::NestedCell { .. } => {
                return Some(Self::Flag("for several labels `--task labels`".into()));
            }
            DataProblem::OneColumn { other } if !other.is_empty() => "`--separator`",
            DataProblem::FirstRow => "`--header` or `--no-header`",
            DataProblem::OtherWidth { .. } | DataProblem::NoTextColumn | DataProblem::PairColumns { .. } => {
                "`--text-column`"
            }
            DataProblem::TextColumns { .. } => "`--text-column`, for sentence pairs also `--pair`",
            DataProblem::NoLabelColumn { .. } | DataProblem::LabelColumns { .. } => "`--label-column`",
            DataProblem::UniqueLabels { .. } => "`--label-column`, for numbers `--task number`",
            DataProblem::UncertainLabel { column, .. } => {
                return Some(Self::Flag(format!("`--label-column {column}`")));
            }
            DataProblem::OtherLabels { .. }
            | DataProblem::NoSuchClass { .. }
            | DataProblem::NoSuchLabel { .. }
            | DataProblem::TwoClasses { .. }
            | DataProblem::TwoSpellings { .. } => "`--label-map LABEL=CLASS`",
            DataProblem::FractionLabels { .. } => "`--task class` or `--task number`",
            DataProblem::NotUtf8 { .. } | DataProblem::Binary => "`--encoding`",
            DataProblem::Separator { .. } => "`--label-separator`",
            DataProblem::NoRowOfClass { .. } => "`--train-rows`",
            _ => return None,
        };
        Some(Self::Flag(flags.into()))
    }
}

impl fmt::Display for Advice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flags) => formatter.write_str(flags),
            Self::Edit(edit) => formatter.write_str(edit),
        }
    }
}
