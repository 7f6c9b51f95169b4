//! Early-exit routers without learning, in a search: thresholds and patience.

use std::sync::Arc;

use dht_dynamic::router::ExitView;
use dht_dynamic::{LogProbabilities, router::LeavingRule};
use rand::Rng;

use super::bandit::Setup;
use super::mode::Mode;
use super::router::{Router, StageView};
use super::state::RouterState;
use super::trace::Decisions;
use crate::error::{Error, Result};
use crate::features::log_probabilities;

/// Router that applies an early-exit rule at every exit.
///
/// With a threshold, random routes draw exits in proportion to a power of their depth. Patience sends every sample to
/// the last exit in training, since PABEE trains all exits on all samples.
#[derive(Debug, Clone)]
pub(super) struct ByRule {
    setup: Setup,
    router: Arc<dyn dht_dynamic::Router>,
}

impl ByRule {
    /// Builds the router that the settings define, which must be a router without learning.
    pub(super) fn new(setup: Setup) -> Result<Self> {
        let rule = setup.settings.router.rule();
        let rule = rule.ok_or_else(|| Error::argument("router", "one that learns nothing", "a bandit"))?;
        let router = rule.router(setup.settings.speed().unwrap_or_default())?;
        Ok(Self { setup, router })
    }

    fn is_patient(&self) -> bool {
        self.router.rule() == Some(LeavingRule::Patience)
    }
}

impl Router for ByRule {
    fn reads(&self, exit: usize, last: usize) -> bool {
        self.router.reads(exit, last)
    }

    fn start(&self, view: &StageView<'_>, last: usize, mode: Mode, rng: &mut dyn Rng) -> Result<Decisions> {
        let depths = self.setup.depths();
        let random = mode == Mode::Random && !self.is_patient();
        let exit = |_| if random { self.setup.random_by_depth(&depths, rng) } else { last };
        Ok(Decisions::leaving_at((0..view.members.len()).map(exit).collect()))
    }

    fn at_exit(&self, view: &StageView<'_>, decisions: &mut Decisions, mode: Mode, _: &mut dyn Rng) -> Result<()> {
        let may_leave = if self.is_patient() { mode == Mode::Exploit } else { mode != Mode::Random };
        // At speed 0 no sample leaves, and the exit is not read.
        if !may_leave || self.router.speed() == Some(0.0) {
            return Ok(());
        }
        let missing = || Error::argument("logits", "those of the exit", "none");
        // In f64 even where they were computed in f32: near 0 the uncertainties of confident texts are close together.
        let rows = log_probabilities(view.logits.ok_or_else(missing)?)?;
        let lengths: Vec<usize> = view.hidden.spans().lengths().collect();
        let answers = LogProbabilities::new(rows.first().map_or(1, Vec::len), rows.concat())?;
        let ids = view.hidden.packing().sample_ids();
        let here = ExitView::new(view.exit, view.members, ids, &lengths, Some(&answers), Some(view.hidden));
        let leaves = self.router.leaves(&here, decisions.notes_mut())?;
        for (&member, leaves) in view.members.iter().zip(leaves) {
            if leaves {
                decisions.leave(member, view.exit)?;
            }
        }
        Ok(())
    }

    fn state(&self) -> Option<&dyn RouterState> {
        Some(self)
    }

    fn state_mut(&mut self) -> Option<&mut dyn RouterState> {
        Some(self)
    }

    fn box_clone(&self) -> Box<dyn Router> {
        Box::new(self.clone())
    }
}

impl RouterState for ByRule {
    fn speed(&self) -> Option<f64> {
        self.router.speed()
    }

    fn set_speed(&mut self, speed: f64) -> Result<()> {
        let settings = self.setup.settings.at_speed(speed)?;
        self.router = self.router.at_speed(speed)?;
        self.setup.settings = settings;
        Ok(())
    }
}
