//! Saving and loading of policies without contexts.

use serde::{Deserialize, Serialize};

use super::policy::ContextFree;
use super::rule::{ArmStatistics, ContextFreeRule};
use crate::arm_set::{ArmSet, ArmSetState};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::saved_state::{StateHeader, check_count, check_header, header_reader, serde_by_state};
use crate::validate::LARGEST_SUM;

header_reader!("context-free/");

/// Saved state of a [`ContextFree`] policy, which is checked when it is loaded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContextFreeState<R> {
    /// Header of the state: the kind of policy and the version of the format.
    #[serde(deserialize_with = "read_header")]
    pub header: StateHeader,
    rule: R,
    arms: ArmSetState,
    version: u64,
    epoch: u64,
    total: f64,
    learned: Vec<ArmStatistics>,
}

impl<R: ContextFreeRule> ContextFree<R> {
    fn kind() -> String {
        format!("context-free/{}", R::NAME)
    }

    /// Returns the state of this policy for saving. A policy loaded from this state is identical, bit for bit.
    pub fn state(&self) -> ContextFreeState<R> {
        ContextFreeState {
            header: StateHeader::new(Self::kind()),
            rule: self.rule.clone(),
            arms: self.arms.state(),
            version: self.clock.version,
            epoch: self.clock.epoch,
            total: self.total,
            learned: self.learned.clone(),
        }
    }

    /// Creates a policy from a saved state, after checking the state.
    ///
    /// # Errors
    /// Fails if the state belongs to another kind of policy, has a newer format version, or contradicts itself.
    pub fn from_state(state: &ContextFreeState<R>) -> Result<Self> {
        check_header(&state.header, &Self::kind())?;
        let blank = Self::new(0, state.rule.clone())?;
        let arms = ArmSet::from_state(&state.arms)?;
        check_count("learned arms", state.learned.len(), arms.len())?;
        let fits = |weight: f64| (0.0..=LARGEST_SUM).contains(&weight);
        for (index, arm) in state.learned.iter().enumerate() {
            let mean = blank.rule.check_reward(arm.mean());
            if !fits(arm.weight) || !fits(arm.sum.abs()) || (arm.weight == 0.0 && arm.sum != 0.0) || mean.is_err() {
                let problem = format!("weight {} and sum {} of rewards do not fit", arm.weight, arm.sum);
                return Err(Error::InvalidState { what: "arm", index, problem });
            }
        }
        if !fits(state.total) {
            let problem = format!("is {}, expected from 0 to {LARGEST_SUM:e}", state.total);
            return Err(Error::InvalidState { what: "weight of all rewards", index: 0, problem });
        }
        let clock = Clock::load(state.version, state.epoch)?;
        Ok(Self { arms, learned: state.learned.clone(), total: state.total, clock, ..blank })
    }
}

serde_by_state!([R: ContextFreeRule] ContextFree<R> as ContextFreeState);
