//! Router that applies an early-exit rule (threshold or patience) in training and inference of a search model.

use std::sync::Arc;

use dht_dynamic::Router;
use dht_dynamic::router::{Decisions, ExitView, LeavingRule, Mode};

use super::bandit::Setup;
use super::learner::Learner;
use crate::error::{Error, Result};

/// Router that applies an early-exit rule, and selects the routes on which the model is trained.
///
/// For a threshold rule, training routes are random: the probability of an exit is proportional to a power of its
/// depth. For a patience rule, every training sample runs to the last exit, since PABEE trains all exits on all
/// samples.
#[derive(Debug, Clone)]
pub(super) struct RuleInTraining {
    setup: Setup,
    router: Arc<dyn Router>,
}

impl RuleInTraining {
    /// Creates the router from the settings, which must define an early-exit rule.
    pub(super) fn new(setup: Setup) -> Result<Self> {
        let rule = setup.settings.router.rule();
        let rule = rule.ok_or_else(|| Error::argument("router", "a threshold or a patience", "a bandit"))?;
        let router = rule.router(setup.settings.speed().unwrap_or_default())?;
        Ok(Self { setup, router })
    }

    fn is_patient(&self) -> bool {
        self.router.rule() == Some(LeavingRule::Patience)
    }
}

impl Router for RuleInTraining {
    fn reads(&self, exit: usize, last: usize) -> bool {
        self.router.reads(exit, last)
    }

    fn begin(
        &self,
        _: &ExitView<'_>,
        decisions: &mut Decisions,
        _last: usize,
        mode: &mut Mode<'_>,
    ) -> dht_dynamic::Result<()> {
        if let Mode::Random(rng) = mode
            && !self.is_patient()
        {
            self.setup.draw_exits(&mut decisions.exits, rng);
        }
        Ok(())
    }

    fn at_exit(&self, view: &ExitView<'_>, decisions: &mut Decisions, mode: &mut Mode<'_>) -> dht_dynamic::Result<()> {
        let may_leave = if self.is_patient() { mode.is_exploit() } else { !matches!(mode, Mode::Random(_)) };
        if may_leave { self.router.at_exit(view, decisions, mode) } else { Ok(()) }
    }

    fn speed(&self) -> Option<f64> {
        self.router.speed()
    }

    fn at_speed(&self, speed: f64) -> dht_dynamic::Result<Arc<dyn Router>> {
        let mut other = self.clone();
        other.set_speed(speed)?;
        Ok(Arc::new(other))
    }
}

impl Learner for RuleInTraining {
    fn set_speed(&mut self, speed: f64) -> Result<()> {
        let settings = self.setup.settings.at_speed(speed)?;
        self.router = self.router.at_speed(speed)?;
        self.setup.settings = settings;
        Ok(())
    }

    fn box_clone(&self) -> Box<dyn Learner> {
        Box::new(self.clone())
    }
}
