//! Hybrid policies saved and loaded.

use super::{Hybrid, HybridOptions};
use crate::arm_set::{ArmSet, ArmSetState};
use crate::clock::Clock;
use crate::error::Result;
use crate::exploration::Index;
use crate::gaussian::{Factors, check, check_dimension};
use crate::posterior::RidgeArmState;
use crate::saved_state::{Header, check_count, check_header, header_of};
use crate::validate::check_part;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

header_of!("hybrid/");

/// A saved [`Hybrid`]: independent of the memory layout, checked when it is loaded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HybridState<I> {
    /// What this is a state of.
    #[serde(deserialize_with = "read_header")]
    pub header: Header,
    dimension: usize,
    shared_dimension: usize,
    options: HybridOptions,
    index: I,
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

impl<I: Index> Hybrid<I> {
    fn kind() -> String {
        format!("hybrid/{}", I::NAME)
    }

    /// All that this policy is, to be saved. Loading it gives the same policy, to the bit.
    pub fn state(&self) -> HybridState<I> {
        HybridState {
            header: Header::of(Self::kind()),
            dimension: self.dimension(),
            shared_dimension: self.shared_dimension(),
            options: self.options,
            index: self.index.clone(),
            arms: self.arms.state(),
            version: self.clock.version,
            epoch: self.clock.epoch,
            shared: arm_state(&self.shared, 0),
            own: (0..self.arms.len()).map(|slot| arm_state(&self.own, slot)).collect(),
            cross: self.cross.clone(),
        }
    }

    /// The policy of a saved state.
    ///
    /// # Errors
    /// A state of another kind or a newer version, or one that contradicts itself.
    pub fn from_state(state: &HybridState<I>) -> Result<Self> {
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
        let blank = Self::new(d, k, 0, state.options, state.index.clone())?;
        let mut policy = Self { arms, cross: state.cross.clone(), clock, ..blank };
        policy.shared.set(0, &saved.mean, &saved.diagonal, &saved.upper);
        for (slot, saved) in state.own.iter().enumerate() {
            check(d, slot, &saved.mean, &saved.diagonal, &saved.upper)?;
            policy.own.push(1.0);
            policy.own.set(slot, &saved.mean, &saved.diagonal, &saved.upper);
        }
        Ok(policy)
    }
}

impl<I: Index> Serialize for Hybrid<I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.state().serialize(serializer)
    }
}

impl<'de, I: Index> Deserialize<'de> for Hybrid<I> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_state(&HybridState::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
