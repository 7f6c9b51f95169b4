//! Detection of labels that are probably wrong, by a model fitted on other rows.

use std::collections::BTreeMap;

/// Label that is probably wrong, by a model fitted on other rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Doubt {
    /// Index of the row with this label.
    pub row: usize,
    /// Most likely class by a model that was fitted on other rows.
    pub suggested: usize,
    /// Predicted probability of the row's label.
    pub of_label: f64,
    /// Predicted probability of the suggested class.
    pub of_suggested: f64,
}

/// Finds rows whose label is not the most likely class by out-of-fold log-probabilities, which do not depend on the
/// row's own label. Rows are in ascending order of p(label) − p(suggested), the "normalised margin" (Northcutt et al.
/// 2021).
pub fn doubts<'a>(labels: &[u32], log_probabilities: impl Iterator<Item = &'a [f64]>) -> Vec<Doubt> {
    let of_row = |(row, (label, logs)): (usize, (&u32, &[f64]))| {
        let best = (0..logs.len()).max_by(|a, b| logs[*a].total_cmp(&logs[*b]).then(b.cmp(a)))?;
        let (own, of_suggested) = (logs[*label as usize].exp(), logs[best].exp());
        (best != *label as usize).then_some(Doubt { row, suggested: best, of_label: own, of_suggested })
    };
    let mut doubts: Vec<Doubt> = labels.iter().zip(log_probabilities).enumerate().filter_map(of_row).collect();
    let margin = |doubt: &Doubt| doubt.of_label - doubt.of_suggested;
    doubts.sort_by(|a, b| margin(a).total_cmp(&margin(b)).then(a.row.cmp(&b.row)));
    doubts
}

/// Groups labels that differ only in case, spaces and punctuation.
pub fn spellings(labels: &[String]) -> Vec<Vec<&str>> {
    let mut groups: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for label in labels {
        let letters: String =
            label.chars().filter(|sign| sign.is_alphanumeric()).flat_map(char::to_lowercase).collect();
        if !letters.is_empty() {
            groups.entry(letters).or_default().push(label);
        }
    }
    groups.into_values().filter(|labels| labels.len() > 1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_margin_comes_first() {
        let rows = [[0.9_f64, 0.1], [0.4, 0.6], [0.05, 0.95], [0.5, 0.5]].map(|row| row.map(f64::ln));
        let doubts = doubts(&[0, 0, 0, 1], rows.iter().map(|row| &row[..]));
        // The last row is a tie, in which the first class is the answer.
        assert_eq!(
            doubts.iter().map(|doubt| (doubt.row, doubt.suggested)).collect::<Vec<_>>(),
            [(2, 1), (1, 1), (3, 0)]
        );
        assert!((doubts[0].of_label - 0.05).abs() < 1e-12);
    }

    #[test]
    fn labels_of_one_spelling_are_grouped() {
        let labels = ["Sports", "sport", "sports ", "new-york", "New York", "!"].map(String::from);
        assert_eq!(spellings(&labels), [vec!["new-york", "New York"], vec!["Sports", "sports "]]);
    }
}
