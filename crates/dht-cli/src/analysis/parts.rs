//! Scores of groups of rows: by depth, text length, class size, value or count.

use std::cmp::Ordering;
use std::ops::RangeInclusive;

use serde::Serialize;

use super::estimate::Estimate;

/// Number of groups into which texts are divided by length.
const LENGTHS: usize = 5;
/// Upper bounds of class-size groups, in scored rows of a class.
const CLASS_SIZES: [usize; 5] = [10, 30, 100, 1000, usize::MAX];

/// Group of similar rows, with their mean score.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RowGroup {
    /// Name of the group, such as a range of lengths.
    pub name: String,
    /// Number of rows in the group.
    pub rows: usize,
    /// Mean score of the rows in the group.
    pub score: Estimate,
}

/// Divides item indices, sorted in ascending order, into at most `count` groups of nearly equal size. Equal items are
/// in one group.
pub fn groups<T>(items: &[T], count: usize, order: impl Fn(&T, &T) -> Ordering) -> Vec<Vec<usize>> {
    let mut sorted: Vec<usize> = (0..items.len()).collect();
    sorted.sort_by(|a, b| order(&items[*a], &items[*b]));
    let (mut groups, mut start) = (Vec::new(), 0);
    for group in 1..=count {
        let mut end = group * items.len() / count;
        let is_equal = |at: usize| order(&items[sorted[at - 1]], &items[sorted[at]]) == Ordering::Equal;
        while end > 0 && end < items.len() && is_equal(end) {
            end += 1;
        }
        if end > start {
            groups.push(sorted[start..end].to_vec());
            start = end;
        }
    }
    groups
}

/// Scores of single rows, from which group means with confidence intervals are computed.
#[derive(Debug, Clone, Copy)]
pub enum Scores<'a> {
    /// Correctness of each row's answer; the mean is the accuracy.
    Right(&'a [bool]),
    /// Numeric score of each row.
    Values(&'a [f64]),
}

impl Scores<'_> {
    fn of(self, rows: &[usize]) -> Option<Estimate> {
        match self {
            Self::Right(right) => Estimate::share(rows.iter().filter(|row| right[**row]).count(), rows.len()),
            Self::Values(values) => Estimate::mean(&rows.iter().map(|row| values[*row]).collect::<Vec<_>>()),
        }
    }

    fn part(self, name: String, rows: &[usize]) -> Option<RowGroup> {
        Some(RowGroup { name, rows: rows.len(), score: self.of(rows)? })
    }

    /// Groups rows by the number of layers that ran.
    pub fn by_depth(self, depths: &[usize]) -> Vec<RowGroup> {
        let deepest = depths.iter().copied().max().unwrap_or_default();
        let part = |depth: usize| {
            let rows: Vec<usize> = (0..depths.len()).filter(|row| depths[*row] == depth).collect();
            let name = match depth {
                0 => "before the first layer".into(),
                1 => "after 1 layer".into(),
                depth => format!("after {depth} layers"),
            };
            self.part(name, &rows)
        };
        (0..=deepest).filter_map(part).collect()
    }

    /// Groups rows by their number of tokens, in groups of nearly equal size.
    pub fn by_length(self, tokens: &[usize]) -> Vec<RowGroup> {
        let part = |rows: Vec<usize>| self.part(named(range(tokens, &rows)?, "token"), &rows);
        groups(tokens, LENGTHS, usize::cmp).into_iter().filter_map(part).collect()
    }

    /// Groups rows by the size of their class, the number of scored rows with the class.
    pub fn by_class_size(self, classes: &[u32], sizes: &[usize]) -> Vec<RowGroup> {
        let mut least = 1;
        let mut parts = Vec::new();
        for most in CLASS_SIZES {
            let size = |row: &usize| sizes[classes[*row] as usize];
            let rows: Vec<usize> = (0..classes.len()).filter(|row| (least..=most).contains(&size(row))).collect();
            let count = sizes.iter().filter(|size| (least..=most).contains(*size)).count();
            let name = match most {
                usize::MAX => format!("{count} classes of {least} rows or more"),
                _ => format!("{count} classes of {}", named(least..=most, "row")),
            };
            parts.extend(self.part(name, &rows));
            least = most.saturating_add(1);
        }
        parts
    }

    /// Groups rows by a value, in groups of nearly equal size.
    pub fn by_value(self, values: &[f64]) -> Vec<RowGroup> {
        let part = |rows: Vec<usize>| {
            let own = || rows.iter().map(|row| values[*row]);
            let (low, high) = (own().fold(f64::INFINITY, f64::min), own().fold(f64::NEG_INFINITY, f64::max));
            self.part(if low == high { low.to_string() } else { format!("{low} to {high}") }, &rows)
        };
        groups(values, LENGTHS, f64::total_cmp).into_iter().filter_map(part).collect()
    }

    /// Groups rows by a count, such as the number of labels; `thing` is the noun for group names.
    pub fn by_count(self, counts: &[usize], thing: &str) -> Vec<RowGroup> {
        let most = counts.iter().copied().max().unwrap_or_default();
        let part = |count: usize| {
            let rows: Vec<usize> = (0..counts.len()).filter(|row| counts[*row] == count).collect();
            self.part(named(count..=count, thing), &rows)
        };
        (0..=most).filter_map(part).collect()
    }
}

fn range(values: &[usize], rows: &[usize]) -> Option<RangeInclusive<usize>> {
    let own = || rows.iter().map(|row| values[*row]);
    Some(own().min()?..=own().max()?)
}

fn named(range: RangeInclusive<usize>, thing: &str) -> String {
    let (least, most) = range.into_inner();
    let s = if most == 1 { "" } else { "s" };
    if least == most { format!("{most} {thing}{s}") } else { format!("{least} to {most} {thing}{s}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_split_the_rows_and_no_equal_items() {
        assert_eq!(groups(&[3, 1, 2, 4], 2, i32::cmp), [vec![1, 2], vec![0, 3]]);
        assert_eq!(groups(&[5, 5, 5, 1, 9], 5, i32::cmp), [vec![3], vec![0, 1, 2], vec![4]]);
        assert_eq!(groups(&[2, 2, 2], 2, i32::cmp), [vec![0, 1, 2]]);
        assert!(groups(&[], 3, i32::cmp).is_empty());
    }

    #[test]
    fn parts_have_each_row_once() {
        let right = [true, true, false, true, false, true];
        let scores = Scores::Right(&right);
        let depths = scores.by_depth(&[0, 2, 2, 0, 2, 1]);
        let parts: Vec<(&str, usize, f64)> =
            depths.iter().map(|part| (&*part.name, part.rows, part.score.value)).collect();
        assert_eq!(
            parts,
            [("before the first layer", 2, 1.0), ("after 1 layer", 1, 1.0), ("after 2 layers", 3, 1.0 / 3.0)]
        );
        let sizes = scores.by_class_size(&[0, 0, 0, 0, 0, 1], &[5, 1, 0]);
        assert_eq!((sizes.len(), &*sizes[0].name, sizes[0].rows), (1, "2 classes of 1 to 10 rows", 6));
        let lengths = scores.by_length(&[3, 4, 5, 6, 7, 7]);
        assert_eq!(lengths.iter().map(|part| part.rows).sum::<usize>(), 6);
        assert_eq!(lengths.last().map(|part| &*part.name), Some("7 tokens"));
    }
}
