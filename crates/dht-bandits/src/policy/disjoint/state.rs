//! Saving and loading of disjoint policies, which have separate weights for each arm.

use serde::{Deserialize, Serialize};

use super::Disjoint;
use crate::arm_set::{ArmSet, ArmSetState};
use crate::clock::Clock;
use crate::error::Result;
use crate::exploration::Exploration;
use crate::policy::Policy;
use crate::posterior::{ArmState, Beliefs, Posterior, UpdateBatch};
use crate::saved_state::{StateHeader, check_header, header_reader, serde_by_state};

header_reader!("disjoint/");

/// Saved state of a [`Disjoint`] policy, independent of the memory layout. The state is checked when it is loaded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DisjointState<O, S, E> {
    /// Header of the state: the kind of policy and the version of the format.
    #[serde(deserialize_with = "read_header")]
    pub header: StateHeader,
    dimension: usize,
    options: O,
    #[serde(alias = "index")]
    exploration: E,
    arms: ArmSetState,
    version: u64,
    #[serde(alias = "oldest_accepted")]
    epoch: u64,
    learned: Vec<S>,
}

impl<P: Posterior, E: Exploration> Disjoint<P, E> {
    fn kind() -> String {
        format!("disjoint/{}/{}", P::NAME, E::name())
    }

    /// Returns the state of this policy for saving. A policy loaded from this state is identical, bit for bit.
    pub fn state(&self) -> DisjointState<P, ArmState<P>, E> {
        DisjointState {
            header: StateHeader::new(Self::kind()),
            dimension: self.dimension(),
            options: self.posterior.options().clone(),
            exploration: self.exploration.clone(),
            arms: self.arms.state(),
            version: self.clock.version,
            epoch: self.clock.epoch,
            learned: (0..self.arms.len()).map(|slot| self.posterior.arm_state(slot)).collect(),
        }
    }

    /// Creates a policy from a saved state, after checking the state.
    ///
    /// # Errors
    /// Fails if the state belongs to another kind of policy or has a newer format version, if its lengths disagree, if
    /// a value is not finite, or if a precision is not positive.
    pub fn from_state(state: &DisjointState<P, ArmState<P>, E>) -> Result<Self> {
        check_header(&state.header, &Self::kind())?;
        state.exploration.check()?;
        let mut posterior = P::Beliefs::empty(state.dimension, &state.options)?;
        let arms = ArmSet::from_state(&state.arms)?;
        crate::saved_state::check_count("learned arms", state.learned.len(), arms.len())?;
        for (index, learned) in state.learned.iter().enumerate() {
            posterior.push_state(index, learned)?;
        }
        let clock = Clock::load(state.version, state.epoch)?;
        let update_batch = UpdateBatch::default();
        Ok(Self { arms, posterior, exploration: state.exploration.clone(), clock, update_batch })
    }
}

serde_by_state!([P: Posterior, E: Exploration] Disjoint<P, E> as DisjointState);
