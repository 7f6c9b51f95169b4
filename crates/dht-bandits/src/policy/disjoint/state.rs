//! Disjoint policies saved and loaded.

use super::Disjoint;
use crate::arm_set::{ArmSet, ArmSetState};
use crate::clock::Clock;
use crate::error::Result;
use crate::exploration::Index;
use crate::posterior::{Gathered, Posterior};
use crate::saved_state::{Header, check_header, header_of};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

header_of!("disjoint/");

/// A saved [`Disjoint`] policy: independent of the memory layout, checked when it is loaded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DisjointState<O, S, I> {
    /// What this is a state of.
    #[serde(deserialize_with = "read_header")]
    pub header: Header,
    dimension: usize,
    options: O,
    index: I,
    arms: ArmSetState,
    version: u64,
    #[serde(alias = "oldest_accepted")]
    epoch: u64,
    learned: Vec<S>,
}

impl<P: Posterior, I: Index> Disjoint<P, I> {
    fn kind() -> String {
        format!("disjoint/{}/{}", P::NAME, I::NAME)
    }

    /// All that this policy is, to be saved. Loading it gives the same policy, to the bit.
    pub fn state(&self) -> DisjointState<P::Options, P::ArmState, I> {
        DisjointState {
            header: Header::of(Self::kind()),
            dimension: self.dimension(),
            options: self.posterior.options().clone(),
            index: self.index.clone(),
            arms: self.arms.state(),
            version: self.clock.version,
            epoch: self.clock.epoch,
            learned: (0..self.arms.len()).map(|slot| self.posterior.arm_state(slot)).collect(),
        }
    }

    /// The policy of a saved state.
    ///
    /// # Errors
    /// A state of another kind or a newer version; lengths that disagree, numbers that are not finite, precisions that
    /// are not positive.
    pub fn from_state(state: &DisjointState<P::Options, P::ArmState, I>) -> Result<Self> {
        check_header(&state.header, &Self::kind())?;
        state.index.check()?;
        let mut posterior = P::empty(state.dimension, &state.options)?;
        let arms = ArmSet::from_state(&state.arms)?;
        crate::saved_state::check_count("learned arms", state.learned.len(), arms.len())?;
        for (index, learned) in state.learned.iter().enumerate() {
            posterior.push_state(index, learned)?;
        }
        let clock = Clock::load(state.version, state.epoch)?;
        let gathered = Gathered::default();
        Ok(Self { arms, posterior, index: state.index.clone(), clock, gathered })
    }
}

impl<P: Posterior, I: Index> Serialize for Disjoint<P, I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.state().serialize(serializer)
    }
}

impl<'de, P: Posterior, I: Index> Deserialize<'de> for Disjoint<P, I> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let state = DisjointState::deserialize(deserializer)?;
        Self::from_state(&state).map_err(serde::de::Error::custom)
    }
}
