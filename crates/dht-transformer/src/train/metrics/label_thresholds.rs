//! Probability thresholds that decide which labels apply to a text.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, same_length};

/// Probability threshold of each label. A label applies to a text if its probability is at least its threshold.
///
/// # Examples
/// ```
/// use dht_transformer::train::metrics::LabelThresholds;
///
/// let thresholds = LabelThresholds::even(2);
/// assert_eq!(thresholds.applying(&[0.7, 0.4]), [0]);
/// assert!(thresholds.applying(&[0.2, 0.4]).is_empty());
/// // Where each text has a label, the nearest one applies.
/// assert_eq!(LabelThresholds { never_empty: true, ..thresholds }.applying(&[0.2, 0.4]), [1]);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelThresholds {
    /// Threshold of each label: the minimum probability at which it applies, above 0 and below 1.
    pub least: Vec<f32>,
    /// `true` to assign one label to a text in which no label reaches its threshold: the label whose log-odds are
    /// nearest to the log-odds of its threshold.
    pub never_empty: bool,
}

/// Minimum number of texts that have a label, and of texts that lack it. With fewer texts of either kind, the label's
/// threshold is not fitted.
const LEAST_TEXTS: usize = 10;

impl LabelThresholds {
    /// Creates thresholds of 0.5 for all labels.
    pub fn even(labels: usize) -> Self {
        Self { least: vec![0.5; labels], never_empty: false }
    }

    /// Fits the threshold of each label to labelled texts, by the F1 score of the label.
    ///
    /// With calibrated probabilities the best threshold is half of the best F1 (Lipton, Elkan and Naryanaswamy 2014).
    /// The threshold with the highest F1 on few texts is mostly due to chance. Therefore, of all thresholds whose F1 is
    /// within one standard error of the highest, the one nearest to half of the best F1 is selected. The threshold
    /// remains 0.5 for a label that fewer than ten texts have, or that fewer than ten texts do not have. If each text
    /// has a label, [`never_empty`](Self::never_empty) is set.
    ///
    /// # Errors
    /// [`Error::Shape`] if truth and probabilities differ in the number of texts or labels.
    pub fn fit(truth: &[Vec<f32>], probabilities: &[Vec<f32>]) -> Result<Self> {
        same_length("probabilities", truth.len(), probabilities.len())?;
        let labels = truth.first().map_or(0, Vec::len);
        for (truth, probabilities) in truth.iter().zip(probabilities) {
            same_length("truth", labels, truth.len())?;
            same_length("probabilities", labels, probabilities.len())?;
        }
        let of_label = |label: usize| {
            let rows = truth.iter().zip(probabilities);
            best_threshold(rows.map(|(truth, row)| (log_odds(row[label]), truth[label] >= 0.5)).collect())
        };
        let has_label = |truth: &Vec<f32>| truth.iter().any(|target| *target >= 0.5);
        let never_empty = !truth.is_empty() && truth.iter().all(has_label);
        Ok(Self { least: (0..labels).map(of_label).collect(), never_empty })
    }

    /// Checks that the thresholds are valid for a model with `labels` labels.
    ///
    /// # Errors
    /// [`Error::Argument`] if the number of thresholds differs from the number of labels, or a threshold is not above 0
    /// and below 1.
    pub fn check(&self, labels: usize) -> Result<()> {
        if self.least.len() != labels {
            return Err(Error::argument(
                "thresholds",
                format!("one for each of {labels} labels"),
                self.least.len().to_string(),
            ));
        }
        match self.least.iter().find(|least| !(**least > 0.0 && **least < 1.0)) {
            Some(least) => Err(Error::argument("threshold", "above 0 and below 1", least.to_string())),
            None => Ok(()),
        }
    }

    /// Labels that apply to a text with these label probabilities, in ascending order. Probabilities without a
    /// threshold are ignored.
    pub fn applying(&self, probabilities: &[f32]) -> Vec<usize> {
        let rows = || self.least.iter().zip(probabilities).enumerate();
        let labels: Vec<usize> = rows().filter(|(_, (least, p))| p >= least).map(|(label, _)| label).collect();
        if !labels.is_empty() || !self.never_empty {
            return labels;
        }
        let distance = |(least, p): (&f32, &f32)| log_odds(*p) - log_odds(*least);
        rows().max_by(|a, b| distance(a.1).total_cmp(&distance(b.1))).map(|(label, _)| label).into_iter().collect()
    }
}

fn log_odds(probability: f32) -> f64 {
    let p = f64::from(probability).clamp(1e-12, 1.0 - 1e-7);
    (p / (1.0 - p)).ln()
}

