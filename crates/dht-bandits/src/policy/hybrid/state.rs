//! Saving and loading of hybrid policies, which have shared weights and weights of each arm.

use serde::{Deserialize, Serialize};

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

header_reader!("hybrid/");

/// Saved state of a [`Hybrid`] policy, independent of the memory layout. The state is checked when it is loaded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HybridState<E> {
    /// Header of the state: the kind of policy and the version of the format.
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

    /// Returns the state of this policy for saving. A policy loaded from this state is identical, bit for bit.
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

    /// Creates a policy from a saved state, after checking the state.
    ///
    /// # Errors
    /// Fails if the state belongs to another kind of policy, has a newer format version, or contradicts itself.
    pub fn from_state(state: &HybridState<E>) -> Result<Self> {
        check_header(&state.header, &Self::kind())?;
        let (d, k) = (state.dimension, state.shared_dimension);
        // Lengths are checked first, so that no memory is allocated that the state does not fill.
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
