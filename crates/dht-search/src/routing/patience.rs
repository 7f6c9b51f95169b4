//! Patience: how many exits in a row agree, as in PABEE (Zhou et al. 2020). It learns nothing.

use candle_core::D;
use rand::Rng;

use super::{Decisions, Mode, Router, StageView};
use crate::error::{Error, Result};
use crate::features::signals;
use crate::settings::{RouterKind, SearchSettings};

/// What the exits so far have predicted of a sample.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Agreement {
    /// The class that the last exit predicted; `None` before the first.
    class: Option<u32>,
    /// How many exits before the last one, without a break, predicted that class too: PABEE's counter.
    exits: u32,
}

impl Agreement {
    /// After one more exit.
    fn then(self, class: u32) -> Self {
        Self { class: Some(class), exits: if self.class == Some(class) { self.exits + 1 } else { 0 } }
    }
}

/// A sample leaves at the first exit where its counter reaches the patience: cnt ← cnt + 1 where the exit predicts the class
/// that the exit before it predicted, otherwise cnt ← 0; 0 at the first exit. With a patience of
/// p, samples leave at exit p + 1 at the earliest, counted from 1.
///
/// PABEE trains all exits on all samples, so that nothing leaves early in training, whatever the mode.
/// [`Router::flops`] stays 0, since counting needs no products; the exits' own FLOPs are counted where they run.
#[derive(Debug, Clone)]
pub(super) struct Patience {
    settings: SearchSettings,
    patience: u32,
}

impl Patience {
    pub(super) fn new(settings: SearchSettings, patience: u32) -> Self {
        Self { settings, patience }
    }
}

impl Router for Patience {
    fn reads(&self, exit: usize, last: usize) -> bool {
        exit < last
    }

    fn at_exit(&self, view: &StageView<'_>, decisions: &mut Decisions, mode: Mode, _: &mut dyn Rng) -> Result<()> {
        let missing = || Error::setting("logits", "those of the exit", "none");
        let logits = view.logits.ok_or_else(missing)?;
        let classes: Vec<u32> = logits.detach().argmax(D::Minus1)?.to_vec1()?;
        // The head bandits look at them.
        let signals = signals(logits, view.hidden.spans().lengths())?;
        decisions.signals.resize(decisions.exits.len(), Vec::new());
        decisions.agreements.resize(decisions.exits.len(), Agreement::default());
        for ((&member, class), signals) in view.members.iter().zip(classes).zip(signals) {
            let agreement = decisions.agreements[member].then(class);
            if mode == Mode::Exploit && agreement.exits >= self.patience {
                decisions.leave(member, view.exit)?;
            }
            (decisions.agreements[member], decisions.signals[member]) = (agreement, signals);
        }
        Ok(())
    }

    fn set_speed(&mut self, speed: f64) -> Result<()> {
        self.settings = self.settings.at_speed(speed)?;
        self.patience = RouterKind::patience_at(speed);
        Ok(())
    }

    fn box_clone(&self) -> Box<dyn Router> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_counts_agreeing_exits_and_starts_again_at_each_change() {
        let counter = |classes: &[u32]| classes.iter().fold(Agreement::default(), |all, class| all.then(*class)).exits;
        assert_eq!([counter(&[2]), counter(&[2, 2]), counter(&[2, 2, 2])], [0, 1, 2]);
        assert_eq!([counter(&[2, 2, 1]), counter(&[2, 2, 1, 1]), counter(&[0, 1, 0, 1])], [0, 1, 0]);
    }

    #[test]
    fn a_speed_is_the_reciprocal_of_its_patience() {
        for patience in 1..=1000 {
            assert_eq!(RouterKind::patience_at(1.0 / f64::from(patience)), patience);
        }
        let patience = [0.0, 0.3, 0.5, 0.51, 1.0, 2.0, 1e4].map(RouterKind::patience_at);
        assert_eq!(patience, [u32::MAX, 4, 2, 2, 1, 1, 1]);
    }
}
