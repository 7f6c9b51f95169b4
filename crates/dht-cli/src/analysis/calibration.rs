//! Calibration: whether answers with a predicted probability of p are right with frequency p.

use serde::Serialize;

use super::estimate::Estimate;
use super::parts::groups;

/// Number of bins with equal numbers of answers.
const BINS: usize = 10;

/// Calibration bin: rows whose answers have similar probabilities.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Bin {
    /// Number of rows in the bin.
    pub rows: usize,
    /// Mean predicted probability of the answers in the bin.
    pub probability: f64,
    /// Share of right answers in the bin.
    pub right: Estimate,
}

/// Expected calibration error, computed in bins with equal numbers of answers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Calibration {
    /// Expected calibration error: Σ over bins of (rows in the bin / rows)·|share of right answers − mean probability|.
    /// It is biased upwards, since chance differences never cancel (Roelofs et al. 2022).
    pub error: f64,
    /// Calibration error that a perfectly calibrated model would have by chance, by the normal approximation of each
    /// bin's share.
    pub by_chance: f64,
    /// Bins in ascending order of probability.
    pub bins: Vec<Bin>,
}

impl Calibration {
    /// Computes the calibration of answers, given as pairs of probability and correctness. Answers of equal probability
    /// share a bin. `None` without answers.
    pub fn new(answers: &[(f32, bool)]) -> Option<Self> {
        let (mut error, mut by_chance, mut bins) = (0.0, 0.0, Vec::new());
        let all = answers.len() as f64;
        for group in groups(answers, BINS, |a, b| a.0.total_cmp(&b.0)) {
            let probabilities = || group.iter().map(|row| f64::from(answers[*row].0));
            let rows = group.len() as f64;
            let probability = probabilities().sum::<f64>() / rows;
            let right = group.iter().filter(|row| answers[**row].1).count();
            let right = Estimate::share(right, group.len())?;
            error += rows / all * (right.value - probability).abs();
            // Mean of |N(0, σ²)| is σ·√(2/π).
            let variance = probabilities().map(|p| p * (1.0 - p)).sum::<f64>();
            by_chance += (std::f64::consts::FRAC_2_PI * variance).sqrt() / all;
            bins.push(Bin { rows: group.len(), probability, right });
        }
        (!bins.is_empty()).then_some(Self { error, by_chance, bins })
    }
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;

    #[test]
    fn the_bins_are_those_of_scikit_learn() {
        // calibration_curve(right, p, n_bins=5, strategy="quantile") of scikit-learn for these rows. Each row occurs
        // twice here, so that the ten bins are halves of those five.
        let p = [
            0.99, 0.97, 0.93, 0.91, 0.52, 0.88, 0.95, 0.86, 0.61, 0.79, 0.98, 0.83, 0.55, 0.9, 0.72, 0.94, 0.66, 0.58,
            0.87, 0.76_f32,
        ];
        let wrong = [4, 8, 12, 17];
        let answers: Vec<(f32, bool)> = p.iter().enumerate().map(|(row, p)| (*p, !wrong.contains(&row))).collect();
        let calibration = Calibration::new(&answers).expect("rows");
        let pairs: Vec<(f64, f64)> = calibration
            .bins
            .chunks(2)
            .map(|pair| {
                let mean = |of: fn(&Bin) -> f64| (of(&pair[0]) + of(&pair[1])) / 2.0;
                (mean(|bin| bin.right.value), mean(|bin| bin.probability))
            })
            .collect();
        let expected = [(0.0, 0.565), (1.0, 0.7325), (1.0, 0.86), (1.0, 0.92), (1.0, 0.9725)];
        for (pair, expected) in pairs.iter().zip(expected) {
            assert!((pair.0 - expected.0).abs() < 1e-6 && (pair.1 - expected.1).abs() < 1e-6, "{pairs:?}");
        }
        // Both halves of a bin deviate in the same direction, so that the error equals that of the five bins.
        assert!((calibration.error - 0.216).abs() < 1e-6, "{calibration:?}");
    }

    #[test]
    fn equal_probabilities_are_one_bin() {
        // A constant probability of .9 that is right in half of the rows is off by .4. A probability of 1 must also
        // belong to a bin.
        let answers: Vec<(f32, bool)> = (0..100).map(|row| (0.9, row % 2 == 0)).collect();
        let calibration = Calibration::new(&answers).expect("rows");
        assert!(calibration.bins.len() == 1 && (calibration.error - 0.4).abs() < 1e-6, "{calibration:?}");
        let calibration = Calibration::new(&[(1.0, false), (1.0, true)]).expect("rows");
        assert!((calibration.error - 0.5).abs() < 1e-12 && calibration.by_chance == 0.0, "{calibration:?}");
        assert_eq!(Calibration::new(&[]), None);
    }

    #[test]
    fn a_calibrated_model_has_the_error_of_chance() {
        let mut rng = dht_toys::rng(3);
        let (mut error, mut by_chance) = (0.0, 0.0);
        for _ in 0..300 {
            let answers: Vec<(f32, bool)> = (0..500)
                .map(|_| {
                    let p = 0.5 + 0.5 * rng.random::<f32>();
                    (p, rng.random::<f32>() < p)
                })
                .collect();
            let calibration = Calibration::new(&answers).expect("rows");
            error += calibration.error / 300.0;
            by_chance += calibration.by_chance / 300.0;
        }
        assert!((error - by_chance).abs() < 0.0015 && error > 0.02, "{error} beside {by_chance}");
    }
}
