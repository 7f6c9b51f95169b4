//! Advice for errors of a data set: the flags that resolve them.

use dht_dynamic::transformer::Error;
use dht_dynamic::transformer::error::DataProblem;

/// Flags that resolve an error of a data set, in parentheses after a space; empty if there are none.
pub(super) fn advice(error: &Error) -> String {
    let Error::Data { problem, .. } = error else { return String::new() };
    flags(problem).map_or_else(String::new, |flags| format!(" ({flags})"))
}

fn flags(problem: &DataProblem) -> Option<String> {
    let flags = match problem {
        DataProblem::NestedValue { .. } | DataProblem::NestedCell { .. } => {
            return Some("for several labels `--task labels`".into());
        }
        DataProblem::Encoding { instead, .. } if instead.starts_with("name the separator") => "`--separator`",
        DataProblem::StrayQuote { cause, .. } if cause.starts_with("name the separator") => "`--separator`",
        DataProblem::OneColumn { other } if !other.is_empty() => "`--separator`",
        DataProblem::FirstRow => "`--header` or `--no-header`",
        DataProblem::OtherWidth { .. } | DataProblem::NoTextColumn | DataProblem::PairColumns { .. } => {
            "`--text-column`"
        }
        DataProblem::TextColumns { .. } => "`--text-column`, for sentence pairs also `--pair`",
        DataProblem::NoLabelColumn { .. } | DataProblem::LabelColumns { .. } => "`--label-column`",
        DataProblem::FlagColumns { .. } => "`--label-columns`, or `--label-column`",
        DataProblem::UniqueLabels { .. } => "`--label-column`, for numbers `--task number`",
        DataProblem::UncertainLabel { column, .. } => {
            return Some(format!("`--label-column {column}`"));
        }
        DataProblem::OtherLabels { .. }
        | DataProblem::NoSuchClass { .. }
        | DataProblem::NoSuchLabel { .. }
        | DataProblem::TwoClasses { .. }
        | DataProblem::TwoSpellings { .. } => "`--label-map LABEL=CLASS`",
        DataProblem::FractionLabels { .. } => "`--task class` or `--task number`",
        DataProblem::NotUtf8 { .. } | DataProblem::OtherEncoding { .. } | DataProblem::Binary => "`--encoding`",
        DataProblem::Separator { .. } => "`--label-separator`",
        DataProblem::NoRowOfClass { .. } => "`--train-rows`",
        _ => return None,
    };
    Some(flags.into())
}
