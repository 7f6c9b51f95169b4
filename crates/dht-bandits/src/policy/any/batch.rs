//! Batches of rewards, for kinds that learn them jointly and those that do not.

use crate::clock::check_epoch;
use crate::error::Result;
use crate::policy::{Normalised, Observation, Policy};

/// Learns rewards one after the other on a copy: all of them, or none.
pub(super) fn learn_in_order<P: Policy + Clone>(policy: &mut P, observations: &[Observation]) -> Result<()> {
    let mut learned = policy.clone();
    for Observation { decision, reward, weight } in observations {
        if *weight == 1.0 {
            // From a decision some learn more than from a bare update.
            learned.learn(decision, *reward)?;
        } else {
            check_epoch(decision.choice.epoch, learned.epoch())?;
            learned.update(decision.arm(), &decision.context, *reward, *weight)?;
        }
    }
    *policy = learned;
    Ok(())
}

/// Learns rewards of decisions with raw contexts, as the policy inside learns a batch. In a warm-up, and with rewards of one, in
/// order: decisions of the warm-up are learned as bare updates.
pub(super) fn learn_normalised<P: Policy + Clone>(
    policy: &mut Normalised<P>,
    observations: &[Observation],
    learn_batch: impl FnOnce(&mut P, &[Observation]) -> Result<()>,
) -> Result<()> {
    let of_warm_up = |observation: &Observation| policy.is_of_warm_up(&observation.decision);
    if !policy.normalizer().is_frozen() || observations.iter().any(of_warm_up) {
        return learn_in_order(policy, observations);
    }
    let scaled = |observation: &Observation| policy.scaled_observation(observation);
    let scaled = observations.iter().map(scaled).collect::<Result<Vec<_>>>()?;
    learn_batch(policy.inner_mut(), &scaled)
}
