//! Rewards of the bandits that select heads: cost-weighted losses, relative to a reference.

use std::collections::BTreeMap;

use dht_dynamic::passage::GroupTrace;
use dht_dynamic::router::Decisions;

use super::setup::Setup;
use crate::error::Result;
use crate::reward::{CostWeightedLoss, Reward, RewardMemory, RewardReference};
use crate::routing::learner::kept_by;
use crate::routing::losses::Losses;

/// Computes a reward for each sample that ran a group of layers, from its cost-weighted loss δ_H (loss times layers
/// times heads) relative to a reference.
///
/// As published in the DHT paper, the reference is the mean δ_H of the previous batch that ran the group. By default it
/// is a running mean over samples with the same exit, because the bandits that select heads do not decide depth.
pub(super) fn head_rewards(
    setup: &Setup,
    references: &mut [RewardReference],
    trace: &GroupTrace,
    decisions: &Decisions,
    losses: &Losses,
) -> Result<Vec<Reward>> {
    let rule = setup.head_set_rewards();
    let mut deltas: BTreeMap<usize, (Vec<usize>, Vec<CostWeightedLoss>)> = BTreeMap::new();
    for (index, (&sample, &kept)) in trace.members.iter().zip(&trace.decisions.kept).enumerate() {
        let exit = decisions.exits[sample];
        let delta = CostWeightedLoss::of_depth_and_heads(losses.by_exit[exit][sample], setup.space.depth(exit), kept)?;
        let reference = if rule.memory == RewardMemory::PreviousBatch { 0 } else { exit };
        let (indices, deltas) = deltas.entry(reference).or_default();
        indices.push(index);
        deltas.push(delta.with_gain(losses.of_group(sample, trace.group)));
    }
    let mut rewards = vec![Reward { value: 0.0, ratio: 1.0 }; trace.members.len()];
    for (reference, (indices, deltas)) in deltas {
        for (index, reward) in indices.into_iter().zip(rule.rewards(&mut references[reference], &deltas)?) {
            rewards[index] = reward;
        }
    }
    Ok(rewards)
}

/// Computes the DHT paper's reward r_cp for each sample of a batch, from which the head-set bandit of an integrated
/// search learns.
///
/// The reward is computed from the cost-weighted loss δ_cp = loss · L · H, with L layers and H heads of the sample's
/// route, relative to the mean of the previous batch. Returns `None` if the settings do not compare with the previous
/// batch; [`head_rewards`] then applies.
pub(super) fn route_rewards(
    setup: &Setup,
    reference: &mut RewardReference,
    decisions: &Decisions,
    losses: &Losses,
) -> Result<Option<Vec<Reward>>> {
    let rule = setup.head_set_rewards();
    if rule.memory != RewardMemory::PreviousBatch {
        return Ok(None);
    }
    let delta = |(sample, &exit): (usize, &usize)| {
        let (loss, kept) = (losses.by_exit[exit][sample], kept_by(decisions, sample)?);
        let delta = CostWeightedLoss::of_depth_and_heads(loss, setup.space.depth(exit), kept)?;
        Ok(delta.with_gain(losses.gain(sample, 0, exit)))
    };
    let deltas = decisions.exits.iter().enumerate().map(delta).collect::<Result<Vec<_>>>()?;
    rule.rewards(reference, &deltas).map(Some)
}
