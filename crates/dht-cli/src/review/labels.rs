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

/// Share of wrong labels that is assumed before the labels are seen. Each other class is equally likely.
const NOISE: f64 = 0.02;
/// Number of rows of each class by which the assumed share counts.
const PRIOR_ROWS: f64 = 10.0;
/// Number of steps in which the noise of each class is estimated.
const STEPS: usize = 2;

/// Finds rows whose label is not the most likely class by out-of-fold log-probabilities, which do not depend on the
/// row's own label. Rows are in ascending order of the probability that their label is right.
pub fn doubts<'a>(labels: &[u32], log_probabilities: impl Iterator<Item = &'a [f64]>) -> Vec<Doubt> {
    let probabilities: Vec<Vec<f64>> =
        log_probabilities.map(|logs| logs.iter().map(|log| log.exp()).collect()).collect();
    let right = right(labels, &probabilities);
    let of_row = |(row, (label, p)): (usize, (&u32, &Vec<f64>))| {
        let best = (0..p.len()).max_by(|a, b| p[*a].total_cmp(&p[*b]).then(b.cmp(a)))?;
        let doubt = Doubt { row, suggested: best, of_label: p[*label as usize], of_suggested: p[best] };
        (best != *label as usize).then_some(doubt)
    };
    let mut doubts: Vec<Doubt> = labels.iter().zip(&probabilities).enumerate().filter_map(of_row).collect();
    doubts.sort_by(|a, b| right[a.row].total_cmp(&right[b.row]).then(a.row.cmp(&b.row)));
    doubts
}

/// Probability that each label is right.
///
/// A label y is assumed to be drawn from the true class k with probability T(k, y), whatever the text. By Bayes' rule,
/// the label is right with probability p(y)·T(y, y) / Σₖ p(k)·T(k, y), where p are the out-of-fold probabilities. T is
/// estimated by expectation maximisation (Dawid and Skene 1979) from a prior of uniform noise. If labels are confused
/// with some classes more than with others, this order is better than that of p(y) or of the margin to the suggested
/// class; docs/review.md has measurements.
fn right(labels: &[u32], probabilities: &[Vec<f64>]) -> Vec<f64> {
    let classes = probabilities.first().map_or(0, Vec::len);
    let prior = |truth: usize, label: usize| match truth == label {
        true => 1.0 - NOISE,
        false => NOISE / (classes.max(2) - 1) as f64,
    };
    // Rows are labels, so that the probabilities of one label are consecutive.
    let mut noise: Vec<Vec<f64>> =
        (0..classes).map(|label| (0..classes).map(|truth| prior(truth, label)).collect()).collect();
    let posterior = |noise: &[Vec<f64>], row: usize| -> Vec<f64> {
        let joint = probabilities[row].iter().zip(&noise[labels[row] as usize]).map(|(p, noise)| p * noise);
        let joint: Vec<f64> = joint.collect();
        let sum = joint.iter().sum::<f64>().max(f64::MIN_POSITIVE);
        joint.into_iter().map(|value| value / sum).collect()
    };
    for _ in 0..STEPS {
        let mut counts: Vec<Vec<f64>> =
            (0..classes).map(|label| (0..classes).map(|truth| PRIOR_ROWS * prior(truth, label)).collect()).collect();
        for (row, label) in labels.iter().enumerate() {
            let of_label = &mut counts[*label as usize];
            of_label.iter_mut().zip(posterior(&noise, row)).for_each(|(count, share)| *count += share);
        }
        let sums: Vec<f64> = (0..classes).map(|truth| counts.iter().map(|row| row[truth]).sum()).collect();
        let normalised = |row: Vec<f64>| row.into_iter().zip(&sums).map(|(count, sum)| count / sum).collect();
        noise = counts.into_iter().map(normalised).collect();
    }
    labels.iter().enumerate().map(|(row, label)| posterior(&noise, row)[*label as usize]).collect()
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
    use rand::RngExt;

    use super::*;

    #[test]
    fn the_least_probable_label_comes_first() {
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
    fn one_sided_noise_is_learned() {
        // Class 0 is easily taken for class 1. One in twenty rows of class 0 is labelled 2.
        let mut rng = dht_toys::rng(5);
        let (mut labels, mut rows, mut wrong) = (Vec::new(), Vec::new(), Vec::new());
        for row in 0..3000_usize {
            let truth = row % 3;
            let score = |class: usize, rng: &mut rand_chacha::ChaCha8Rng| {
                let distance = if class == truth {
                    3.0
                } else if class + truth == 1 {
                    2.0
                } else {
                    0.5
                };
                distance + 2.0 * (rng.random::<f64>() + rng.random::<f64>() - 1.0)
            };
            let scores = [0, 1, 2].map(|class| score(class, &mut rng));
            let sum: f64 = scores.iter().map(|score| score.exp()).sum();
            rows.push(scores.map(|score| score - sum.ln()));
            let is_wrong = truth == 0 && rng.random::<f64>() < 0.05;
            labels.push(if is_wrong { 2 } else { truth as u32 });
            wrong.extend(is_wrong.then_some(row));
        }
        let share =
            |order: &mut dyn Iterator<Item = usize>| order.take(wrong.len()).filter(|row| wrong.contains(row)).count();
        let doubts = doubts(&labels, rows.iter().map(|row| &row[..]));
        let learned = share(&mut doubts.iter().map(|doubt| doubt.row));
        let mut by_margin = doubts.clone();
        by_margin.sort_by(|a, b| (a.of_label - a.of_suggested).total_cmp(&(b.of_label - b.of_suggested)));
        let margin = share(&mut by_margin.iter().map(|doubt| doubt.row));
        assert!(learned > margin && 2 * learned > wrong.len(), "{learned}, {margin} of {}", wrong.len());
        assert!(super::doubts(&[], std::iter::empty()).is_empty());
    }

    #[test]
    fn labels_of_one_spelling_are_grouped() {
        let labels = ["Sports", "sport", "sports ", "new-york", "New York", "!"].map(String::from);
        assert_eq!(spellings(&labels), [vec!["new-york", "New York"], vec!["Sports", "sports "]]);
    }
}
