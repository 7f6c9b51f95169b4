//! List of the rows that a person should look at, the most useful first.

use std::collections::BTreeMap;

use super::duplicates::Duplicate;
use super::labels::Doubt;

/// Reason why a person should look at a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Problem {
    /// An equal text has another label.
    TwoLabels {
        /// Index of the row with the other text.
        other: usize,
    },
    /// A model that was fitted on the other rows finds another label likelier.
    Label(Doubt),
    /// A nearly equal text has another label.
    NearTwoLabels {
        /// Index of the row with the other text.
        other: usize,
    },
    /// An equal or nearly equal text has the same label.
    Repeated {
        /// Index of the row with the other text.
        other: usize,
        /// True if the texts are equal in all letters and digits.
        equal: bool,
    },
}

impl Problem {
    /// Name of the problem in the table.
    pub fn name(&self) -> &'static str {
        match self {
            Self::TwoLabels { .. } => "two labels for one text",
            Self::Label(_) => "label",
            Self::NearTwoLabels { .. } => "two labels for nearly one text",
            Self::Repeated { equal: true, .. } => "repeated",
            Self::Repeated { equal: false, .. } => "nearly repeated",
        }
    }

    fn rank(&self) -> usize {
        match self {
            Self::TwoLabels { .. } => 0,
            Self::Label(_) => 1,
            Self::NearTwoLabels { .. } => 2,
            Self::Repeated { .. } => 3,
        }
    }
}

/// Row that a person should look at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Finding {
    /// Index of the row.
    pub row: usize,
    /// Reason to look at the row.
    pub problem: Problem,
}

/// Merges the problems into one list with one problem for each row. The most useful kinds come first, and each kind
/// keeps its own order.
pub fn findings(labels: &[u32], duplicates: &[Duplicate], doubts: &[Doubt]) -> Vec<Finding> {
    let of_duplicate = |duplicate: &Duplicate| {
        let Duplicate { row, of: other, equal } = *duplicate;
        let problem = match (labels[row] == labels[other], equal) {
            (true, _) => Problem::Repeated { other, equal },
            (false, true) => Problem::TwoLabels { other },
            (false, false) => Problem::NearTwoLabels { other },
        };
        Finding { row, problem }
    };
    let of_doubt = |doubt: &Doubt| Finding { row: doubt.row, problem: Problem::Label(*doubt) };
    let mut all: Vec<Finding> = doubts.iter().map(of_doubt).chain(duplicates.iter().map(of_duplicate)).collect();
    all.sort_by_key(|finding| finding.problem.rank());
    let mut seen: BTreeMap<usize, ()> = BTreeMap::new();
    all.retain(|finding| seen.insert(finding.row, ()).is_none());
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_has_its_most_useful_problem() {
        let doubt = |row| Doubt { row, suggested: 1, of_label: 0.1, of_suggested: 0.9 };
        let duplicate = |row, of, equal| Duplicate { row, of, equal };
        let labels = [0, 1, 0, 0, 1, 0];
        let findings = findings(
            &labels,
            &[duplicate(1, 0, true), duplicate(3, 2, true), duplicate(4, 0, false), duplicate(5, 2, false)],
            &[doubt(3), doubt(1)],
        );
        let names: Vec<(usize, &str)> = findings.iter().map(|finding| (finding.row, finding.problem.name())).collect();
        let expected = [
            (1, "two labels for one text"),
            (3, "label"),
            (4, "two labels for nearly one text"),
            (5, "nearly repeated"),
        ];
        assert_eq!(names, expected);
    }
}
