//! The trait of routers.

use std::fmt;

use candle_core::Tensor;
use dht_transformer::Hidden;
use rand::Rng;

use super::mode::Mode;
use super::state::RouterState;
use super::trace::Decisions;
use crate::error::Result;

/// The input of a router: the samples at an exit.
#[derive(Debug)]
#[non_exhaustive]
pub struct StageView<'a> {
    /// The exit's index, from 0.
    pub exit: usize,
    /// The hidden rows of the samples that reached this exit.
    pub hidden: &'a Hidden,
    /// Their indices in the batch.
    pub members: &'a [usize],
    /// The exit's logits (samples, classes), where the router [reads](Router::reads) them.
    pub logits: Option<&'a Tensor>,
}

/// Decides how deep each sample goes.
pub trait Router: Send + Sync {
    /// Whether decisions need the logits of this exit; `last` is the index of the last one.
    fn reads(&self, exit: usize, last: usize) -> bool;

    /// Whether [`start`](Self::start) looks at the state. Where that state comes from a
    /// [pre-pass](crate::space::BaseState::PrePass), a router that does not look at it spares it.
    fn needs_state(&self) -> bool {
        true
    }

    /// Decides what can be decided before the first group of layers. `view` holds the state that routes are decided from,
    /// as exit 0. By default all samples go to the last exit.
    ///
    /// # Errors
    /// What the router reports.
    fn start(&self, view: &StageView<'_>, last: usize, _: Mode, _: &mut dyn Rng) -> Result<Decisions> {
        Ok(Decisions::leaving_at(vec![last; view.hidden.samples()]))
    }

    /// Decides at an exit, but the last, which of the samples there [leave](Decisions::leave). By default those that
    /// [`start`](Self::start) sent there.
    ///
    /// # Errors
    /// What the router reports.
    fn at_exit(&self, _: &StageView<'_>, _: &mut Decisions, _: Mode, _: &mut dyn Rng) -> Result<()> {
        Ok(())
    }

    /// FLOPs of deciding that a sample leaves at this exit, two for each multiply-add.
    fn flops(&self, _exit: usize) -> u64 {
        0
    }

    /// What it has learned, and its speed; `None` by default: nothing changes in it.
    fn state(&self) -> Option<&dyn RouterState> {
        None
    }

    /// As [`state`](Self::state), to be changed.
    fn state_mut(&mut self) -> Option<&mut dyn RouterState> {
        None
    }

    /// A copy, with what it has learned.
    fn box_clone(&self) -> Box<dyn Router>;
}

impl Clone for Box<dyn Router> {
    fn clone(&self) -> Self {
        (**self).box_clone()
    }
}

impl fmt::Debug for dyn Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a router")
    }
}
