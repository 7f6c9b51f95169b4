//! Ordinal levels, by which a classifier predicts a number or rating: one binary decision for each cut between two
//! levels.

use dht_transformer::EncodedDataset;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Minimum range of the numbers, in steps between neighbouring floating-point numbers of their size.
const LEAST_STEPS: f64 = 1000.0;

/// Maximum number of ordinal levels. If there are more distinct numbers, they are divided at their quantiles.
const MOST_LEVELS: usize = 16;

/// Ordinal levels of a number or rating, for models that predict numbers by binary decisions (cumulative logits).
///
/// Such a model has one label for each cut between two levels, and predicts whether the number is above the cut (Frank
/// and Hall 2001, *A Simple Approach to Ordinal Classification*). The predicted number is computed from the
/// probabilities pₖ of these labels:
///
/// - A number is the mean of the level values vₖ: v₀ + Σₖ (vₖ₊₁ − vₖ) pₖ.
/// - A rating is the median: the highest level whose lower cut has a probability of at least a half.
///
/// # Examples
/// ```
/// use dht_dynamic::serving::NumberLevels;
///
/// let stars = NumberLevels::fit(&[5.0, 1.0, 3.0, 1.0], false)?;
/// assert_eq!(stars.cuts(), [2.0, 4.0]);
/// assert_eq!(stars.targets(3.0), [1.0, 0.0]); // above 2, not above 4
/// assert_eq!(stars.number(&[1.0, 0.25]), 3.5); // 1 + 2 * 1 + 2 * 0.25
/// # Ok::<(), dht_dynamic::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NumberLevels {
    /// Value that each ordinal level stands for, ascending.
    values: Vec<f32>,
    /// Cut between each pair of neighbouring levels, ascending.
    cuts: Vec<f32>,
    /// True for a rating, whose prediction is always the value of a level. False for a number, whose prediction may lie
    /// between two values.
    rating: bool,
}

impl NumberLevels {
    /// Divides numbers into levels. If there are up to 16 different numbers, each is a level. More numbers are divided
    /// into 16 levels of about the same number of rows, and the value of a level is the mean of its numbers.
    ///
    /// # Errors
    /// [`Error::Argument`] if a number is not finite, if there are fewer than two different numbers, or if a rating has
    /// more than 16 values.
    pub fn fit(numbers: &[f32], rating: bool) -> Result<Self> {
        if let Some(number) = numbers.iter().find(|number| !number.is_finite()) {
            return Err(Error::argument("numbers", "finite numbers", number));
        }
        let mut sorted = numbers.to_vec();
        sorted.sort_by(f32::total_cmp);
        let mut values = sorted.clone();
        values.dedup();
        let (Some(first), Some(last)) = (values.first(), values.last()) else {
            return Err(Error::argument("numbers", "at least two different numbers", "none"));
        };
        if first == last {
            let expected = "at least two numbers that differ in their first 24 bits (7 digits)";
            return Err(Error::argument("numbers", expected, format!("{first} alone")));
        }
        // Numbers are stored in 24 bits: steps between large numbers may be as large as their differences.
        let step = f64::from(first.abs().max(last.abs())) * f64::from(f32::EPSILON);
        if f64::from(*last) - f64::from(*first) < LEAST_STEPS * step {
            let expected = "numbers whose differences are not small beside their size: subtract a constant";
            return Err(Error::argument("numbers", expected, format!("{first} to {last}, stored in steps of {step}")));
        }
        if rating && values.len() > MOST_LEVELS {
            let expected = format!("at most {MOST_LEVELS} different ratings");
            return Err(Error::argument("numbers", expected, values.len()));
        }
        let middle = |below: f32, above: f32| {
            let middle = below + (above - below) / 2.0;
            // Between neighbouring floating-point numbers there is none.
            if middle < above { middle } else { below }
        };
        if values.len() <= MOST_LEVELS {
            let cuts = values.windows(2).map(|pair| middle(pair[0], pair[1])).collect();
            return Ok(Self { values, cuts, rating });
        }
        // Equal numbers stay in one level: a quantile that repeats the one before it makes no level of its own.
        let mut starts: Vec<usize> = (0..MOST_LEVELS)
            .map(|level| sorted[level * sorted.len() / MOST_LEVELS])
            .map(|first| sorted.partition_point(|number| *number < first))
            .collect();
        starts.dedup();
        let ends = starts[1..].iter().copied().chain([sorted.len()]);
        let mean = |(start, end): (&usize, usize)| {
            let sum: f64 = sorted[*start..end].iter().map(|number| f64::from(*number)).sum();
            (sum / (end - start) as f64) as f32
        };
        let values: Vec<f32> = starts.iter().zip(ends).map(mean).collect();
        let cuts = starts[1..].iter().map(|start| middle(sorted[start - 1], sorted[*start])).collect();
        Ok(Self { values, cuts, rating })
    }

