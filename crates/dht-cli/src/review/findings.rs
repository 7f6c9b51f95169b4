//! Rows of labelled data that a person should review, most useful first.

use std::collections::BTreeMap;

use super::duplicates::Duplicate;
use super::labels::Doubt;

/// Reason to review a row of labelled data.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Problem {
    /// Equal text in another row, with another label.
    TwoLabels {
        /// Index of the other row.
        other: usize,
    },
    /// Label that a model, fitted on other rows, finds less likely than another class.
    Label(Doubt),
    /// Nearly equal text in another row, with another label.
    NearTwoLabels {
        /// Index of the other row.
        other: usize,
    },
    /// Equal or nearly equal text in an earlier row, with the same label.
    Repeated {
        /// Index of the other row.
        other: usize,
        /// True if the texts are equal in all letters and digits; false if they are nearly equal.
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

/// Row of labelled data that a person should review.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Finding {
    /// Index of the row.
    pub row: usize,
    /// Reason to review the row.
    pub problem: Problem,
}

/// Merges all problems into one list, with one problem for each row. More useful types of problems come first; within a
/// type the order is unchanged.
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
