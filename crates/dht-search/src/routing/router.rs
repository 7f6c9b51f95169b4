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
    /// The index of the exit, counted from 0.
    pub exit: usize,
    /// The hidden rows of the samples that reached this exit.
    pub hidden: &'a Hidden,
    /// The indices of these samples in the batch.
    pub members: &'a [usize],
    /// The exit's logits (samples, classes), if the router [reads](Router::reads) them.
    pub logits: Option<&'a Tensor>,
}

/// Decides the depth of each sample. [`SearchModel::with_router`](crate::SearchModel::with_router) sets it;
/// [`OwnParts`](crate::OwnParts) has a program that saves and loads a model with a custom router.
///
/// # Examples
/// A router without state, which sends short texts to the first exit:
///
/// ```
/// use dht_search::routing::Mode;
/// use dht_search::{Decisions, Result, Router, StageView};
/// use rand::Rng;
///
/// #[derive(Clone)]
/// struct ByLength {
///     tokens: usize,
/// }
///
/// impl Router for ByLength {
///     fn reads(&self, _exit: usize, _last: usize) -> bool {
///         false // no decision needs an exit's logits
///     }
///
///     fn start(&self, view: &StageView<'_>, last: usize, _: Mode, _: &mut dyn Rng) -> Result<Decisions> {
///         let exit = |tokens| if tokens <= self.tokens { 0 } else { last };
///         Ok(Decisions::leaving_at(view.hidden.spans().lengths().map(exit).collect()))
///     }
///
///     fn box_clone(&self) -> Box<dyn Router> {
///         Box::new(self.clone())
///     }
/// }
/// ```
pub trait Router: Send + Sync {
    /// Returns whether decisions need the logits of this exit; `last` is the index of the last exit.
    fn reads(&self, exit: usize, last: usize) -> bool;

    /// Returns whether [`start`](Self::start) reads the state. If the state comes from a
    /// [pre-pass](crate::space::BaseState::PrePass), that pass is skipped for a router that does not read the state.
    fn needs_state(&self) -> bool {
        true
    }

    /// Makes the decisions that are possible before the first group of layers. `view` has index 0 and contains the base
    /// state, from which routes are decided. By default all samples run to the last exit.
    ///
    /// # Errors
    /// Errors of the router.
    fn start(&self, view: &StageView<'_>, last: usize, _: Mode, _: &mut dyn Rng) -> Result<Decisions> {
        Ok(Decisions::leaving_at(vec![last; view.hidden.samples()]))
    }

    /// Decides at an exit before the last which of its samples [leave](Decisions::leave). By default, the samples that
    /// [`start`](Self::start) sent to this exit leave.
    ///
    /// # Errors
    /// Errors of the router.
    fn at_exit(&self, _: &StageView<'_>, _: &mut Decisions, _: Mode, _: &mut dyn Rng) -> Result<()> {
        Ok(())
    }

    /// FLOPs of deciding that a sample leaves at this exit, two for each multiply-add.
    fn flops(&self, _exit: usize) -> u64 {
        0
    }

    /// The learned state and the speed; `None` by default, for a router without state.
    fn state(&self) -> Option<&dyn RouterState> {
        None
    }

    /// The learned state and the speed of [`state`](Self::state), mutable.
    fn state_mut(&mut self) -> Option<&mut dyn RouterState> {
        None
    }

    /// Returns a copy with the learned state.
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
