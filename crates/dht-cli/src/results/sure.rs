//! Statistics of answers above a minimum probability.

use dht_dynamic::transformer::EncodedDataset;
use serde::Serialize;

use super::rows::OwnAnswers;
use crate::error::{Error, Result};

/// Numbers of answers, and of right answers, whose probability is at least a minimum.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct SureAnswers {
    min_probability: f32,
    rows: usize,
    answered: usize,
    right: usize,
}

impl SureAnswers {
    /// Counts the answers of a classifier whose probability is at least `least`.
    ///
    /// # Errors
    /// [`Error::Argument`] if the threshold is out of range, or the answers are several labels or numbers.
    pub fn new(answers: &OwnAnswers, texts: &EncodedDataset, least: f32) -> Result<Self> {
        let refused = |expected| Error::argument("min-probability", expected, least);
        let OwnAnswers::Classes(answers) = answers else {
            return Err(refused("this flag left out: the model does not give one class for each text"));
        };
        if !(0.0..=1.0).contains(&least) {
            return Err(refused("a number from 0 to 1"));
        }
        let pairs = answers.labels.iter().copied().zip(answers.probabilities.iter().copied());
        let labels = texts.samples.iter().map(|sample| sample.label);
        Ok(Self::count(least, pairs.zip(labels)))
    }

    /// Counts answers whose probability is at least `least`, and those of them that are right. `answers` iterates over
    /// ((predicted class, probability), true class).
    fn count(least: f32, answers: impl Iterator<Item = ((u32, f32), u32)>) -> Self {
        let mut counts = Self { min_probability: least, rows: 0, answered: 0, right: 0 };
        for ((class, probability), truth) in answers {
            let sure = probability >= least;
            counts.rows += 1;
            counts.answered += usize::from(sure);
            counts.right += usize::from(sure && class == truth);
        }
        counts
    }

    /// Formats the counts as a sentence.
    pub fn text(&self) -> String {
        let Self { min_probability, rows, answered, right } = *self;
        let share = |part: usize, all: usize| part as f64 / all.max(1) as f64;
        format!(
            "with a probability of at least {min_probability}: {answered} of {rows} rows are answered ({:.1} %), accuracy {:.4}",
            100.0 * share(answered, rows),
            share(right, answered)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_from_the_limit_on() {
        let answers = [((0, 0.9), 0), ((1, 0.8), 0), ((1, 0.5), 1), ((0, 0.7), 0)];
        let sure = SureAnswers::count(0.7, answers.into_iter());
        assert_eq!((sure.rows, sure.answered, sure.right), (4, 3, 2));
        let text = "with a probability of at least 0.7: 3 of 4 rows are answered (75.0 %), accuracy 0.6667";
        assert_eq!(sure.text(), text);
        assert!(
            SureAnswers::count(0.95, answers.into_iter())
                .text()
                .contains("0 of 4 rows are answered (0.0 %), accuracy 0.0000")
        );
    }
}
