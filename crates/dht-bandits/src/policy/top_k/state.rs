//! Saving and loading of semi-bandits, which choose slates.

use serde::{Deserialize, Serialize};

use super::semi_bandit::{Draw, SharedPropensity, Sharing, TopK};
use crate::arm::ArmId;
use crate::arm_set::{ArmSet, ArmSetState};
use crate::clock::Clock;
use crate::error::Result;
use crate::exploration::Exploration;
use crate::features::Interactions;
use crate::posterior::{ArmState, Beliefs, Posterior, UpdateBatch};
use crate::saved_state::{StateHeader, check_count, check_header, header_reader, serde_by_state};
use crate::validate::check_length;

header_reader!("top-k/");

/// Saved state of a [`TopK`] policy, independent of the memory layout. The state is checked when it is loaded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopKState<O, S, E> {
    /// Header of the state: the kind of policy and the version of the format.
    #[serde(deserialize_with = "read_header")]
    pub header: StateHeader,
    dimension: usize,
    options: O,
    #[serde(alias = "index")]
    exploration: E,
    sharing: Sharing,
    draw: Draw,
    arms: ArmSetState,
    pinned: Vec<ArmId>,
    version: u64,
    #[serde(alias = "oldest_accepted")]
    epoch: u64,
    learned: Vec<S>,
    #[serde(default)]
    interactions: Option<Interactions>,
    #[serde(default)]
    shared_propensity: SharedPropensity,
}

impl<P: Posterior, E: Exploration> TopK<P, E> {
    fn kind() -> String {
        format!("top-k/{}/{}", P::NAME, E::name())
    }

    /// Number of weight vectors: 1 if arms share their weights, else one for each arm.
    pub(super) fn slots(&self) -> usize {
        if self.sharing == Sharing::Shared { 1 } else { self.arms.len() }
    }

    /// Returns the state of this policy for saving. A policy loaded from this state is identical, bit for bit.
    pub fn state(&self) -> TopKState<P, ArmState<P>, E> {
        TopKState {
            header: StateHeader::new(Self::kind()),
            dimension: self.posterior.dimension(),
            options: self.posterior.options().clone(),
            exploration: self.exploration.clone(),
            sharing: self.sharing,
            draw: self.draw,
            shared_propensity: self.shared_propensity,
            arms: self.arms.state(),
            pinned: self.pinned.clone(),
            version: self.clock.version,
            epoch: self.clock.epoch,
            learned: (0..self.slots()).map(|slot| self.posterior.arm_state(slot)).collect(),
            interactions: self.interactions.clone(),
        }
    }

    /// Creates a policy from a saved state, after checking the state.
    ///
    /// # Errors
    /// Fails if the state belongs to another kind of policy or has a newer format version, or if its lengths disagree.
    /// Also fails if a value is not finite, if a precision is not positive, or if a pinned arm does not exist.
    pub fn from_state(state: &TopKState<P, ArmState<P>, E>) -> Result<Self> {
        check_header(&state.header, &Self::kind())?;
        state.exploration.check()?;
        state.shared_propensity.check()?;
        let arms = ArmSet::from_state(&state.arms)?;
        let clock = Clock::load(state.version, state.epoch)?;
        let mut posterior = P::Beliefs::empty(state.dimension, &state.options)?;
        let slots = if state.sharing == Sharing::Shared { 1 } else { arms.len() };
        check_count("learned arms", state.learned.len(), slots)?;
        for (index, learned) in state.learned.iter().enumerate() {
            posterior.push_state(index, learned)?;
        }
        // A state is refused if it lacks the weights for the products.
        if let Some(interactions) = &state.interactions {
            check_count("weights of a policy with interactions", state.dimension, interactions.dimension())?;
            check_length("features of an arm", interactions.features())?;
        }
        let policy = Self {
            arms,
            posterior,
            exploration: state.exploration.clone(),
            sharing: state.sharing,
            draw: state.draw,
            shared_propensity: state.shared_propensity,
            pinned: Vec::new(),
            clock,
            update_batch: UpdateBatch::default(),
            interactions: state.interactions.clone(),
            expanded: Vec::new(),
        };
        policy.with_pinned(&state.pinned)
    }
}

serde_by_state!([P: Posterior, E: Exploration] TopK<P, E> as TopKState);
