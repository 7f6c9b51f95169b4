//! The trait of head routers.

use std::fmt;

use dht_transformer::Hidden;
use rand::Rng;

use super::mode::Mode;
use super::state::HeadState;
use super::trace::{Decisions, GroupDecisions, HeadSetGroup};
use crate::error::{Error, Result};

/// The input of a head router: the samples that are about to run a group of layers.
#[derive(Debug)]
#[non_exhaustive]
pub struct GroupView<'a> {
    /// The index of the group among the dynamic groups.
    pub group: usize,
    /// The hidden rows of the samples that run the group.
    pub hidden: &'a Hidden,
    /// The indices of these samples in the batch.
    pub members: &'a [usize],
    /// The decisions so far.
    pub decisions: &'a Decisions,
}

/// Decides the heads that each sample keeps in a group of layers.
pub trait HeadRouter: Send + Sync {
    /// Decides the heads of each sample in a group. The returned [head-set groups](HeadSetGroup) together contain every
    /// index once.
    ///
    /// # Errors
    /// Errors of the router.
    fn decide(&self, view: &GroupView<'_>, mode: Mode, rng: &mut dyn Rng) -> Result<GroupDecisions>;

    /// Selects head sets of the sizes in `kept`, by index in the view, so that controls on given routes use this
    /// router's own selection. The default returns the sets of [`decide`](Self::decide) if they have these sizes.
    ///
    /// # Errors
    /// Errors of the router; the default returns [`Error::Argument`] for sizes that [`decide`](Self::decide) does not
    /// select.
    fn sets_keeping(
        &self,
        view: &GroupView<'_>,
        kept: &[usize],
        mode: Mode,
        rng: &mut dyn Rng,
    ) -> Result<Vec<HeadSetGroup>> {
        let head_sets = self.decide(view, mode, rng)?.head_sets;
        for set in &head_sets {
            if let Some(wanted) = set.indices.iter().map(|index| kept[*index]).find(|kept| *kept != set.heads.len()) {
                let expected = format!("{wanted}, which sets_keeping of this head router would choose");
                return Err(Error::shape("heads kept", expected, set.heads.len()));
            }
        }
        Ok(head_sets)
    }

    /// Returns whether the router reads the signals (entropy, margin, length) of the exit after the base layers. If the
    /// depth router does not need that exit, the executor evaluates it for the head router.
    fn reads_signals(&self) -> bool {
        false
    }

    /// Returns whether every sample keeps all heads of every group. Then a batch may run its layers in parts, without
    /// calling [`decide`](Self::decide).
    fn keeps_all(&self) -> bool {
        false
    }

    /// FLOPs of the decisions before a group for one sample, two for each multiply-add.
    fn flops(&self) -> u64 {
        0
    }

    /// The learned state; `None` by default, for a router without state.
    fn state(&self) -> Option<&dyn HeadState> {
        None
    }

    /// The learned state of [`state`](Self::state), mutable.
    fn state_mut(&mut self) -> Option<&mut dyn HeadState> {
        None
    }

    /// Returns a copy with the learned state.
    fn box_clone(&self) -> Box<dyn HeadRouter>;
}

impl Clone for Box<dyn HeadRouter> {
    fn clone(&self) -> Self {
        (**self).box_clone()
    }
}

impl fmt::Debug for dyn HeadRouter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a head router")
    }
}
