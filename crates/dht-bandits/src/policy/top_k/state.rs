//! Semi-bandits saved and loaded.

use super::{Draw, Sharing, TopK};
use crate::arm::ArmId;
use crate::arm_set::{ArmSet, ArmSetState};
use crate::clock::Clock;
use crate::error::Result;
use crate::exploration::Index;
use crate::posterior::{Gathered, Posterior};
use crate::saved_state::{Header, check_count, check_header, header_of};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

header_of!("top-k/");

/// A saved [`TopK`]: independent of the memory layout, checked when it is loaded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TopKState<O, S, I> {
    /// What this is a state of.
    #[serde(deserialize_with = "read_header")]
    pub header: Header,
    dimension: usize,
    options: O,
    index: I,
    sharing: Sharing,
    draw: Draw,
    arms: ArmSetState,
    pinned: Vec<ArmId>,
    version: u64,
    #[serde(alias = "oldest_accepted")]
    epoch: u64,
    learned: Vec<S>,
}

impl<P: Posterior, I: Index> TopK<P, I> {
    fn kind() -> String {
        format!("top-k/{}/{}", P::NAME, I::NAME)
    }

    /// How many arms' worth of weights there are.
    pub(crate) fn slots(&self) -> usize {
        if self.sharing == Sharing::Shared { 1 } else { self.arms.len() }
    }

    /// All that this policy is, to be saved. Loading it gives the same policy, to the bit.
    pub fn state(&self) -> TopKState<P::Options, P::ArmState, I> {
        TopKState {
            header: Header::of(Self::kind()),
            dimension: self.dimension(),
            options: self.posterior.options().clone(),
            index: self.index.clone(),
            sharing: self.sharing,
            draw: self.draw,
            arms: self.arms.state(),
            pinned: self.pinned.clone(),
            version: self.clock.version,
            epoch: self.clock.epoch,
            learned: (0..self.slots()).map(|slot| self.posterior.arm_state(slot)).collect(),
        }
    }

    /// The policy of a saved state.
    ///
    /// # Errors
    /// A state of another kind or a newer version; lengths that disagree, numbers that are not finite, precisions that
    /// are not positive, a pinned arm that does not exist.
    pub fn from_state(state: &TopKState<P::Options, P::ArmState, I>) -> Result<Self> {
        check_header(&state.header, &Self::kind())?;
        state.index.check()?;
        let arms = ArmSet::from_state(&state.arms)?;
        let clock = Clock::load(state.version, state.epoch)?;
        let mut posterior = P::empty(state.dimension, &state.options)?;
        let slots = if state.sharing == Sharing::Shared { 1 } else { arms.len() };
        check_count("learned arms", state.learned.len(), slots)?;
        for (index, learned) in state.learned.iter().enumerate() {
            posterior.push_state(index, learned)?;
        }
        let policy = Self {
            arms,
            posterior,
            index: state.index.clone(),
            sharing: state.sharing,
            draw: state.draw,
            pinned: Vec::new(),
            clock,
            gathered: Gathered::default(),
        };
        policy.with_pinned(&state.pinned)
    }
}

impl<P: Posterior, I: Index> Serialize for TopK<P, I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.state().serialize(serializer)
    }
}

impl<'de, P: Posterior, I: Index> Deserialize<'de> for TopK<P, I> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_state(&TopKState::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
