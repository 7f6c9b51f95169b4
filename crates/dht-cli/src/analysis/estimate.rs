//! Scores estimated from a sample of texts, with 95 % confidence intervals for the sampling.

use serde::Serialize;

/// Quantile of the standard normal distribution for a two-sided 95 % interval.
const Z: f64 = 1.959_963_984_540_054;

/// Estimated score with its 95 % confidence interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// Estimate of the score.
    pub value: f64,
    /// Lower end of the 95 % confidence interval.
    pub low: f64,
    /// Upper end of the 95 % confidence interval.
    pub high: f64,
}

impl Estimate {
    /// Proportion `part` / `rows` with Wilson's (1927) confidence interval. `None` without rows.
    pub fn share(part: usize, rows: usize) -> Option<Self> {
        if rows == 0 {
            return None;
        }
        let (n, p) = (rows as f64, part as f64 / rows as f64);
        let shrink = 1.0 + Z * Z / n;
        let centre = (p + Z * Z / (2.0 * n)) / shrink;
        let half = Z / shrink * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
        Some(Self { value: p, low: (centre - half).clamp(0.0, p), high: (centre + half).clamp(p, 1.0) })
    }

    /// F1 of one class from its counts. `None` if no row has the class and no answer predicts it.
    ///
    /// Among the rows with the true or predicted class, the share J = TP / (TP + FP + FN) is right. F1 = 2J / (1 + J)
    /// rises with J (Hand, Christen and Kirielle 2021), so that the ends of Wilson's interval for J are converted to
    /// those of F1.
    pub fn f1(counts: &Counts) -> Option<Self> {
        let share = Self::share(counts.both, counts.both + counts.predicted_only + counts.true_only)?;
        let f1 = |share: f64| 2.0 * share / (1.0 + share);
        Some(Self { value: f1(share.value), low: f1(share.low), high: f1(share.high) })
    }

    /// Macro F1 over `classes` classes, with a confidence interval by the delta method (Takahashi et al. 2022). Its
    /// variance is the variance of the mean influence of a row on the score. `rows` has the events of each row: true
    /// positives, false positives and false negatives.
    pub fn macro_f1<'a>(counts: &[Counts], classes: usize, rows: impl Iterator<Item = &'a [Event]>) -> Self {
        let value = counts.iter().map(Counts::f1).sum::<f64>() / classes.max(1) as f64;
        let influence = |event: &Event| {
            let (counts, gain) = match event {
                Event::Both(class) => (&counts[*class], 2.0),
                Event::PredictedOnly(class) | Event::TrueOnly(class) => (&counts[*class], 0.0),
            };
            // Derivative of 2 TP / (2 TP + FP + FN) by the count of this event.
            (gain - counts.f1() * if gain > 0.0 { 2.0 } else { 1.0 }) / counts.events().max(1) as f64
        };
        let of_row = |events: &[Event]| (events.iter().map(influence).sum::<f64>() / classes.max(1) as f64).powi(2);
        let half = Z * rows.map(of_row).sum::<f64>().sqrt();
        Self { value, low: (value - half).max(0.0), high: (value + half).min(1.0) }
    }

    /// Micro F1 (F1 of all labels counted together), with a confidence interval by the delta method. The sampling unit
    /// is the row, since the labels of a row depend on each other. `rows` has the events of each row: true positives,
    /// false positives and false negatives.
    pub fn micro_f1<'a>(all: &Counts, rows: impl Iterator<Item = &'a [Event]>) -> Self {
        let value = all.f1();
        let influence = |event: &Event| match event {
            Event::Both(_) => 2.0 - 2.0 * value,
            Event::PredictedOnly(_) | Event::TrueOnly(_) => -value,
        };
        let of_row =
            |events: &[Event]| (events.iter().map(influence).sum::<f64>() / all.events().max(1) as f64).powi(2);
        let half = Z * rows.map(of_row).sum::<f64>().sqrt();
        Self { value, low: (value - half).max(0.0), high: (value + half).min(1.0) }
    }

    /// Mean of values, with a confidence interval by the normal approximation. `None` without values.
    pub fn mean(values: &[f64]) -> Option<Self> {
        if values.is_empty() {
            return None;
        }
        let n = values.len() as f64;
        let value = values.iter().sum::<f64>() / n;
        let squares = values.iter().map(|own| (own - value).powi(2)).sum::<f64>();
        let half = Z * (squares / (n - 1.0).max(1.0) / n).sqrt();
        Some(Self { value, low: value - half, high: value + half })
    }

    /// Pearson correlation over `rows` rows, with the confidence interval of Fisher's transformation.
    pub fn correlation(value: f64, rows: usize) -> Self {
        if rows <= 3 {
            return Self { value, low: -1.0, high: 1.0 };
        }
        let half = Z / (rows as f64 - 3.0).sqrt();
        Self { value, low: (value.atanh() - half).tanh(), high: (value.atanh() + half).tanh() }
    }

    /// Applies an increasing function to the score and to both ends of its interval.
    pub fn map(self, function: impl Fn(f64) -> f64) -> Self {
        Self { value: function(self.value), low: function(self.low), high: function(self.high) }
    }
}

/// Event of one row and class, by class index: true positive, false positive or false negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// True positive: the row has the class, and the answer predicts it.
    Both(usize),
    /// False positive: the answer predicts the class, and the row does not have it.
    PredictedOnly(usize),
    /// False negative: the row has the class, and the answer does not predict it.
    TrueOnly(usize),
}

