//! Resumption of a baseline's training.

use std::fmt::Debug;

use dht_search::Result;
use dht_search::transformer::Objective;
use dht_toys::planted::task;

/// Trains the objective of `build` (by seed of its initial weights) without and with an interruption, and compares
/// weights, states and histories.
pub fn assert_resumes<O: Objective<Error: Debug>>(build: impl Fn(u64) -> Result<O>) {
    let state = |objective: &O| {
        let mut state = objective.state().expect("a state");
        if let Some(accounting) = state.get_mut("accounting") {
            accounting["bandit_seconds"] = 0.into();
        }
        state
    };
    dht_toys::assert_resumes(|seed| build(seed).expect("an objective"), [&task(37, 1), &task(11, 2)], state)
}
