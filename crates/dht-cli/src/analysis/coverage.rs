//! Coverage against accuracy: the share of right answers if a model answers only where its probability is high.

use serde::Serialize;

use super::estimate::Estimate;

/// Maximum number of points of the coverage curve.
const POINTS: usize = 20;

/// Coverage and accuracy if a model answers only with at least a minimum probability.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CoveragePoint {
    /// Minimum probability of an answer, as for the flag `--min-probability`.
    pub min_probability: f32,
    /// Number of answered rows.
    pub rows: usize,
    /// Share of the rows that are answered.
    pub coverage: f64,
    /// Accuracy of the answered rows.
    pub accuracy: Estimate,
}

/// Coverage and accuracy at minimum probabilities, from answers given as pairs of probability and correctness. The
/// points have nearly equal steps of coverage, from all rows down to a twentieth.
pub fn coverage(answers: &[(f32, bool)]) -> Vec<CoveragePoint> {
    let mut sorted = answers.to_vec();
    sorted.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut right = Vec::with_capacity(sorted.len() + 1);
    right.push(0);
    sorted.iter().for_each(|answer| right.push(right[right.len() - 1] + usize::from(answer.1)));
    let point = |step: usize| {
        let rows = (step * sorted.len()).div_ceil(POINTS);
        let min_probability = sorted.get(rows.checked_sub(1)?)?.0;
        let rows = sorted.partition_point(|answer| answer.0 >= min_probability);
        let coverage = rows as f64 / sorted.len() as f64;
        Some(CoveragePoint { min_probability, rows, coverage, accuracy: Estimate::share(right[rows], rows)? })
    };
    let mut points: Vec<CoveragePoint> = (1..=POINTS).rev().filter_map(point).collect();
    points.dedup_by_key(|point| point.rows);
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curve_counts_the_surest_answers() {
        let answers: Vec<(f32, bool)> = (0..100).map(|row| (row as f32 / 100.0, row >= 40)).collect();
        let points = coverage(&answers);
        assert_eq!((points.len(), points[0].rows, points[0].min_probability), (20, 100, 0.0));
        assert!((points[0].accuracy.value - 0.6).abs() < 1e-12);
        let half = points.iter().find(|point| point.rows == 50).expect("a point");
        assert_eq!((half.min_probability, half.accuracy.value), (0.5, 1.0));
        // Counts the rows as `--min-probability` does.
        for point in points {
            assert_eq!(answers.iter().filter(|answer| answer.0 >= point.min_probability).count(), point.rows);
        }
        let equal = coverage(&[(0.7, true), (0.7, false), (0.7, true)]);
        assert_eq!((equal.len(), equal[0].rows), (1, 3));
        assert!(coverage(&[]).is_empty());
    }
}
