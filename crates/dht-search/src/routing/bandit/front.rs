//! The bandit at the front exit: it predicts what each exit gains over the front exit. Not in the paper.

use serde::{Deserialize, Serialize};

use super::linear::LinearBandit;
use super::setup::Setup;
use crate::error::{Error, Result};
use crate::features::{SIGNALS, signals_of};
use crate::routing::{Decisions, FrontView, Losses, Mode};

/// An arm for each exit; the context is the [signals](signals_of) of what the front exit says, since no layer has run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct FrontBandit {
    linear: LinearBandit,
}

impl FrontBandit {
    /// # Errors
    /// [`Error::Setting`] for contexts with features of arms: the front exit has no state to compare them with.
    pub(super) fn new(setup: &Setup) -> Result<Self> {
        if setup.settings.context.has_arm_features() {
            return Err(Error::setting("context", "one without features of arms, before a front exit", "paper"));
        }
        let (arms, alpha) = (setup.space.exits().len(), setup.settings.exploration.depth);
        Ok(Self { linear: LinearBandit::new(setup, SIGNALS, setup.constant().len(), arms, alpha)? })
    }

    /// Which samples leave: those for which no exit is predicted to gain more than it costs. None before the warm-up is over.
    pub(super) fn leaves(&self, setup: &Setup, view: &FrontView<'_>, mode: Mode) -> Result<Vec<bool>> {
        if !self.linear.is_warm(setup) || mode == Mode::Random {
            return Ok(vec![false; view.sample_ids.len()]);
        }
        let alpha = setup.settings.exploration.depth;
        let of_sample = |(logs, tokens): (&&[f64], &usize)| {
            let scores = self.linear.scores(setup, &signals_of(logs, *tokens), None, setup.constant())?;
            let costs = setup.exit_costs(*tokens)?;
            Ok(scores.into_iter().zip(costs).all(|(score, cost)| setup.value(score, alpha, cost, mode) <= 0.0))
        };
        view.log_probabilities.iter().zip(&view.lengths).map(of_sample).collect()
    }

    /// Learns from batches whose samples the front exit and some exits have read, once the scaling is fixed.
    pub(super) fn learn(&mut self, setup: &Setup, decisions: &Decisions, losses: &Losses) -> Result<()> {
        if !self.linear.is_warm(setup) {
            self.linear.observe(&decisions.front)?;
            if self.linear.observed() >= setup.settings.warm_up_contexts as f64 {
                self.linear.freeze();
            }
            return Ok(());
        }
        for (sample, (signals, before)) in decisions.front.iter().zip(&losses.front).enumerate() {
            for exit in 0..setup.space.exits().len() {
                if let Some(after) = losses.at(exit, sample) {
                    self.linear.update(setup, exit, signals, None, setup.constant(), before - after)?;
                }
            }
        }
        Ok(())
    }

    pub(super) fn flops(&self) -> u64 {
        self.linear.flops()
    }

    pub(super) fn take_learning_flops(&mut self) -> u64 {
        self.linear.take_learning_flops()
    }

    /// Refuses a stored bandit of other sizes than this one's.
    pub(super) fn check_like(&self, stored: &Self) -> Result<()> {
        let names = ["front bandit's dimension", "front bandit's arms", "front norm's dimension"];
        self.linear.check_like(&stored.linear, names)
    }

    /// Whether it can decide.
    pub(super) fn is_warm(&self, setup: &Setup) -> bool {
        self.linear.is_warm(setup)
    }
}
