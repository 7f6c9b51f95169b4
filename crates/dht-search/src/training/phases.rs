//! Training in two consecutive search spaces: the preset F-DHT, then P-DHT.

use rand::Rng;

use super::objective::{NextPhase, SearchObjective};
use crate::error::{Error, Result};
use crate::settings::HeadArms;
use crate::space::{BaseState, SearchSpace};

impl SearchObjective {
    /// Adds a second phase to the training run, in another search space. P-DHT, for example, follows two epochs of
    /// F-DHT. `epoch` is the first epoch of the phase, counted from 0.
    ///
    /// In the second phase, each arm of the joint bandit starts from the nearest old arm of the same depth
    /// ([`SearchSpace::closest_arms`]). The head-set bandit and the scaling of contexts do not change, and the tail
    /// (last layers) of the new space is frozen. The best epoch is selected from the second phase.
    ///
    /// The new space may compute contexts from the embeddings ([`BaseState::Embedding`]), which saves a pass through
    /// the base layers. The joint bandit and its scaling then start from scratch. With
    /// [`Normalization::FrozenAfterWarmUp`](crate::settings::Normalization::FrozenAfterWarmUp) the second phase begins
    /// with a separate warm-up.
    ///
    /// # Errors
    /// * [`Argument`](dht_dynamic::Error::Argument) if the old or the new space is a tree space, or if the two spaces
    ///   are for models of different sizes.
    /// * [`Argument`](dht_dynamic::Error::Argument) if the contexts of the new space come neither from the same number
    ///   of layers as before nor from the embeddings.
    /// * [`Argument`](dht_dynamic::Error::Argument) with [`HeadArms::PerHeadAndGroup`], since the groups of layers
    ///   change.
    /// * As [`SearchSettings::check_with`](crate::settings::SearchSettings::check_with).
    pub fn with_next_phase<R: Rng + ?Sized>(mut self, space: SearchSpace, epoch: usize, rng: &mut R) -> Result<Self> {
        let refuse = |field, expected: &str, got: &str| Err(Error::argument(field, expected, got));
        if self.dynamic.space().is_tree() || space.is_tree() {
            return refuse("next space", "an integrated search after an integrated search", "a tree search");
        }
        let own = self.dynamic.space();
        let same_base = space.base_layers() == own.base_layers() || space.config().base_state == BaseState::Embedding;
        if space.model_shape() != own.model_shape() || !same_base {
            let expected = "one of the same size, whose contexts come from as many layers or from the embeddings";
            return refuse("next space", expected, "another");
        }
        self.settings().check_with(&space)?;
        if self.settings().head_arms == HeadArms::PerHeadAndGroup {
            return refuse("head_arms", "per head, since the groups change", "per head and group");
        }
        let model = self.dynamic.model.prepare_layout(space.layout().clone(), rng)?;
        self.next_phase = Some(NextPhase { epoch, space, model });
        Ok(self)
    }

    /// Changes the model and its routers to the search space of the next training phase.
    pub(super) fn enter(&mut self, next_phase: NextPhase) -> Result<()> {
        let NextPhase { space, model, .. } = next_phase;
        self.dynamic.router.enter(&space)?;
        self.dynamic.heads.enter(&space)?;
        if let Some(queues) = &mut self.queues {
            queues.set_exits(space.exits().len());
        }
        self.dynamic.model.enter(model);
        self.dynamic.space = space;
        Ok(())
    }

    /// First epoch and search space of the second phase; `None` if there is none or it has begun.
    pub fn next_phase(&self) -> Option<(usize, &SearchSpace)> {
        self.next_phase.as_ref().map(|next_phase| (next_phase.epoch, &next_phase.space))
    }
}
