//! Bandit at an n-gram exit, before all layers. It predicts the decrease of the loss at each later exit. Not in the DHT
//! paper.

use serde::{Deserialize, Serialize};

use super::linear::LinearBandit;
use super::setup::Setup;
use crate::error::{Error, Result};
use crate::features::{Rows, SIGNALS};
use crate::routing::losses::Losses;

/// Bandit at an n-gram exit, with one arm for each later exit. Its context is the exit's [signals](signals_of), since
/// there is no hidden state before the first layer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct FrontBandit {
    linear: LinearBandit,
}

impl FrontBandit {
    /// Creates an untrained bandit for the n-gram exit.
    ///
    /// # Errors
    /// [`Argument`](dht_dynamic::Error::Argument) if the settings include arm features: they require a hidden state,
    /// which the n-gram exit does not have.
    pub(super) fn new(setup: &Setup) -> Result<Self> {
        if setup.settings.context.has_arm_features() {
            return Err(Error::argument("context", "one without features of arms, before a front exit", "paper"));
        }
        let (arms, alpha) = (setup.space.exits().len(), setup.settings.exploration.depth);
        Ok(Self { linear: LinearBandit::new(setup, SIGNALS, setup.constant().len(), arms, alpha)? })
    }

    /// Returns whether a sample stops at the n-gram exit. It continues if, for some later exit, the predicted decrease
    /// of the loss exceeds the price of that exit's computation.
    pub(super) fn leaves(&self, setup: &Setup, signals: &[f64], tokens: usize) -> Result<bool> {
        let scores = self.linear.scores(setup, signals, None, setup.constant())?;
        let mut worth = scores.into_iter().zip(setup.exit_costs(tokens)?);
        Ok(worth.all(|(score, cost)| setup.value(score, 0.0, cost) <= 0.0))
    }

    /// Updates the bandit from the losses at the n-gram exit (`before`) and at later exits (`losses`). Until the
    /// scaling of contexts is fixed, the bandit only observes the signals.
    pub(super) fn learn(&mut self, setup: &Setup, (signals, before): (&Rows, &[f64]), losses: &Losses) -> Result<()> {
        if !self.linear.is_warm(setup) {
            self.linear.observe(signals)?;
            if self.linear.observed() >= setup.settings.warm_up_contexts as f64 {
                self.linear.freeze();
            }
            return Ok(());
        }
        for (sample, (signals, before)) in signals.iter().zip(before).enumerate() {
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

    /// Rejects a restored bandit whose sizes differ from `self`.
    pub(super) fn check_like(&self, stored: &Self) -> Result<()> {
        let names = ["front bandit's dimension", "front bandit's arms", "front norm's dimension"];
        self.linear.check_like(&stored.linear, names)
    }

    pub(super) fn is_warm(&self, setup: &Setup) -> bool {
        self.linear.is_warm(setup)
    }
}