/// Numbers of true positives, false positives and false negatives of one class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Number of true positives.
    pub both: usize,
    /// Number of false positives.
    pub predicted_only: usize,
    /// Number of false negatives.
    pub true_only: usize,
}

impl Counts {
    /// Counts the true positives, false positives and false negatives of all rows for each of `classes` classes.
    pub fn of_rows<'a>(classes: usize, rows: impl Iterator<Item = &'a [Event]>) -> Vec<Self> {
        let mut counts = vec![Self::default(); classes];
        for event in rows.flatten() {
            match event {
                Event::Both(class) => counts[*class].both += 1,
                Event::PredictedOnly(class) => counts[*class].predicted_only += 1,
                Event::TrueOnly(class) => counts[*class].true_only += 1,
            }
        }
        counts
    }

    /// Number of rows with the class: TP + FN.
    pub fn rows(&self) -> usize {
        self.both + self.true_only
    }

    /// Number of rows for which the class is predicted: TP + FP.
    pub fn predicted(&self) -> usize {
        self.both + self.predicted_only
    }

    /// Returns 2 TP + FP + FN, the denominator of F1. It is 0 for a class that no row has and no answer predicts.
    pub fn events(&self) -> usize {
        self.rows() + self.predicted()
    }

    fn f1(&self) -> f64 {
        2.0 * self.both as f64 / self.events().max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;

    fn assert_close(actual: f64, expected: f64) {
        assert!((actual - expected).abs() < 1e-9, "{actual} is not {expected}");
    }

    #[test]
    fn the_interval_of_a_share_is_that_of_scipy() {
        // scipy.stats.binomtest(k, n).proportion_ci(method="wilson").
        for (k, n, low, high) in [
            (16, 20, 0.5839825677481065, 0.9193423374202021),
            (0, 5, 0.0, 0.43448246478317476),
            (7, 10, 0.39677814746114526, 0.892208732593699),
        ] {
            let estimate = Estimate::share(k, n).expect("rows");
            assert_close(estimate.low, low);
            assert_close(estimate.high, high);
        }
        assert_eq!(Estimate::share(0, 0), None);
        assert_eq!(Estimate::share(5, 5).map(|score| score.high), Some(1.0));
    }

    #[test]
    fn correlations_have_the_interval_of_scipy() {
        // scipy.stats.pearsonr(x, y).confidence_interval() for r = .99199816 of 8 rows.
        let estimate = Estimate::correlation(0.9919981590523586, 8);
        assert_close(estimate.low, 0.9546774955662632);
        assert_close(estimate.high, 0.998609115585911);
        assert_eq!(Estimate::correlation(1.0, 8), Estimate { value: 1.0, low: 1.0, high: 1.0 });
        assert_eq!(Estimate::correlation(0.3, 3).low, -1.0);
    }

    fn events(truth: &[usize], predicted: &[usize]) -> Vec<Vec<Event>> {
        let row = |(truth, predicted): (&usize, &usize)| match truth == predicted {
            true => vec![Event::Both(*truth)],
            false => vec![Event::TrueOnly(*truth), Event::PredictedOnly(*predicted)],
        };
        truth.iter().zip(predicted).map(row).collect()
    }

    #[test]
    fn f1_intervals_cover_the_true_f1() {
        // Three classes have shares .6, .3 and .1 of the rows. They are answered right with probabilities .9, .7 and
        // .5, and otherwise as the next class.
        let joint = [[0.54, 0.06, 0.0], [0.0, 0.21, 0.09], [0.05, 0.0, 0.05]];
        let f1 = |class: usize| {
            let predicted: f64 = joint.iter().map(|row| row[class]).sum();
            2.0 * joint[class][class] / (joint[class].iter().sum::<f64>() + predicted)
        };
        let expected = (f1(0) + f1(1) + f1(2)) / 3.0;
        let mut rng = dht_toys::rng(1);
        let (mut covered, mut of_macro) = ([0; 3], 0);
        for _ in 0..1000 {
            let (mut truth, mut predicted) = (Vec::new(), Vec::new());
            for _ in 0..150 {
                let mut at = rng.random::<f64>();
                let cells = (0..3).flat_map(|row| (0..3).map(move |column| (row, column)));
                let cell = cells.into_iter().find(|(row, column)| {
                    at -= joint[*row][*column];
                    at < 0.0
                });
                let (row, column) = cell.unwrap_or((0, 0));
                truth.push(row);
                predicted.push(column);
            }
            let rows = events(&truth, &predicted);
            let counts = Counts::of_rows(3, rows.iter().map(Vec::as_slice));
            for class in 0..3 {
                let estimate = Estimate::f1(&counts[class]).expect("rows");
                covered[class] += u32::from(estimate.low <= f1(class) && f1(class) <= estimate.high);
            }
            let estimate = Estimate::macro_f1(&counts, 3, rows.iter().map(Vec::as_slice));
            of_macro += u32::from(estimate.low <= expected && expected <= estimate.high);
        }
        assert!(covered.iter().all(|covered| *covered >= 930) && of_macro >= 920, "{covered:?}, {of_macro} of 1,000");
    }

    #[test]
    fn a_mean_has_a_normal_interval() {
        let estimate = Estimate::mean(&[1.0, 2.0, 3.0, 4.0]).expect("values");
        // Standard error √(5/3/4).
        assert_close(estimate.high - estimate.value, Z * (5.0_f64 / 12.0).sqrt());
        assert_eq!(Estimate::mean(&[]), None);
        assert_eq!(Estimate::mean(&[7.0]), Some(Estimate { value: 7.0, low: 7.0, high: 7.0 }));
    }
}
