//! Paired comparison of two models on the same texts.

use serde::Serialize;

/// Quantile of the standard normal distribution for a two-sided 95 % interval.
const Z: f64 = 1.959_963_984_540_054;

/// Mean difference between the scores of two models A and B on the same texts, with a 95 % confidence interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Difference {
    /// Mean score of B minus mean score of A.
    pub mean: f64,
    /// Lower end of the 95 % confidence interval.
    pub low: f64,
    /// Upper end of the 95 % confidence interval.
    pub high: f64,
}

impl Difference {
    /// Difference of two accuracies on the same texts, from the correctness of each answer. The interval is the
    /// adjusted Wald interval of Bonett and Price (2012), which counts one additional text for each type of
    /// disagreement. Its coverage is therefore also right for few texts.
    pub fn of_answers(a: &[bool], b: &[bool]) -> Self {
        let count = |a_right, b_right| a.iter().zip(b).filter(|pair| *pair == (&a_right, &b_right)).count() as f64;
        let (only_a, only_b, texts) = (count(true, false), count(false, true), a.len().max(1) as f64);
        let [p, q] = [only_a, only_b].map(|count| (count + 1.0) / (texts + 2.0));
        let error = ((p + q - (q - p).powi(2)) / (texts + 2.0)).sqrt();
        let ends = [q - p - Z * error, q - p + Z * error].map(|end| end.clamp(-1.0, 1.0));
        Self { mean: (only_b - only_a) / texts, low: ends[0], high: ends[1] }
    }

    /// Mean difference of two scores on the same texts. As in [`of_answers`](Self::of_answers), two additional texts
    /// are counted, one in favour of each model. Their differences have the largest observed size, and at least
    /// `least`, so that a few texts that differ alike prove little. For scores of 0 and 1 with a `least` of 1, both
    /// intervals are equal.
    pub fn of_scores(a: &[f64], b: &[f64], least: f64) -> Self {
        let texts = a.len().max(1) as f64;
        let differences = || a.iter().zip(b).map(|(a, b)| b - a);
        let largest = differences().map(f64::abs).fold(least, f64::max);
        let sum = differences().sum::<f64>();
        let squares = differences().map(|difference| difference * difference).sum::<f64>() + 2.0 * largest * largest;
        let middle = sum / (texts + 2.0);
        let error = ((squares / (texts + 2.0) - middle * middle).max(0.0) / (texts + 2.0)).sqrt();
        Self { mean: sum / texts, low: middle - Z * error, high: middle + Z * error }
    }
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;

    #[test]
    fn the_interval_of_answers_is_that_of_the_paper() {
        // Formula of Bonett and Price (2012), computed by hand for 60 texts: 9 right in A alone, 2 in B alone.
        let rows: Vec<(bool, bool)> =
            (0..60).map(|row| (!(9..=20).contains(&row), (9..11).contains(&row) || row > 20)).collect();
        let (a, b): (Vec<bool>, Vec<bool>) = rows.into_iter().unzip();
        let difference = Difference::of_answers(&a, &b);
        let (p, q) = (10.0 / 62.0, 3.0 / 62.0_f64);
        let error = ((p + q - (q - p) * (q - p)) / 62.0_f64).sqrt();
        assert!((difference.mean + 7.0 / 60.0).abs() < 1e-12, "{difference:?}");
        assert!(
            (difference.low - (q - p - 1.96 * error)).abs() < 1e-4
                && (difference.high - (q - p + 1.96 * error)).abs() < 1e-4
        );
        assert_eq!(Difference::of_answers(&[true; 5], &[true; 5]).mean, 0.0);
        assert!(Difference::of_answers(&[true; 5], &[true; 5]).low < -0.2, "five texts say little");
        let numbers = |rows: &[bool]| rows.iter().map(|right| f64::from(u8::from(*right))).collect::<Vec<f64>>();
        let of_scores = Difference::of_scores(&numbers(&a), &numbers(&b), 1.0);
        assert!((of_scores.low - difference.low).abs() < 1e-12 && (of_scores.high - difference.high).abs() < 1e-12);
        let one = Difference::of_scores(&[1.0], &[1.2], 0.0);
        assert!(one.low < 0.0 && one.high > 0.2, "{one:?}");
    }

    #[test]
    fn intervals_cover_the_true_difference() {
        // A is right with probability .8. B errs with probability .1 where A is right, and is right with probability .3
        // elsewhere: the difference is −.02.
        let mut rng = dht_toys::rng(1);
        for texts in [30, 200] {
            let (mut answers, mut scores) = (0, 0);
            for _ in 0..1000 {
                let (a, b): (Vec<bool>, Vec<bool>) = (0..texts)
                    .map(|_| {
                        let a = rng.random_bool(0.8);
                        (a, if a { !rng.random_bool(0.1) } else { rng.random_bool(0.3) })
                    })
                    .unzip();
                let covers = |difference: Difference| usize::from(difference.low <= -0.02 && -0.02 <= difference.high);
                answers += covers(Difference::of_answers(&a, &b));
                let numbers =
                    |answers: &[bool]| answers.iter().map(|right| f64::from(u8::from(*right))).collect::<Vec<_>>();
                scores += covers(Difference::of_scores(&numbers(&a), &numbers(&b), 1.0));
            }
            assert!(answers >= 935 && scores >= 900, "{answers} and {scores} of 1,000 with {texts} texts");
        }
    }
}
