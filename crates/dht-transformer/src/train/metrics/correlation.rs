//! Pearson and Spearman correlation of predicted and true numbers.

use crate::error::{Result, same_length};

/// Pearson and Spearman correlation of predicted and true numbers, each in [−1, 1]. They are 0 if a list is constant or
/// empty.
///
/// # Examples
/// ```
/// use dht_transformer::train::metrics::Correlation;
///
/// let correlation = Correlation::from_values(&[1.0, 2.0, 3.0], &[1.0, 2.0, 30.0])?;
/// assert!(correlation.pearson < 0.9);
/// assert!(correlation.spearman > 1.0 - 1e-12);
/// # Ok::<(), dht_transformer::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Correlation {
    /// Pearson correlation Σ(x − x̄)(y − ȳ) / √(Σ(x − x̄)² Σ(y − ȳ)²).
    pub pearson: f64,
    /// Spearman correlation: the Pearson correlation of the ranks. Equal numbers share their mean rank.
    pub spearman: f64,
}

impl Correlation {
    /// Computes both correlations of two lists, which have the true and the predicted number of each sample.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) if the lists differ in length.
    pub fn from_values(truth: &[f64], predicted: &[f64]) -> Result<Self> {
        same_length("predicted", truth.len(), predicted.len())?;
        Ok(Self { pearson: pearson(truth, predicted), spearman: pearson(&ranks(truth), &ranks(predicted)) })
    }
}

fn pearson(truth: &[f64], predicted: &[f64]) -> f64 {
    let mean = |numbers: &[f64]| numbers.iter().sum::<f64>() / numbers.len().max(1) as f64;
    let (x_mean, y_mean) = (mean(truth), mean(predicted));
    let (mut cross, mut x_square, mut y_square) = (0.0, 0.0, 0.0);
    for (x, y) in truth.iter().zip(predicted) {
        let (x, y) = (x - x_mean, y - y_mean);
        cross += x * y;
        x_square += x * x;
        y_square += y * y;
    }
    let spread = x_square.sqrt() * y_square.sqrt();
    if spread == 0.0 { 0.0 } else { (cross / spread).clamp(-1.0, 1.0) }
}

/// Rank of each number, counted from 0. Equal numbers share their mean rank.
fn ranks(numbers: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..numbers.len()).collect();
    order.sort_by(|&a, &b| numbers[a].total_cmp(&numbers[b]));
    let mut ranks = vec![0.0; numbers.len()];
    let mut first = 0;
    for group in order.chunk_by(|&a, &b| numbers[a] == numbers[b]) {
        let mean = first as f64 + (group.len() - 1) as f64 / 2.0;
        group.iter().for_each(|&place| ranks[place] = mean);
        first += group.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_abs_diff_eq;
    use proptest::prelude::*;

    #[test]
    fn the_numbers_of_scipy_come_out() {
        // scipy.stats.pearsonr and spearmanr of these.
        let (x, y) = ([1.0, 2.0, 3.0, 4.0, 5.0, 5.0], [2.0, 1.0, 4.0, 3.0, 7.0, 5.0]);
        assert_abs_diff_eq!(Correlation::from_values(&x, &y).unwrap().pearson, 0.831_521_840_620, epsilon = 1e-12);
        assert_abs_diff_eq!(Correlation::from_values(&x, &y).unwrap().spearman, 0.869_656_553_479, epsilon = 1e-12);
    }

    #[test]
    fn what_does_not_vary_correlates_with_nothing() {
        assert_eq!(Correlation::from_values(&[1.0, 1.0], &[0.0, 5.0]).unwrap().pearson, 0.0);
        assert_eq!(Correlation::from_values(&[], &[]).unwrap().spearman, 0.0);
        assert!(Correlation::from_values(&[1.0], &[]).is_err());
    }

    proptest! {
        #[test]
        fn spearman_sees_order_alone_and_pearson_lines(
            numbers in proptest::collection::vec((-50i32..50, -50i32..50), 2..40),
            slope in 0.1..10.0f64,
        ) {
            let (x, y): (Vec<f64>, Vec<f64>) = numbers.iter().map(|(x, y)| (f64::from(*x), f64::from(*y))).unzip();
            let cubed: Vec<f64> = y.iter().map(|y| y.powi(3)).collect();
            prop_assert_eq!(Correlation::from_values(&x, &y).unwrap().spearman, Correlation::from_values(&x, &cubed).unwrap().spearman);
            let line: Vec<f64> = y.iter().map(|y| slope * y - 3.0).collect();
            prop_assert!((Correlation::from_values(&x, &y).unwrap().pearson - Correlation::from_values(&x, &line).unwrap().pearson).abs() < 1e-9);
            let back: Vec<f64> = y.iter().map(|y| -y).collect();
            prop_assert!((Correlation::from_values(&x, &y).unwrap().spearman + Correlation::from_values(&x, &back).unwrap().spearman).abs() < 1e-9);
        }
    }
}