    /// Cuts between neighbouring levels of the number, ascending. The model has one output for each cut.
    pub fn cuts(&self) -> &[f32] {
        &self.cuts
    }

    /// Value that each level of the number stands for, ascending.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Returns whether predictions are always the value of a level, as for a rating.
    pub fn is_rating(&self) -> bool {
        self.rating
    }

    /// Names of the model's outputs, one for each cut, such as "above 2.5".
    pub fn labels(&self) -> Vec<String> {
        self.cuts.iter().map(|cut| format!("above {cut}")).collect()
    }

    /// Training targets of a number: for each cut, 1 if the number is above the cut, otherwise 0.
    pub fn targets(&self, number: f32) -> Vec<f32> {
        self.cuts.iter().map(|cut| f32::from(u8::from(number > *cut))).collect()
    }

    /// Converts texts whose targets are numbers to multi-label texts, with one [target](Self::targets) for each cut
    /// between levels.
    pub fn encode(&self, texts: &EncodedDataset) -> EncodedDataset {
        let mut encoded = EncodedDataset { labels: self.labels(), ..texts.clone() };
        for sample in &mut encoded.samples {
            sample.targets = sample.targets.first().map_or_else(Vec::new, |number| self.targets(*number));
        }
        encoded
    }

    /// Computes the predicted number from the probability of lying above each cut.
    pub fn number(&self, probabilities: &[f32]) -> f32 {
        if self.rating {
            let above = probabilities.iter().filter(|probability| **probability >= 0.5).count();
            return self.values[above.min(self.cuts.len())];
        }
        self.mean(probabilities)
    }

    /// Computes the mean of the number's predictive distribution from the probability of lying above each cut. It is
    /// the predicted number, except for a rating, whose prediction is the median.
    pub(crate) fn mean(&self, probabilities: &[f32]) -> f32 {
        let steps = self.values.windows(2).zip(probabilities);
        self.values[0] + steps.map(|(pair, probability)| (pair[1] - pair[0]) * probability).sum::<f32>()
    }

    /// Variance of the numbers of several texts, each at the value of its level. `targets` has the
    /// [targets](Self::targets) of all texts, concatenated, as 0 or 1. The variance is exactly 0 if all texts have the
    /// same level.
    pub(crate) fn variance(&self, targets: &[u32]) -> f64 {
        let value = |row: &[u32]| f64::from(self.values[row.iter().filter(|target| **target == 1).count()]);
        let values: Vec<f64> = targets.chunks_exact(self.cuts.len()).map(value).collect();
        let Some(first) = values.first() else { return 0.0 };
        // Differences from the first number are exactly 0 if all numbers are equal.
        let count = values.len() as f64;
        let shift = values.iter().map(|value| value - first).sum::<f64>() / count;
        values.iter().map(|value| (value - first - shift).powi(2)).sum::<f64>() / count
    }

