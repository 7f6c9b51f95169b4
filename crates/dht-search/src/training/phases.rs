//! Training in two search spaces, one after the other: the preset F-DHT first, and then P-DHT.

use rand::Rng;

use super::objective::{NextPhase, SearchObjective};
use crate::error::{Error, Result};
use crate::settings::HeadArms;
use crate::space::{BaseState, SearchSpace};

impl SearchObjective {
    /// Adds a second phase to the training run, which uses another search space, as the preset P-DHT does after two
    /// epochs of F-DHT. `epoch` is the first epoch of the phase, counted from 0.
    ///
    /// The joint bandit gets the arms of the new space. Each arm starts from the nearest old arm of the same depth
    /// ([`SearchSpace::closest_arms`]). The head-set bandit and all scaling of contexts remain as they are, and the
    /// layers of the new space's tail are frozen. Only an epoch of the second phase can be the best epoch.
    ///
    /// The new space may take its contexts from the embeddings ([`BaseState::Embedding`]), which saves the pass
    /// through the base layers. Contexts then have another meaning, so the joint bandit and its scaling start from
    /// scratch. With [`Normalization::FrozenAfterWarmUp`](crate::settings::Normalization::FrozenAfterWarmUp) the second
    /// phase begins with a separate warm-up.
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

    /// First epoch and space of the next phase; `None` once the training run has entered it.
    pub fn next_phase(&self) -> Option<(usize, &SearchSpace)> {
        self.next_phase.as_ref().map(|next_phase| (next_phase.epoch, &next_phase.space))
    }
}
