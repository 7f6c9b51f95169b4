//! A threshold on the entropy at every exit, as in FastBERT (Liu et al. 2020). It learns nothing.

use rand::Rng;

use super::bandit::Setup;
use super::{Decisions, Mode, Router, StageView};
use crate::error::{Error, Result};
use crate::features::signals;

/// A sample leaves at the first exit where −Σ p·ln p / ln C of the exit's C probabilities is below the threshold.
///
/// The entropy lies between 0 and 1: with a threshold of 0 every sample goes to the last exit, with one above 1 every
/// sample leaves at the first. While routes are random, exits are drawn in proportion to a power of their depth.
/// [`Router::flops`] stays 0, since an entropy needs no products; the exits' own FLOPs are counted where they run.
#[derive(Debug, Clone)]
pub(super) struct EntropyThreshold {
    setup: Setup,
    threshold: f64,
}

impl EntropyThreshold {
    pub(super) fn new(setup: Setup, threshold: f64) -> Self {
        Self { setup, threshold }
    }
}

impl Router for EntropyThreshold {
    fn reads(&self, exit: usize, last: usize) -> bool {
        exit < last
    }

    fn start(&self, view: &StageView<'_>, last: usize, mode: Mode, rng: &mut dyn Rng) -> Result<Decisions> {
        let depths = self.setup.depths();
        let exit = |_| if mode == Mode::Random { self.setup.random_by_depth(&depths, rng) } else { last };
        Ok(Decisions::leaving_at((0..view.members.len()).map(exit).collect()))
    }

    fn at_exit(&self, view: &StageView<'_>, decisions: &mut Decisions, mode: Mode, _: &mut dyn Rng) -> Result<()> {
        let missing = || Error::setting("logits", "those of the exit", "none");
        let signals = signals(view.logits.ok_or_else(missing)?, view.hidden.spans().lengths())?;
        decisions.signals.resize(decisions.exits.len(), Vec::new());
        for (&member, signals) in view.members.iter().zip(signals) {
            if mode != Mode::Random && signals[0] < self.threshold {
                decisions.leave(member, view.exit)?;
            }
            // The head bandits look at them too.
            decisions.signals[member] = signals;
        }
        Ok(())
    }

    fn set_speed(&mut self, threshold: f64) -> Result<()> {
        self.setup.settings = self.setup.settings.at_speed(threshold)?;
        self.threshold = threshold;
        Ok(())
    }

    fn box_clone(&self) -> Box<dyn Router> {
        Box::new(self.clone())
    }
}
