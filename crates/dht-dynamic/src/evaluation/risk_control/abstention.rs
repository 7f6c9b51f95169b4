//! Abstention: a model predicts only texts whose predicted probability is high enough to keep a required accuracy.

use super::p_value::Losses;
use super::risk::Risk;
use crate::error::{Error, Result};

/// Resolution of the tested minimum probabilities, which are the multiples of 1 / `STEPS`.
const STEPS: u16 = 200;
/// Start of each test sequence, in units of 1 / [`STEPS`]. A sequence tests minimum probabilities in descending order
/// from its start. All sequences have an equal part of the permitted error probability.
const STARTS: [u16; 9] = [198, 196, 190, 180, 160, 140, 100, 60, 20];

/// Minimum probability of a prediction, below which a model abstains, with the measured accuracy of the remaining
/// predictions.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct AbstentionThreshold {
    /// Minimum probability, as the argument of
    /// [`Engine::with_least_probability`](crate::Engine::with_least_probability).
    pub probability: f32,
    /// Number of held-out texts whose predicted class has at least the minimum probability.
    pub answered: usize,
    /// Number of held-out texts whose predicted class is correct and has at least the minimum probability.
    pub right: usize,
    /// Total number of held-out texts.
    pub rows: usize,
}

impl AbstentionThreshold {
    /// Selects the lowest minimum probability at which the remaining predictions have an accuracy of at least
    /// `accuracy`. Over the draw of the held-out texts, this bound holds with a probability of at least `confidence`.
    ///
    /// Each of `answers` belongs to a held-out text: the probability of its predicted class, and whether that class is
    /// correct. The texts must not have been used to fit the model or to select a setting.
    ///
    /// The tested probabilities are fixed. The p-value of each is a binomial tail: the probability of at most the
    /// observed number of wrong predictions, if the accuracy were just the required one. The tests run in sequences
    /// from high to low probabilities, until one fails (Learn then Test, Angelopoulos et al. 2021). At the highest
    /// probabilities, there may be too few predictions to pass a test. Several sequences with different starts are
    /// therefore tested, which share the error probability 1 − `confidence`.
    ///
    /// # Errors
    /// [`Error::Argument`] if the accuracy or the confidence is not between 0 and 1; [`Error::Accuracy`] if the
    /// held-out texts do not prove the accuracy at any tested probability.
    ///
    /// # Examples
    /// ```
    /// use dht_dynamic::evaluation::AbstentionThreshold;
    ///
    /// // 1,000 texts, answered with probabilities up to 1; those below .4 are wrong half of the time.
    /// let answer = |row: u16| (f32::from(row) / 1000.0, row >= 400 || row % 2 == 0);
    /// let answers: Vec<(f32, bool)> = (0..1000).map(answer).collect();
    /// let threshold = AbstentionThreshold::select(&answers, 0.95, 0.95)?;
    /// assert!(threshold.probability > 0.3 && threshold.probability <= 0.4);
    /// assert!(AbstentionThreshold::select(&answers[..300], 0.95, 0.95).is_err());
    /// # Ok::<(), dht_dynamic::Error>(())
    /// ```
    pub fn select(answers: &[(f32, bool)], accuracy: f64, confidence: f64) -> Result<Self> {
        for (field, value) in [("accuracy", accuracy), ("confidence", confidence)] {
            if !(value > 0.0 && value < 1.0) {
                return Err(Error::argument(field, "above 0 and below 1", value));
            }
        }
        let delta = (1.0 - confidence) / STARTS.len() as f64;
        let supports = |losses: &[f64]| Losses::new(losses).p_value(Risk::Disagreement, 1.0 - accuracy, delta) <= delta;
        let mut lowest = None;
        for start in STARTS {
            // A sequence that reaches the start of the next one contains it.
            for step in (0..=start.min(lowest.unwrap_or(STEPS))).rev() {
                if !supports(&losses(answers, step)) {
                    break;
                }
                lowest = Some(step);
            }
        }
        let Some(step) = lowest else {
            let most =
                STARTS.map(|step| 1.0 - Losses::new(&losses(answers, step)).upper_bound(Risk::Disagreement, delta));
            let most = most.into_iter().fold(0.0, f64::max);
            let needed = (delta.ln() / accuracy.ln()).ceil() as usize;
            return Err(Error::Accuracy { accuracy, rows: answers.len(), most, needed });
        };
        let losses = losses(answers, step);
        let right = losses.iter().filter(|loss| **loss == 0.0).count();
        Ok(Self { probability: probability(step), answered: losses.len(), right, rows: answers.len() })
    }

