//! A threshold on the uncertainty at every exit. It learns nothing.

use rand::Rng;

use super::bandit::Setup;
use super::{Decisions, FrontView, Mode, Router, StageView};
use crate::error::{Error, Result};
use crate::features::{log_probabilities, signals_of};

/// What is compared with the threshold: 0 for one sure class, more where the classes are alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Uncertainty {
    /// −Σ p·ln p / ln C of the C probabilities, as in FastBERT (Liu et al. 2020): 0 to 1.
    Entropy,
    /// 1 − max p, the "least confidence" of Lewis and Gale (1994): 0 to 1 − 1/C.
    LeastConfidence,
}

impl Uncertainty {
    /// Of the log-probabilities of the classes.
    fn of(self, logs: impl ExactSizeIterator<Item = f64>) -> f64 {
        match self {
            Self::Entropy => {
                let classes = logs.len() as f64;
                logs.map(|log| -log.exp() * log).sum::<f64>() / classes.ln()
            }
            Self::LeastConfidence => 1.0 - logs.fold(f64::NEG_INFINITY, f64::max).exp(),
        }
    }
}

/// A sample leaves at the first exit, the front exit included, where the uncertainty is below the threshold.
///
/// With a threshold of 0 every sample goes to the last exit, with one above 1 every sample leaves at the first. While routes
/// are random, exits are drawn in proportion to a power of their depth. [`Router::flops`] stays 0, since neither measure needs
/// products; the exits' own FLOPs are counted where they run.
#[derive(Debug, Clone)]
pub(super) struct Threshold {
    setup: Setup,
    measure: Uncertainty,
    threshold: f64,
}

impl Threshold {
    pub(super) fn new(setup: Setup, measure: Uncertainty, threshold: f64) -> Self {
        Self { setup, measure, threshold }
    }
}

impl Router for Threshold {
    fn reads(&self, exit: usize, last: usize) -> bool {
        exit < last
    }

    fn leaves_in_front(&self, view: &FrontView<'_>, mode: Mode) -> Result<Vec<bool>> {
        let leaves = |logs: &&[f64]| mode != Mode::Random && self.measure.of(logs.iter().copied()) < self.threshold;
        Ok(view.log_probabilities.iter().map(leaves).collect())
    }

    fn start(&self, view: &StageView<'_>, last: usize, mode: Mode, rng: &mut dyn Rng) -> Result<Decisions> {
        let depths = self.setup.depths();
        let exit = |_| if mode == Mode::Random { self.setup.random_by_depth(&depths, rng) } else { last };
        Ok(Decisions::leaving_at((0..view.members.len()).map(exit).collect()))
    }

    fn at_exit(&self, view: &StageView<'_>, decisions: &mut Decisions, mode: Mode, _: &mut dyn Rng) -> Result<()> {
        let missing = || Error::setting("logits", "those of the exit", "none");
        let logits = view.logits.ok_or_else(missing)?;
        // In f64 also where they were computed in f32: near 0 the uncertainties of sure texts lie close together.
        let rows = log_probabilities(logits)?;
        // The head bandits look at the signals too.
        decisions.signals.resize(decisions.exits.len(), Vec::new());
        for ((&member, logs), length) in view.members.iter().zip(&rows).zip(view.hidden.spans().lengths()) {
            let uncertainty = self.measure.of(logs.iter().copied());
            if mode != Mode::Random && uncertainty < self.threshold {
                decisions.leave(member, view.exit)?;
            }
            decisions.signals[member] = signals_of(logs, length);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_measures_of_known_probabilities() {
        let logs = [0.5_f64, 0.25, 0.25].map(f64::ln);
        let entropy = Uncertainty::Entropy.of(logs.into_iter());
        assert!((entropy - 1.5 * 2_f64.ln() / 3_f64.ln()).abs() < 1e-12, "{entropy}");
        assert!((Uncertainty::LeastConfidence.of(logs.into_iter()) - 0.5).abs() < 1e-12);
        for measure in [Uncertainty::Entropy, Uncertainty::LeastConfidence] {
            let sure = measure.of([0.0, -1e3].into_iter());
            assert!((0.0..1e-12).contains(&sure), "nothing is below a threshold of 0: {sure}");
        }
    }
}
