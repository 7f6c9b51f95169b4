//! Average precision of scores, and Cohen's kappa of ratings.

use crate::error::{Result, same_length};

/// Average precision Σₙ (Rₙ − Rₙ₋₁)·Pₙ of the scores for one label, as in scikit-learn's `average_precision_score`. Pₙ
/// and Rₙ are precision and recall at the n-th distinct score, in descending order. `None` if no text has the label.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) if the two lists differ in length.
///
/// # Examples
/// ```
/// use dht_transformer::train::metrics::average_precision;
///
/// let has_label = [true, false, true];
/// assert_eq!(average_precision(&has_label, &[0.9, 0.2, 0.7])?, Some(1.0));
/// assert_eq!(average_precision(&[false], &[0.5])?, None);
/// # Ok::<(), dht_transformer::Error>(())
/// ```
pub fn average_precision(has: &[bool], scores: &[f32]) -> Result<Option<f64>> {
    same_length("scores", has.len(), scores.len())?;
    let all = has.iter().filter(|has| **has).count();
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
    let (mut ranked, mut right, mut sum) = (0, 0, 0.0);
    for group in order.chunk_by(|a, b| scores[*a] == scores[*b]) {
        let more = group.iter().filter(|row| has[**row]).count();
        (ranked, right) = (ranked + group.len(), right + more);
        sum += more as f64 * right as f64 / ranked as f64;
    }
    Ok((all > 0).then(|| sum / all as f64))
}

/// Cohen's kappa with quadratic weights for true and predicted ratings: 1 − mean (x − y)² / E(x − y)². E is the
/// expectation over independent draws from the two lists. 1 is perfect agreement, 0 is agreement by chance. `None` if
/// the expectation is 0.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) if the two lists differ in length.
///
/// # Examples
/// ```
/// use dht_transformer::train::metrics::quadratic_kappa;
///
/// assert_eq!(quadratic_kappa(&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0])?, Some(1.0));
/// assert_eq!(quadratic_kappa(&[2.0, 2.0], &[2.0, 2.0])?, None);
/// # Ok::<(), dht_transformer::Error>(())
/// ```
pub fn quadratic_kappa(truth: &[f64], predicted: &[f64]) -> Result<Option<f64>> {
    same_length("predicted", truth.len(), predicted.len())?;
    let count = truth.len() as f64;
    let moments = |numbers: &[f64]| {
        let mean = numbers.iter().sum::<f64>() / count;
        (mean, numbers.iter().map(|number| (number - mean).powi(2)).sum::<f64>() / count)
    };
    let ((x_mean, x_square), (y_mean, y_square)) = (moments(truth), moments(predicted));
    let observed = truth.iter().zip(predicted).map(|(x, y)| (x - y).powi(2)).sum::<f64>() / count;
    let expected = x_square + y_square + (x_mean - y_mean).powi(2);
    Ok((expected > 0.0).then(|| 1.0 - observed / expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_scikit_learn_come_out() {
        let has = [1, 0, 1, 1, 0, 0, 1, 0].map(|has| has == 1);
        let scores = [0.9, 0.8, 0.7, 0.7, 0.7, 0.3, 0.2, 0.1];
        let precision = average_precision(&has, &scores).unwrap().unwrap();
        assert!((precision - 0.692_857_142_857_142_8).abs() < 1e-12, "{precision}");
        assert_eq!(average_precision(&[false], &[0.5]).unwrap(), None);
        assert!(average_precision(&has, &scores[1..]).is_err());
        let truth = [1, 2, 3, 4, 5, 5, 2, 1, 3].map(f64::from);
        let predicted = [1, 3, 3, 5, 4, 5, 1, 1, 2].map(f64::from);
        let kappa = quadratic_kappa(&truth, &predicted).unwrap().unwrap();
        assert!((kappa - 0.876_712_328_767_123_1).abs() < 1e-12, "{kappa}");
        assert_eq!(quadratic_kappa(&truth, &truth).unwrap(), Some(1.0));
        assert_eq!(quadratic_kappa(&[2.0, 2.0], &[2.0, 2.0]).unwrap(), None);
    }
}