/// Fits the threshold of one label as [`LabelThresholds::fit`] describes. Each row belongs to a text: the log-odds of
/// the label's probability, and whether the text has the label.
fn best_threshold(mut rows: Vec<(f64, bool)>) -> f32 {
    let with = rows.iter().filter(|(_, has)| *has).count();
    if with < LEAST_TEXTS || rows.len() - with < LEAST_TEXTS {
        return 0.5;
    }
    rows.sort_by(|a, b| b.0.total_cmp(&a.0));
    // F1 = 2·TP / (labels given + labels there), and the log-odds between the texts with and without the label.
    let (mut right, mut cuts) = (0, Vec::new());
    for (before, pair) in rows.windows(2).enumerate() {
        right += usize::from(pair[0].1);
        if pair[0].0 > pair[1].0 {
            cuts.push((2.0 * right as f64 / (before + 1 + with) as f64, [pair[1].0, pair[0].0]));
        }
    }
    let best = cuts.iter().map(|(f1, _)| *f1).fold(0.0, f64::max);
    let (error, target) = ((best * (1.0 - best) / with as f64).sqrt(), log_odds(best as f32 / 2.0));
    let near = cuts.iter().filter(|(f1, _)| *f1 >= best - error).map(|(_, [low, high])| {
        // Not at the end of a gap, where the next text decides.
        let margin = (high - low) / 4.0;
        target.clamp(low + margin, high - margin)
    });
    let nearest = near.min_by(|a, b| (a - target).abs().total_cmp(&(b - target).abs())).unwrap_or_default();
    (1.0 / (1.0 + (-nearest).exp())) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::metrics::LabelCounts;

    /// Creates test data of `rows` texts with two labels: true labels and probabilities. The probabilities of the first
    /// label are too low.
    fn texts(rows: usize) -> (Vec<Vec<f32>>, Vec<Vec<f32>>) {
        let row = |row: usize| {
            let (has, noise) = (row.is_multiple_of(4), (row * 37 % 100) as f32 / 1000.0);
            let low = if has { 0.2 + noise } else { 0.02 + noise };
            (vec![f32::from(u8::from(has)), f32::from(u8::from(!has))], vec![low, if has { 0.1 } else { 0.9 }])
        };
        (0..rows).map(row).unzip()
    }

    #[test]
    fn a_label_with_low_probabilities_gets_a_low_threshold() {
        let (truth, probabilities) = texts(200);
        let fitted = LabelThresholds::fit(&truth, &probabilities).unwrap();
        assert!((0.1..0.25).contains(&fitted.least[0]), "{fitted:?}");
        assert_eq!((fitted.least[1], fitted.never_empty), (0.5, true));
        let counts =
            |thresholds: &LabelThresholds| LabelCounts::of_thresholds(&truth, &probabilities, thresholds).unwrap();
        assert!(counts(&LabelThresholds::even(2)).f1(0) == 0.0 && counts(&fitted).macro_f1() > 0.999);
    }

    #[test]
    fn calibrated_probabilities_get_half_of_the_best_f1() {
        // A label with probability p where the model says p: 4,000 texts, p even between 0 and 1.
        let text = |row: u32| (f64::from(row) + 0.5) / 4000.0;
        let rows: Vec<(f64, bool)> = (0..4000)
            .map(|row| (log_odds(text(row) as f32), f64::from(row * 7919 % 4000) / 4000.0 < text(row)))
            .collect();
        // Expected F1 at threshold t: 2·(1 − t²)/2 / ((1 − t) + ½), largest at t = (3 − √5)/2.
        let expected = (3.0 - 5.0_f64.sqrt()) / 2.0;
        let fitted = f64::from(best_threshold(rows.clone()));
        assert!((fitted - expected).abs() < 0.02, "{fitted} and {expected}");
        // Where all probabilities are a tenth of that, the threshold is, too, within its standard error.
        let low = rows.iter().map(|(odds, has)| {
            let p = 1.0 / (1.0 + (-odds).exp());
            (log_odds((p / 10.0) as f32), *has)
        });
        let fitted = f64::from(best_threshold(low.collect()));
        assert!((0.03..0.06).contains(&fitted), "{fitted}");
    }

    #[test]
    fn few_texts_keep_a_half() {
        let (truth, probabilities) = texts(36);
        assert_eq!(LabelThresholds::fit(&truth, &probabilities).unwrap().least, [0.5, 0.5]);
        assert_eq!(LabelThresholds::fit(&[], &[]).unwrap(), LabelThresholds::even(0));
        assert!(LabelThresholds::fit(&truth, &probabilities[1..]).is_err());
        for least in [0.0, 1.0, f32::NAN] {
            assert!(LabelThresholds { least: vec![least], never_empty: false }.check(1).is_err());
        }
        assert!(LabelThresholds::even(2).check(3).is_err() && LabelThresholds::even(2).check(2).is_ok());
    }
}
