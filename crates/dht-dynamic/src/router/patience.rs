//! Patience: stops a text after several consecutive exits that predict the same, as in PABEE (Zhou et al. 2020). This
//! router has no parameters to learn.

use std::sync::Arc;

use super::decisions::Notes;
use super::exit_rule::ExitRule;
use super::router::{ExitView, Router};
use super::rule::{Agreeing, LeavingRule, answer_code};
use crate::error::{Error, Result};

/// Router that stops a text when enough consecutive exits agree. A counter starts at 0 at the first exit. At each later
/// exit, it increases by 1 if this exit predicts the same class as the previous exit, and otherwise returns to 0. The
/// text stops at the first exit where the counter reaches the patience. With a patience of p exits, this is the (p +
/// 1)-th exit at the earliest.
///
/// [`Router::flops`] is 0, since counting needs no matrix products. The FLOPs of the exits are counted separately.
///
/// # Examples
/// ```
/// use dht_dynamic::router::Patience;
///
/// assert_eq!(Patience::new(3)?.patience(), 3);
/// // The patience is the reciprocal of the speed.
/// assert_eq!(Patience::at(0.25)?.patience(), 4);
/// assert!(Patience::new(0).is_err());
/// # Ok::<(), dht_dynamic::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    patience: u32,
}

impl Patience {
    /// Creates a router with a patience of at least 1 exit. With `u32::MAX`, every text runs to the last exit, and no
    /// earlier exit is computed.
    ///
    /// # Errors
    /// [`Error::Argument`] if the patience is 0.
    pub fn new(patience: u32) -> Result<Self> {
        match patience {
            0 => Err(Error::argument("patience", "at least 1", patience)),
            _ => Ok(Self { patience }),
        }
    }

    /// Creates a router whose patience is the reciprocal of the speed, rounded down. The patience is 1 above a speed of
    /// ½ and unlimited at a speed of 0. At the same speed, a threshold on the uncertainty of [`LeavingRule::Patience`]
    /// gives the same decisions.
    ///
    /// # Errors
    /// [`Error::Argument`] if the speed is negative or not finite.
    pub fn at(speed: f64) -> Result<Self> {
        if !(speed.is_finite() && speed >= 0.0) {
            return Err(Error::argument("speed", "a finite number, at least 0", speed));
        }
        // 1 / (1 / p) may be a rounding error below p. The cast saturates.
        Ok(Self { patience: (((1.0 + 1e-12) / speed).floor() as u32).max(1) })
    }

    /// Number of consecutive exits that must each predict the same class as the exit before.
    pub fn patience(self) -> u32 {
        self.patience
    }
}

/// Decodes the values that the patience router stored for a text: \[prediction, number of agreeing exits\], or empty
/// before the first exit.
fn agreeing(notes: &Notes) -> Agreeing {
    match notes[..] {
        [answer, exits] => Agreeing { answer: Some(answer as u64), exits: exits as u32 },
        _ => Agreeing::default(),
    }
}

impl ExitRule for Patience {
    fn reads(&self, exit: usize, last: usize) -> bool {
        exit < last && self.patience < u32::MAX
    }

    fn leaves(&self, view: &ExitView<'_>, notes: &mut [Notes]) -> Result<Vec<bool>> {
        if self.patience == u32::MAX {
            return Ok(vec![false; view.members.len()]);
        }
        let answers = view.needed_answers()?;
        let texts = view.members.iter().zip(answers.rows());
        Ok(texts
            .map(|(member, logs)| {
                let answer = answer_code(answers.outputs(), logs);
                let Agreeing { exits, .. } = agreeing(&notes[*member]).then(answer);
                notes[*member] = vec![answer as f64, f64::from(exits)];
                exits >= self.patience
            })
            .collect())
    }

    fn speed(&self) -> Option<f64> {
        Some(if self.patience == u32::MAX { 0.0 } else { 1.0 / f64::from(self.patience) })
    }

    fn at_speed(&self, speed: f64) -> Result<Arc<dyn Router>> {
        Ok(Arc::new(Self::at(speed)?))
    }

    fn rule(&self) -> Option<LeavingRule> {
        Some(LeavingRule::Patience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_counts_agreeing_exits_and_restarts_at_a_change() {
        let counter =
            |classes: &[u64]| classes.iter().fold(Agreeing::default(), |before, class| before.then(*class)).exits;
        assert_eq!([counter(&[2]), counter(&[2, 2]), counter(&[2, 2, 2])], [0, 1, 2]);
        assert_eq!([counter(&[2, 2, 1]), counter(&[2, 2, 1, 1]), counter(&[0, 1, 0, 1])], [0, 1, 0]);
    }

    #[test]
    fn a_speed_is_the_reciprocal_of_its_patience() {
        let at = |speed| Patience::at(speed).unwrap().patience();
        for patience in 1..=1000 {
            assert_eq!(at(1.0 / f64::from(patience)), patience);
        }
        assert_eq!([0.0, 0.3, 0.5, 0.51, 1.0, 2.0, 1e4].map(at), [u32::MAX, 3, 2, 1, 1, 1, 1]);
    }
}
