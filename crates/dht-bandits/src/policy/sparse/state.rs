//! Saving and loading of sparse policies. Only the weights that have learned are saved.

use serde::{Deserialize, Serialize};

use super::model::SparseModel;
use super::policy::SparsePolicy;
use super::table::Table;
use crate::arm_set::{ArmSet, ArmSetState};
use crate::clock::Clock;
use crate::decision::FeatureSpace;
use crate::error::Result;
use crate::exploration::Exploration;
use crate::saved_state::{StateHeader, check_header, header_reader, serde_by_state};

header_reader!("sparse/");

/// Saved state of a [`SparsePolicy`], which is checked when it is loaded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SparseState<M, E> {
    /// Header of the state: the kind of policy and the version of the format.
    #[serde(deserialize_with = "read_header")]
    pub header: StateHeader,
    space: FeatureSpace,
    model: M,
    exploration: E,
    arms: ArmSetState,
    shared: bool,
    version: u64,
    epoch: u64,
    /// Learned weights as (feature index, arm slot, difference from the prior weight, evidence), in ascending order.
    learned: Vec<(u32, u32, f64, f64)>,
}

impl<M: SparseModel, E: Exploration> SparsePolicy<M, E> {
    fn kind() -> String {
        format!("sparse/{}/{}", M::NAME, E::name())
    }

    /// Returns the state of this policy for saving. A policy loaded from this state is identical, bit for bit.
    pub fn state(&self) -> SparseState<M, E> {
        SparseState {
            header: StateHeader::new(Self::kind()),
            space: self.space,
            model: self.model.clone(),
            exploration: self.exploration.clone(),
            arms: self.arms.state(),
            shared: self.shared,
            version: self.clock.version,
            epoch: self.clock.epoch,
            learned: self.table.state(),
        }
    }

    /// Creates a policy from a saved state, after checking the state.
    ///
    /// # Errors
    /// Fails if the state belongs to another kind of policy or has a newer format version, if weights are out of range,
    /// out of order, or not finite, or if evidence is negative.
    pub fn from_state(state: &SparseState<M, E>) -> Result<Self> {
        check_header(&state.header, &Self::kind())?;
        state.space.check()?;
        state.model.check()?;
        state.exploration.check()?;
        let arms = ArmSet::from_state(&state.arms)?;
        let slots = if state.shared { 1 } else { arms.len() };
        let table = Table::from_state(state.space.size(), slots, &state.learned)?;
        let clock = Clock::load(state.version, state.epoch)?;
        let (model, exploration) = (state.model.clone(), state.exploration.clone());
        Ok(Self { space: state.space, model, exploration, arms, shared: state.shared, table, clock })
    }
}

serde_by_state!([M: SparseModel, E: Exploration] SparsePolicy<M, E> as SparseState);
