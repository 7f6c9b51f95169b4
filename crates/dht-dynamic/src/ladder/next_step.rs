//! Stopping rules: decide after each measurement whether training continues.

use std::fmt::Debug;

use super::report::{Measurement, Rung};

/// Stopping rule for training in [rungs](super), steps of increasing cost. The rule is called after each rung and,
/// during fine-tuning (rung 2), after each validation.
///
/// # Examples
/// Rule that fine-tunes (rung 2) only if the frozen encoder (rung 1) has less than 90 % accuracy:
///
/// ```
/// use dht_dynamic::ladder::{Measurement, NextStep, Rung};
///
/// #[derive(Debug)]
/// struct WhereErrorsRemain;
///
/// impl NextStep for WhereErrorsRemain {
///     fn goes_on(&mut self, so_far: &[Measurement], next: Rung) -> bool {
///         let accuracy = so_far.iter().rev().find_map(|measurement| measurement.accuracy);
///         next < Rung::FineTuned || accuracy.is_none_or(|accuracy| accuracy < 0.9)
///     }
/// }
/// ```
pub trait NextStep: Debug {
    /// Returns whether training continues with the rung (training step) `next`. `so_far` has all measurements, oldest
    /// first, and is never empty. If its last measurement is of `next`, this rung is in progress; otherwise it has not
    /// started.
    ///
    /// Decisions should not depend on [`Measurement::seconds`]: a resumed run calls the rule again with the same
    /// measurements, but other times.
    fn goes_on(&mut self, so_far: &[Measurement], next: Rung) -> bool;
}

/// Default of [`UnlessStill::least_change`], the relative change of the validation loss below which fine-tuning ends.
const LEAST_CHANGE: f64 = 0.005;

/// Default [`NextStep`]: continues unless fine-tuning leaves the validation loss nearly unchanged.
///
/// Rung 1 (frozen encoder) is always trained and rung 2 (fine-tuning) is always started, since only a trial shows
/// whether fine-tuning helps. Fine-tuning ends early if no validation loss so far differs from the loss of rung 1 by a
/// relative change of [`least_change`](Self::least_change) or more. The rule applies after a quarter of the [planned
/// passes](Measurement::planned_passes), but not before three quarters of a pass. Otherwise all passes run, even if the
/// loss has risen: some encoders get worse first, and are better after three passes.
///
/// The rule compares losses because accuracies are noisier. On a few hundred rows, the accuracies of two equally good
/// models differ by a percentage point by chance, and their mean losses by much less.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UnlessStill {
    /// Minimum change of the validation loss, relative to the loss of rung 1 (frozen encoder), for which fine-tuning
    /// continues; 0.005 by default.
    pub least_change: f64,
}

/// Minimum share of the planned passes that run before the rule may end fine-tuning.
const QUARTER: f64 = 0.25;
/// Minimum number of passes that run before the rule may end fine-tuning.
const LEAST_PASSES: f64 = 0.75;

impl Default for UnlessStill {
    fn default() -> Self {
        // Measured in the first three quarters of a pass: encoders that gained in three passes changed the loss by
        // 0.8 % and 2 % (IMDB), 0.9 % (Yelp polarity) and 3 % or more (other data sets). A small encoder that did not
        // gain changed it by 0 to 1.0 %. No limit separates the two groups. At 0.5 %, the small encoder runs some
        // passes in vain, and the other encoders lose no accuracy.
        Self { least_change: LEAST_CHANGE }
    }
}

impl UnlessStill {
    /// Number of passes after which the rule may end a fine-tuning run of `planned_passes` passes.
    pub(super) fn first_asked(planned_passes: f64) -> f64 {
        (QUARTER * planned_passes).max(LEAST_PASSES)
    }
}

impl NextStep for UnlessStill {
    fn goes_on(&mut self, so_far: &[Measurement], next: Rung) -> bool {
        let Some(last) = so_far.last().filter(|last| next == Rung::FineTuned && last.rung == Rung::FineTuned) else {
            return true;
        };
        let Some(rung_1) = so_far.iter().rev().find(|past| past.rung < Rung::FineTuned) else { return true };
        let moves = |tuned: &Measurement| (tuned.loss - rung_1.loss).abs() >= self.least_change * rung_1.loss;
        let tuned = so_far.iter().filter(|past| past.rung == Rung::FineTuned);
        last.passes < Self::first_asked(last.planned_passes) || tuned.into_iter().any(moves)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Creates measurements of a training run: the n-gram classifier (rung 0), the frozen encoder (rung 1) with a loss
    /// of 1, and fine-tuning (rung 2) with `losses`, one after each quarter of a pass.
    fn quarters(planned_passes: f64, losses: &[f64]) -> Vec<Measurement> {
        let at = |rung, passes, loss| Measurement {
            rung,
            passes,
            planned_passes,
            accuracy: None,
            loss,
            flops: 1,
            cost: 0.1,
            seconds: 0.0,
        };
        let tuned = losses.iter().zip(1..).map(|(loss, quarter)| at(Rung::FineTuned, f64::from(quarter) / 4.0, *loss));
        [at(Rung::Ngrams, 0.0, 2.0), at(Rung::Frozen, 0.0, 1.0)].into_iter().chain(tuned).collect()
    }

    #[test]
    fn fine_tuning_ends_where_a_quarter_of_it_moves_nothing() {
        let goes_on =
            |planned, losses: &[f64]| UnlessStill::default().goes_on(&quarters(planned, losses), Rung::FineTuned);
        assert!(goes_on(3.0, &[]), "a trial");
        assert!(goes_on(3.0, &[1.0, 1.0]), "too early");
        assert!(!goes_on(3.0, &[1.004, 0.998, 0.996]));
        // A rise is a change, too. After a change, all passes run.
        for moved in [[1.006, 1.0, 1.0], [1.0, 0.994, 0.999]] {
            assert!(goes_on(3.0, &moved) && goes_on(3.0, &[moved[0], moved[1], 1.0, 1.0, 1.0, 1.0]));
        }
        // With seven planned passes the rule is asked later; with one, after three quarters of the pass.
        assert!(goes_on(7.0, &[1.0; 6]) && !goes_on(7.0, &[1.0; 7]));
        assert!(goes_on(1.0, &[1.0; 2]) && !goes_on(1.0, &[1.0; 3]));
        assert!(UnlessStill::default().goes_on(&quarters(0.0, &[])[..1], Rung::Frozen));
    }
}
