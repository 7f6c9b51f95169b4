//! A training in two spaces: F-DHT first, and then P-DHT.

use rand::Rng;

use crate::error::{Error, Result};
use crate::model::{DynamicModel, ExitClassifiers, freeze_tail};
use crate::settings::HeadArms;
use crate::space::SearchSpace;

/// The space that a search will go on in.
#[derive(Debug, Clone)]
pub(crate) struct NextPhase {
    /// From this epoch on, counted from 0.
    pub(crate) epoch: usize,
    pub(crate) space: SearchSpace,
    pub(crate) heads: ExitClassifiers,
}

impl DynamicModel {
    /// The same model, whose search goes on in another space from an epoch (counted from 0) on, as P-DHT does after two
    /// epochs of F-DHT: UCB_cp gets the arms of that space, each started from the nearest old one of its depth
    /// ([`SearchSpace::closest_arms`]), the head bandit and all scaling stay, and the layers of a tail are frozen. Only
    /// what comes after counts as the best epoch.
    ///
    /// # Errors
    /// [`Error::Setting`] unless both spaces are integrated, of one size and base, and as
    /// [`SearchSettings::check_with`](crate::settings::SearchSettings::check_with); with [`HeadArms::PerHeadAndGroup`], whose groups change.
    pub fn with_next_phase<R: Rng + ?Sized>(mut self, space: SearchSpace, epoch: usize, rng: &mut R) -> Result<Self> {
        let refuse = |field, expected: &str, got: &str| Err(Error::setting(field, expected, got));
        if self.space.is_tree() || space.is_tree() {
            return refuse("later space", "an integrated search after an integrated search", "a tree search");
        }
        if (space.model_shape(), space.base_layers()) != (self.space.model_shape(), self.space.base_layers()) {
            return refuse("later space", "one of the same size and base layers", "another");
        }
        self.settings().check_with(&space)?;
        if self.settings().head_arms == HeadArms::PerHeadAndGroup {
            return refuse("head_arms", "per head, since the groups change", "per head and group");
        }
        let settings = self.bandits.settings();
        let heads = self.heads.with_next_phase(&mut self.encoder, &space, settings, rng)?;
        self.next_phase = Some(NextPhase { epoch, space, heads });
        Ok(self)
    }

    /// Goes on in the later space.
    pub(super) fn go_on(&mut self, next_phase: NextPhase) -> Result<()> {
        let NextPhase { space, heads, .. } = next_phase;
        self.bandits.continue_in(&space, self.encoder.block_shape(), heads.shape())?;
        if let Some(queues) = &mut self.queues {
            queues.set_exits(space.exits().len());
        }
        self.leave_for(space, heads);
        Ok(())
    }

    /// Another space with its exits: its tail is frozen, that of the one before is not.
    pub(super) fn leave_for(&mut self, space: SearchSpace, heads: ExitClassifiers) {
        freeze_tail(&self.encoder, &self.space, false);
        freeze_tail(&self.encoder, &space, true);
        (self.space, self.heads) = (space, heads);
    }

    /// The space that the search will go on in, and from which epoch, until it does.
    pub fn later_space(&self) -> Option<(usize, &SearchSpace)> {
        self.next_phase.as_ref().map(|next_phase| (next_phase.epoch, &next_phase.space))
    }
}
