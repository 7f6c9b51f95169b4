//! Difference between the mean scores of two groups of students, with a confidence interval.

use dht_transformer::train::metrics::Confusion;
use rand::{Rng, RngExt};
use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::compression::judge::Judge;
use crate::error::Result;
use crate::record::{Interval, Summary};

/// Number of bootstrap resamples of the test rows.
const RESAMPLES: usize = 1_000;

/// True labels of the test rows, and the metric by which predictions are scored.
#[derive(Clone, Copy)]
pub(super) struct Judged<'a> {
    pub(super) judge: Judge,
    pub(super) classes: usize,
    pub(super) truth: &'a [u32],
}

impl Judged<'_> {
    /// Mean score of one group of students minus that of another, with its 95 % interval; `None` if a group has a
    /// single student.
    ///
    /// Two sources of variance are independent and add up. The training runs contribute s²/n for each group, with n
    /// students of standard deviation s (Welch 1947). The test rows contribute the variance of the difference over
    /// bootstrap resamples, which are the same for all students (Efron and Tibshirani 1993). The degrees of freedom
    /// follow Welch and Satterthwaite, with infinitely many for the resamples.
    pub(super) fn difference<R: Rng + ?Sized>(
        self,
        own: &[Vec<u32>],
        others: &[Vec<u32>],
        rng: &mut R,
    ) -> Result<Option<Interval>> {
        if own.len().min(others.len()) < 2 {
            return Ok(None);
        }
        let all: Vec<usize> = (0..self.truth.len()).collect();
        let side = |students: &[Vec<u32>]| -> Result<(f64, f64)> {
            let scores = students.iter().map(|labels| self.score(labels, &all)).collect::<Result<Vec<f64>>>()?;
            let summary = Summary::new(&scores);
            Ok((summary.mean, summary.sd.powi(2) / students.len() as f64))
        };
        let ((own_mean, own_part), (other_mean, other_part)) = (side(own)?, side(others)?);
        let mut differences = Vec::with_capacity(RESAMPLES);
        for _ in 0..RESAMPLES {
            let rows: Vec<usize> = all.iter().map(|_| rng.random_range(0..all.len())).collect();
            differences.push(self.mean(own, &rows)? - self.mean(others, &rows)?);
        }
        let of_rows = Summary::new(&differences).sd.powi(2);
        let variance = own_part + other_part + of_rows;
        let runs: f64 = [(own_part, own), (other_part, others)]
            .map(|(part, side)| part.powi(2) / (side.len() as f64 - 1.0))
            .iter()
            .sum();
        let freedom = variance.powi(2) / runs;
        let quantile = match StudentsT::new(0.0, 1.0, freedom) {
            Ok(t) if freedom < MOST_FREEDOM => t.inverse_cdf(0.975),
            // The scores of the training runs hardly differ, so the normal distribution is accurate.
            _ => NORMAL,
        };
        let (mean, half) = (own_mean - other_mean, quantile * variance.sqrt());
        Ok(Some(Interval { mean, lower: mean - half, upper: mean + half }))
    }

    fn mean(self, students: &[Vec<u32>], rows: &[usize]) -> Result<f64> {
        let scores = students.iter().map(|labels| self.score(labels, rows)).collect::<Result<Vec<f64>>>()?;
        Ok(Summary::new(&scores).mean)
    }

    fn score(self, labels: &[u32], rows: &[usize]) -> Result<f64> {
        let of = |labels: &[u32]| -> Vec<usize> { rows.iter().map(|row| labels[*row] as usize).collect() };
        Ok(self.judge.score(&Confusion::from_labels(self.classes, &of(self.truth), &of(labels))?))
    }
}

/// Quantile .975 of the normal distribution.
const NORMAL: f64 = 1.959_964;
/// Degrees of freedom from which the normal quantile replaces that of Student's t; both agree to four digits.
const MOST_FREEDOM: f64 = 1e5;

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// Predicted classes of several students. Student i is wrong on the first `wrong[i]` rows and right on all others.
    fn students(truth: &[u32], wrong: &[usize]) -> Vec<Vec<u32>> {
        let of = |wrong: &usize| {
            truth.iter().enumerate().map(|(row, label)| if row < *wrong { 1 - label } else { *label }).collect()
        };
        wrong.iter().map(of).collect()
    }

    #[test]
    fn the_interval_has_the_variance_of_trainings_and_that_of_rows() {
        let truth: Vec<u32> = (0..1_000).map(|row| row % 2).collect();
        let judged = Judged { judge: Judge::Accuracy, classes: 2, truth: &truth };
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        // The training runs do not differ, so only rows add variance. The students differ on 100 of 1000 rows, p = .1:
        // σ = √(.1 · .9 / 1000).
        let interval = judged.difference(&students(&truth, &[100, 100]), &students(&truth, &[200, 200]), &mut rng);
        let interval = interval.unwrap().unwrap();
        assert!((interval.mean - 0.1).abs() < 1e-12);
        let half = 1.96 * (0.1 * 0.9 / 1_000.0_f64).sqrt();
        assert!((interval.upper - interval.mean - half).abs() < 0.1 * half, "{interval:?}");
        // Training runs that differ by ± .02 add s²/n = .0008/2 for each side; with few degrees of freedom t is large.
        let wide = judged.difference(&students(&truth, &[80, 120]), &students(&truth, &[180, 220]), &mut rng);
        let wide = wide.unwrap().unwrap();
        let t = StudentsT::new(0.0, 1.0, 2.0 * (1.0 + 0.1 * 0.9 / 1_000.0 / 0.0008_f64).powi(2)).unwrap();
        let half = t.inverse_cdf(0.975) * (0.0008 + 0.1 * 0.9 / 1_000.0_f64).sqrt();
        assert!((wide.upper - wide.mean - half).abs() < 0.1 * half, "{wide:?} {half}");
        assert!(judged.difference(&students(&truth, &[80]), &students(&truth, &[180]), &mut rng).unwrap().is_none());
    }
}
