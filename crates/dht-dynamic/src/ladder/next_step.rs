//! The decision whether the next step of a training pays.

use std::fmt::Debug;

use super::report::{Measurement, Rung};

/// Decides whether a training goes on: after each rung, and in rung 2 at each validation.
///
/// # Examples
/// A rule that climbs to rung 2 only where rung 1 makes more than one error in ten:
///
/// ```
/// use dht_dynamic::ladder::{Measurement, NextStep, Rung};
///
/// #[derive(Debug)]
/// struct WhereErrorsRemain;
///
/// impl NextStep for WhereErrorsRemain {
///     fn goes_on(&mut self, so_far: &[Measurement], next: Rung) -> bool {
///         let accuracy = so_far.iter().rev().find_map(|found| found.accuracy);
///         next < Rung::FineTuned || accuracy.is_none_or(|accuracy| accuracy < 0.9)
///     }
/// }
/// ```
pub trait NextStep: Debug {
    /// Returns whether the next step is taken: the rung `next` is begun, or continued if the last measurement is of
    /// that rung. `so_far` has all measurements, the last one being the latest; it is never empty.
    ///
    /// A stopped and resumed training asks again with the same measurements, except for their seconds. The answer
    /// should therefore depend on nothing else.
    fn goes_on(&mut self, so_far: &[Measurement], next: Rung) -> bool;
}

/// The relative change of the validation loss that counts as one.
const LEAST_CHANGE: f64 = 0.005;

/// Goes on, unless fine-tuning leaves the validation loss where it was.
///
/// Rung 1 is always climbed, and rung 2 always begun, since only a trial shows whether an encoder's states suffice.
/// Fine-tuning ends after a quarter of its [planned passes](Measurement::planned_passes), and at least three quarters of
/// a pass, if the loss of each validation so far differs by less than [`least_change`](Self::least_change) from that of
/// rung 1. Otherwise all passes are made, also where the loss has risen: an encoder that unlearns before it learns is
/// better after three passes than before.
///
/// The loss is compared, not the accuracy: on a few hundred rows the accuracy of two models differs by a point by
/// chance, and their mean losses by much less.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UnlessStill {
    /// The relative change of the validation loss below which it stands still.
    pub least_change: f64,
}

/// The part of the planned passes after which the rule is asked, and the least number of passes.
const QUARTER: f64 = 0.25;
const LEAST_PASSES: f64 = 0.75;

impl Default for UnlessStill {
    fn default() -> Self {
        // In the first three quarters of a pass, encoders that gained in three passes moved the loss by .8 % and 2 % (IMDB),
        // .9 % (Yelp polarity) and 3 % or more (other sets). A small encoder that did not gain moved it by 0 to 1.0 %. No
        // limit separates them. This one costs the small encoder some passes, and the others no accuracy.
        Self { least_change: LEAST_CHANGE }
    }
}

impl UnlessStill {
    /// Passes after which the rule may end fine-tuning that is planned for a number of passes.
    pub(super) fn first_asked(planned_passes: f64) -> f64 {
        (QUARTER * planned_passes).max(LEAST_PASSES)
    }
}

impl NextStep for UnlessStill {
    fn goes_on(&mut self, so_far: &[Measurement], next: Rung) -> bool {
        let Some(last) = so_far.last().filter(|last| next == Rung::FineTuned && last.rung == Rung::FineTuned) else {
            return true;
        };
        let Some(rung_1) = so_far.iter().rev().find(|found| found.rung < Rung::FineTuned) else { return true };
        let moves = |found: &Measurement| (found.loss - rung_1.loss).abs() >= self.least_change * rung_1.loss;
        let tuned = so_far.iter().filter(|found| found.rung == Rung::FineTuned);
        last.passes < Self::first_asked(last.planned_passes) || tuned.into_iter().any(moves)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Measurements: rungs 0 and 1, which has a loss of 1, then rung 2 at each quarter of a pass.
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
        // A rise is a movement, and what has moved goes on.
        for moved in [[1.006, 1.0, 1.0], [1.0, 0.994, 0.999]] {
            assert!(goes_on(3.0, &moved) && goes_on(3.0, &[moved[0], moved[1], 1.0, 1.0, 1.0, 1.0]));
        }
        // Few rows are repeated in more passes, and a short budget ends before the question.
        assert!(goes_on(7.0, &[1.0; 6]) && !goes_on(7.0, &[1.0; 7]));
        assert!(goes_on(1.0, &[1.0; 2]) && !goes_on(1.0, &[1.0; 3]));
        assert!(UnlessStill::default().goes_on(&quarters(0.0, &[])[..1], Rung::Frozen));
    }
}