    /// Share of texts on which the model does not abstain, with a confidence interval. Over the draw of the held-out
    /// texts, the interval contains the true share with a probability of at least `confidence`. The interval is valid
    /// for all tested probabilities together, and therefore for the selected probability (inequality of Dvoretzky,
    /// Kiefer and Wolfowitz, with the constant of Massart 1990).
    pub fn coverage(&self, confidence: f64) -> (f64, [f64; 2]) {
        let rows = self.rows.max(1) as f64;
        let share = self.answered as f64 / rows;
        let half = ((2.0 / (1.0 - confidence)).ln() / (2.0 * rows)).sqrt();
        (share, [(share - half).max(0.0), (share + half).min(1.0)])
    }
}

fn probability(step: u16) -> f32 {
    f32::from(step) / f32::from(STEPS)
}

/// Losses (1 if wrong, 0 if correct) of the predictions whose probability is at least `step` / [`STEPS`].
fn losses(answers: &[(f32, bool)], step: u16) -> Vec<f64> {
    let least = probability(step);
    answers.iter().filter(|answer| answer.0 >= least).map(|answer| f64::from(u8::from(!answer.1))).collect()
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// Simulated held-out texts: predicted probabilities p, uniform from .4 to 1, and whether each prediction is
    /// correct. A prediction is correct with probability .995 if p is above .9, otherwise with probability .9·p.
    fn draw(rows: usize, rng: &mut ChaCha8Rng) -> Vec<(f32, bool)> {
        let answer = |rng: &mut ChaCha8Rng| {
            let p = 0.4 + 0.6 * rng.random::<f32>();
            (p, f64::from(rng.random::<f32>()) < chance(p.into()))
        };
        (0..rows).map(|_| answer(rng)).collect()
    }

    fn chance(p: f64) -> f64 {
        if p > 0.9 { 0.995 } else { 0.9 * p }
    }

    /// True accuracy of the simulated predictions with a predicted probability of at least `least`.
    fn accuracy(least: f64) -> f64 {
        let steps = (0..10_000).map(|step| 0.4 + 0.6 * (f64::from(step) + 0.5) / 10_000.0).filter(|p| *p >= least);
        let (sum, count) = steps.fold((0.0, 0.0), |(sum, count), p| (sum + chance(p), count + 1.0));
        sum / count
    }

    #[test]
    fn the_promised_accuracy_is_kept_in_redraws() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for (rows, target, least_selected) in [(500, 0.9, 150), (2000, 0.95, 190), (5000, 0.98, 150)] {
            let (mut selected, mut broken, mut covered) = (0, 0, 0);
            for _ in 0..200 {
                let Ok(threshold) = AbstentionThreshold::select(&draw(rows, &mut rng), target, 0.95) else { continue };
                selected += 1;
                broken += u32::from(accuracy(threshold.probability.into()) < target);
                let share = ((1.0 - f64::from(threshold.probability)) / 0.6).min(1.0);
                let [low, high] = threshold.coverage(0.95).1;
                covered += u32::from((low..=high).contains(&share));
            }
            assert!(selected >= least_selected && broken <= 10, "{broken} of {selected} broken with {rows} texts");
            assert!(covered >= selected * 95 / 100, "{covered} of {selected} coverages with {rows} texts");
        }
    }

    #[test]
    fn what_no_probability_supports_is_refused() {
        let wrong: Vec<(f32, bool)> = (0..1000).map(|row| (0.999, row % 10 > 0)).collect();
        let refused = |answers: &[(f32, bool)], accuracy| AbstentionThreshold::select(answers, accuracy, 0.95);
        let Err(Error::Accuracy { most, needed, rows: 1000, .. }) = refused(&wrong, 0.95) else {
            panic!("{:?}", refused(&wrong, 0.95));
        };
        // A tenth is wrong; without an error 102 answers prove .95 at a level of .05 / 9.
        assert!((0.85..0.9).contains(&most) && needed == 102, "{most}, {needed}");
        assert_eq!(
            refused(&wrong, 0.85).map(|threshold| (threshold.probability, threshold.answered)).ok(),
            Some((0.0, 1000))
        );
        assert!(matches!(refused(&[], 0.5), Err(Error::Accuracy { rows: 0, .. })));
        for bad in [0.0, 1.0, f64::NAN, -1.0] {
            assert!(matches!(refused(&wrong, bad), Err(Error::Argument { .. })));
        }
        let exactly = |rows: usize| refused(&vec![(1.0, true); rows], 0.95).is_ok();
        assert!(!exactly(101) && exactly(102));
        // A probability that is not a number is never answered.
        assert!(refused(&vec![(f32::NAN, true); 1000], 0.5).is_err());
    }
}
