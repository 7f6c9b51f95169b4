//! Estimates from a sample of texts, with 95 % intervals over the draw of the texts.

use serde::Serialize;

/// Normal quantile of a two-sided interval of 95 %.
const Z: f64 = 1.959_963_984_540_054;

/// A score with the ends of its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// The score.
    pub value: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
}

impl Estimate {
    /// Share of some rows, with the interval of Wilson (1927). `None` without rows.
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

    /// F1 of one class from its counts. `None` if no row has the class or the answer.
    ///
    /// The rows with the class, the answer or both are a sample in which the share J = TP / (TP + FP + FN) is right. F1 =
    /// 2J / (1 + J) rises with J (Hand, Christen and Kirielle 2021), so that the ends of Wilson's interval for J give
    /// those of F1.
    pub fn f1(counts: &Counts) -> Option<Self> {
        let share = Self::share(counts.both, counts.both + counts.predicted_only + counts.true_only)?;
        let f1 = |share: f64| 2.0 * share / (1.0 + share);
        Some(Self { value: f1(share.value), low: f1(share.low), high: f1(share.high) })
    }

    /// Macro F1 over `classes` classes, with the interval of the delta method (Takahashi et al. 2022): the variance is that
    /// of the mean of the rows' influences. `rows` are the events of each row.
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

    /// Micro F1, F1 of all labels counted together, with the interval of the delta method as for macro F1: the labels of a
    /// row depend on each other, so that rows are the sample. `rows` are the events of each row.
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

    /// Mean of some values, with a normal interval. `None` without values.
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

    /// Pearson correlation of some rows, with the interval of Fisher's transformation.
    pub fn correlation(value: f64, rows: usize) -> Self {
        if rows <= 3 {
            return Self { value, low: -1.0, high: 1.0 };
        }
        let half = Z / (rows as f64 - 3.0).sqrt();
        Self { value, low: (value.atanh() - half).tanh(), high: (value.atanh() + half).tanh() }
    }

    /// The estimate of an increasing function of the score.
    pub fn map(self, function: impl Fn(f64) -> f64) -> Self {
        Self { value: function(self.value), low: function(self.low), high: function(self.high) }
    }
}

/// Agreement of one row's truth and answer on one class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The row has the class and the answer.
    Both(usize),
    /// The answer is the class, and the row does not have it.
    PredictedOnly(usize),
    /// The row has the class, and the answer is not it.
    TrueOnly(usize),
}

/// Rows of one class: true positives, false positives and false negatives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// True positives.
    pub both: usize,
    /// False positives.
    pub predicted_only: usize,
    /// False negatives.
    pub true_only: usize,
}

impl Counts {
    /// Counts the events of all rows for each of some classes.
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

    /// Rows with the class.
    pub fn rows(&self) -> usize {
        self.both + self.true_only
    }

    /// Rows with the answer.
    pub fn predicted(&self) -> usize {
        self.both + self.predicted_only
    }

    /// 2 TP + FP + FN: zero for a class that no row has and no answer is.
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

    fn assert_close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-9, "{found} is not {expected}");
    }

    #[test]
    fn the_interval_of_a_share_is_that_of_scipy() {
        // scipy.stats.binomtest(k, n).proportion_ci(method="wilson").
        for (k, n, low, high) in [
            (16, 20, 0.5839825677481065, 0.9193423374202021),
            (0, 5, 0.0, 0.43448246478317476),
            (7, 10, 0.39677814746114526, 0.892208732593699),
        ] {
            let found = Estimate::share(k, n).expect("rows");
            assert_close(found.low, low);
            assert_close(found.high, high);
        }
        assert_eq!(Estimate::share(0, 0), None);
        assert_eq!(Estimate::share(5, 5).map(|found| found.high), Some(1.0));
    }

    #[test]
    fn correlations_have_the_interval_of_scipy() {
        // scipy.stats.pearsonr(x, y).confidence_interval() for r = .99199816 of 8 rows.
        let found = Estimate::correlation(0.9919981590523586, 8);
        assert_close(found.low, 0.9546774955662632);
        assert_close(found.high, 0.998609115585911);
        assert_eq!(Estimate::correlation(1.0, 8), Estimate { value: 1.0, low: 1.0, high: 1.0 });
        assert_eq!(Estimate::correlation(0.3, 3).low, -1.0);
    }

    /// Events of rows with one class each.
    fn events(truth: &[usize], predicted: &[usize]) -> Vec<Vec<Event>> {
        let row = |(truth, predicted): (&usize, &usize)| match truth == predicted {
            true => vec![Event::Both(*truth)],
            false => vec![Event::TrueOnly(*truth), Event::PredictedOnly(*predicted)],
        };
        truth.iter().zip(predicted).map(row).collect()
    }

    #[test]
    fn f1_intervals_cover_the_true_f1() {
        // Three classes with .6, .3 and .1 of the rows, answered right with .9, .7 and .5, else the next class.
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
                let found = Estimate::f1(&counts[class]).expect("rows");
                covered[class] += u32::from(found.low <= f1(class) && f1(class) <= found.high);
            }
            let found = Estimate::macro_f1(&counts, 3, rows.iter().map(Vec::as_slice));
            of_macro += u32::from(found.low <= expected && expected <= found.high);
        }
        assert!(covered.iter().all(|covered| *covered >= 930) && of_macro >= 920, "{covered:?}, {of_macro} of 1,000");
    }

    #[test]
    fn a_mean_has_a_normal_interval() {
        let found = Estimate::mean(&[1.0, 2.0, 3.0, 4.0]).expect("values");
        // Standard error √(5/3/4).
        assert_close(found.high - found.value, Z * (5.0_f64 / 12.0).sqrt());
        assert_eq!(Estimate::mean(&[]), None);
        assert_eq!(Estimate::mean(&[7.0]), Some(Estimate { value: 7.0, low: 7.0, high: 7.0 }));
    }
}
