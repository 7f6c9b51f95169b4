//! Saving and loading of hybrid policies.

use super::{Hybrid, HybridOptions};
use crate::arm_set::{ArmSet, ArmSetState};
use crate::clock::Clock;
use crate::error::Result;
use crate::exploration::Exploration;
use crate::gaussian::{Factors, check, check_dimension};
use crate::policy::Policy;
use crate::posterior::RidgeArmState;
use crate::saved_state::{StateHeader, check_count, check_header, header_reader, serde_by_state};
use crate::validate::check_part;
use serde::{Deserialize, Serialize};

header_reader!("hybrid/");

/// Saved [`Hybrid`]: independent of the memory layout, checked when it is loaded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HybridState<E> {
    /// Kind and format of the state.
    #[serde(deserialize_with = "read_header")]
    pub header: StateHeader,
    dimension: usize,
    shared_dimension: usize,
    options: HybridOptions,
    #[serde(alias = "index")]
    exploration: E,
    arms: ArmSetState,
    version: u64,
    #[serde(alias = "oldest_accepted")]
    epoch: u64,
    shared: RidgeArmState,
    own: Vec<RidgeArmState>,
    cross: Vec<f64>,
}

fn arm_state(factors: &Factors, slot: usize) -> RidgeArmState {
    let parts = factors.parts(slot);
    RidgeArmState { mean: parts.mean, diagonal: parts.diagonal, upper: parts.upper, updates: 0, information: None }
}

impl<E: Exploration> Hybrid<E> {
    fn kind() -> String {
        format!("hybrid/{}", E::name())
    }

    /// Returns the state of this policy, to be saved. Loading it gives the same policy, bit for bit.
    pub fn state(&self) -> HybridState<E> {
        HybridState {
            header: StateHeader::new(Self::kind()),
            dimension: self.dimension(),
            shared_dimension: self.shared_dimension(),
            options: self.options,
            exploration: self.exploration.clone(),
            arms: self.arms.state(),
            version: self.clock.version,
            epoch: self.clock.epoch,
            shared: arm_state(&self.shared, 0),
            own: (0..self.arms.len()).map(|slot| arm_state(&self.own, slot)).collect(),
            cross: self.cross.clone(),
        }
    }

    /// Creates the policy of a saved state.
    ///
    /// # Errors
    /// A state of another kind or a newer version, or one that contradicts itself.
    pub fn from_state(state: &HybridState<E>) -> Result<Self> {
        check_header(&state.header, &Self::kind())?;
        let (d, k) = (state.dimension, state.shared_dimension);
        // Lengths first: nothing is made that the state does not hold.
        let saved = &state.shared;
        check_dimension(k)?;
        check(k, 0, &saved.mean, &saved.diagonal, &saved.upper)?;
        let arms = ArmSet::from_state(&state.arms)?;
        check_count("learned arms", state.own.len(), arms.len())?;
        let size = arms.len().checked_mul(d).and_then(|size| size.checked_mul(k)).unwrap_or(usize::MAX);
        check_part("cross terms", 0, &state.cross, size, false)?;
        let clock = Clock::load(state.version, state.epoch)?;
        let blank = Self::with_options(d, k, 0, state.options, state.exploration.clone())?;
        let mut policy = Self { arms, cross: state.cross.clone(), clock, ..blank };
        policy.shared.set(0, &saved.mean, &saved.diagonal, &saved.upper);
        for (slot, saved) in state.own.iter().enumerate() {
            check(d, slot, &saved.mean, &saved.diagonal, &saved.upper)?;
            policy.own.reserve(1)?;
            policy.own.push(1.0);
            policy.own.set(slot, &saved.mean, &saved.diagonal, &saved.upper);
        }
        Ok(policy)
    }
}

serde_by_state!([E: Exploration] Hybrid<E> as HybridState);