    /// Rejects levels that [`fit`](Self::fit) cannot have produced. Levels that were read from a file need this check.
    /// `outputs` is the number of binary decisions of the model.
    pub(crate) fn check(&self, outputs: usize) -> Result<()> {
        let ascend = |numbers: &[f32]| numbers.windows(2).all(|pair| pair[0] < pair[1]);
        let is_right = self.cuts.len() == outputs
            && self.values.len() == outputs + 1
            && self.values.iter().chain(&self.cuts).all(|number| number.is_finite())
            && ascend(&self.values)
            && ascend(&self.cuts);
        match is_right {
            true => Ok(()),
            false => {
                let expected = format!("{outputs} ascending cuts, and one value more");
                Err(Error::argument("levels", expected, format!("{:?} and {:?}", self.cuts, self.values)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_numbers_are_levels_themselves() -> Result<()> {
        let levels = NumberLevels::fit(&[4.0, 2.0, 2.0, 5.0], false)?;
        assert_eq!((levels.values(), levels.cuts()), (&[2.0, 4.0, 5.0][..], &[3.0, 4.5][..]));
        assert_eq!(levels.labels(), ["above 3", "above 4.5"]);
        Ok(())
    }

    #[test]
    fn certain_answers_give_the_number_back() -> Result<()> {
        let numbers: Vec<f32> = (0..12).map(|at| (at * at) as f32).collect();
        for rating in [false, true] {
            let levels = NumberLevels::fit(&numbers, rating)?;
            for number in &numbers {
                assert_eq!(levels.number(&levels.targets(*number)), *number);
            }
        }
        Ok(())
    }

    #[test]
    fn many_numbers_make_levels_of_equal_size() -> Result<()> {
        let numbers: Vec<f32> = (0..1600).map(|at| at as f32).collect();
        let levels = NumberLevels::fit(&numbers, false)?;
        assert_eq!((levels.values().len(), levels.values()[0], levels.cuts()[0]), (16, 49.5, 99.5));
        let most = numbers.iter().map(|number| (levels.number(&levels.targets(*number)) - number).abs());
        assert!(most.fold(0.0, f32::max) <= 50.0);
        Ok(())
    }

    #[test]
    fn a_frequent_number_is_one_level() -> Result<()> {
        let numbers: Vec<f32> = (0..1600).map(|at| if at < 1500 { 7.0 } else { at as f32 }).collect();
        let levels = NumberLevels::fit(&numbers, false)?;
        assert_eq!((levels.values().len(), levels.values()[0]), (2, 7.0));
        assert_eq!(levels.targets(7.0), [0.0]);
        Ok(())
    }

    #[test]
    fn numbers_that_rounding_makes_equal_are_refused() {
        for (numbers, expected) in [
            (&[16_777_216.0, 16_777_218.0, 16_777_220.0][..], "16777216 to 16777220, stored in steps of"),
            (&[1.7e9, 1.7e9 + 128.0], "subtract a constant"),
            (&[3.0; 4], "3 alone"),
            (&[], "none"),
        ] {
            let error = NumberLevels::fit(numbers, true).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        // Neighbouring floating-point numbers have cuts of their own.
        let next = |number: f32| f32::from_bits(number.to_bits() + 1);
        let (first, second, third) = (next(1.0), next(next(1.0)), next(next(next(1.0))));
        let levels = NumberLevels::fit(&[first, second, third, 4.0], true).unwrap();
        assert!(levels.cuts().windows(2).all(|pair| pair[0] < pair[1]), "{:?}", levels.cuts());
        assert_eq!(levels.targets(second), [1.0, 0.0, 0.0]);
    }

    #[test]
    fn the_variance_is_that_of_the_numbers() -> Result<()> {
        let numbers = [1.0, 5.0, 5.0, 2.0, 3.0, 5.0];
        let levels = NumberLevels::fit(&numbers, false)?;
        let targets = |numbers: &[f32]| -> Vec<u32> {
            numbers.iter().flat_map(|number| levels.targets(*number)).map(|target| target as u32).collect()
        };
        // The mean is 3.5, and the squares are 6.25 + 3 · 2.25 + 2.25 + .25 = 15.5.
        assert!((levels.variance(&targets(&numbers)) - 15.5 / 6.0).abs() < 1e-12);
        let equal = NumberLevels::fit(&[0.1, 0.7], false)?;
        assert_eq!((equal.variance(&[1; 7]), equal.variance(&[])), (0.0, 0.0));
        Ok(())
    }

    #[test]
    fn refuses_numbers_without_levels() {
        for (numbers, rating) in [(vec![], false), (vec![1.0, 1.0], false), (vec![1.0, f32::NAN], false)] {
            assert!(NumberLevels::fit(&numbers, rating).is_err(), "{numbers:?}");
        }
        assert!(NumberLevels::fit(&(0..40).map(|at| at as f32).collect::<Vec<_>>(), true).is_err());
    }
}
