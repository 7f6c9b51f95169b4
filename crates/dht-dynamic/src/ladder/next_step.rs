//! The decision whether the next step of a training pays.

use std::fmt::Debug;

use super::report::{Measurement, Rung, least_loss};

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

/// Goes on while the validation loss falls fast enough for its cost.
///
/// Rung 1 is always climbed, and rung 2 always begun, since only a trial shows whether an encoder's states suffice. In
/// rung 2 the gain of a round is (L₀ − L)/L₀, with L₀ the smallest validation loss before the round and L the smallest
/// one in it. Its price is the [cost](Measurement::cost) of the round. The training goes on while gain /
/// price ≥ [`least`](Self::least). This is asked at the ends of rounds: at the peak learning rate the loss rises and
/// falls within a pass, also where the whole pass lowers it. The first round is abandoned where a quarter of a pass
/// leaves the loss above (1 + [`most_rise`](Self::most_rise))·L₀. The encoder then has to unlearn before it learns, and
/// the few per cent that the rest of the pass gains cost more than rung 1 did. A round of several passes over few rows
/// also ends where all losses of a pass are within a thousandth of each other: exit 0 then answers alone, or nothing is
/// left to learn.
///
/// The loss is compared, not the accuracy: on a few hundred rows the accuracy of two models differs by a point by
/// chance, and their mean losses by much less.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GainPerFlop {
    /// The least relative decrease of the validation loss that a pass has to bring.
    pub least: f64,
    /// The relative rise of the validation loss, in the first round, at which it is abandoned.
    pub most_rise: f64,
}

/// The relative change of the loss in a pass, below which it stands still.
const STILL: f64 = 1e-3;

impl Default for GainPerFlop {
    fn default() -> Self {
        // On AG News and SST-2 the first pass lowered the validation loss by 8 to 16 %, the second by 1 to 5 %. The fall
        // of the learning rate at the end brings most of what a further pass would.
        Self { least: 0.05, most_rise: 0.01 }
    }
}

impl NextStep for GainPerFlop {
    fn goes_on(&mut self, so_far: &[Measurement], next: Rung) -> bool {
        let Some(last) = so_far.last().filter(|last| next == Rung::FineTuned && last.rung == Rung::FineTuned) else {
            return true;
        };
        // Accuracies are measured at the ends of rungs and rounds.
        let earlier = &so_far[..so_far.len() - 1];
        let Some(start) = earlier.iter().rposition(|found| found.accuracy.is_some()) else { return true };
        let (before, now) = (least_loss(&so_far[..=start]), least_loss(&so_far[start + 1..]));
        if last.accuracy.is_none() {
            let pass = so_far[start + 1..].iter().filter(|found| found.passes > last.passes - 1.0 + 1e-9);
            let most = pass.clone().map(|found| found.loss).fold(0.0, f64::max);
            if last.passes > so_far[start].passes + 1.0 && most < (1.0 + STILL) * least_loss(pass) {
                return false;
            }
            return so_far[start].rung == Rung::FineTuned || now <= (1.0 + self.most_rise) * before;
        }
        let price = last.cost - so_far[start].cost;
        before - now >= self.least * price * before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(rung: Rung, accuracy: Option<f64>, loss: f64, flops: u64) -> Measurement {
        Measurement { rung, passes: 0.0, accuracy, loss, flops, cost: flops as f64 / 100.0, seconds: 0.0 }
    }

    #[test]
    fn a_round_goes_on_while_the_loss_falls_for_its_price() {
        let mut rule = GainPerFlop { least: 0.1, most_rise: 0.01 };
        let mut asks = |so_far: &[Measurement], next| rule.goes_on(so_far, next);
        let mut so_far = vec![at(Rung::Ngrams, Some(0.5), 1.0, 1)];
        assert!(asks(&so_far, Rung::Frozen));
        so_far.push(at(Rung::Frozen, Some(0.8), 0.5, 100));
        assert!(asks(&so_far, Rung::FineTuned), "a trial");
        // The first quarter may raise the loss by a hundredth, and a later one by more.
        so_far.push(at(Rung::FineTuned, None, 0.51, 125));
        assert!(!asks(&so_far, Rung::FineTuned));
        so_far[2].loss = 0.504;
        assert!(asks(&so_far, Rung::FineTuned));
        so_far.push(at(Rung::FineTuned, None, 0.59, 150));
        assert!(asks(&so_far, Rung::FineTuned));
        // A pass has to lower it by a tenth.
        so_far.push(at(Rung::FineTuned, Some(0.85), 0.451, 200));
        assert!(!asks(&so_far, Rung::FineTuned));
        so_far[4].loss = 0.449;
        assert!(asks(&so_far, Rung::FineTuned));
        // The next round starts from the best before it, and is asked at its end; its best loss counts.
        so_far.push(at(Rung::FineTuned, None, 0.6, 230));
        assert!(asks(&so_far, Rung::FineTuned));
        so_far[5].loss = 0.35;
        so_far.push(at(Rung::FineTuned, Some(0.86), 0.36, 300));
        assert!(asks(&so_far, Rung::FineTuned));
        so_far[5].loss = 0.42;
        so_far[6].loss = 0.41;
        assert!(!asks(&so_far, Rung::FineTuned));
    }

    #[test]
    fn a_round_ends_where_no_loss_of_a_pass_moves() {
        let mut rule = GainPerFlop::default();
        let mut so_far = vec![at(Rung::Frozen, Some(0.8), 0.5, 1)];
        let goes_on = [0.45, 0.44, 0.44, 0.44, 0.4395, 0.44, 0.4396].map(|loss| {
            let passes = so_far.len() as f64 / 3.0;
            so_far.push(Measurement { passes, ..at(Rung::FineTuned, None, loss, 1) });
            rule.goes_on(&so_far, Rung::FineTuned)
        });
        // Three in a pass: 0.4395 is further from 0.44 than a thousandth, 0.4396 is not.
        assert_eq!(goes_on, [true, true, true, false, true, true, true]);
        so_far.push(Measurement { passes: 8.0 / 3.0, ..at(Rung::FineTuned, None, 0.4397, 1) });
        assert!(!rule.goes_on(&so_far, Rung::FineTuned), "{so_far:#?}");
        // A round of one pass is asked at its end.
        let short = [so_far[0], Measurement { passes: 1.0, ..so_far[4] }];
        assert!(rule.goes_on(&short, Rung::FineTuned));
    }
}
