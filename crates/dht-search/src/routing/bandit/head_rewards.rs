//! Rewards of head counts and head sets: cost-weighted losses of a group's samples, compared with earlier ones.

use std::collections::BTreeMap;

use super::setup::Setup;
use crate::error::Result;
use crate::reward::{CostWeightedLoss, Reward, RewardMemory, RewardReference};
use crate::routing::{Decisions, GroupTrace, Losses};

/// The rewards of the samples of a group: their cost-weighted losses δ_H compared with a reference. With the paper's memory
/// the reference is the previous batch that ran the group; otherwise it is a running mean over samples of the same exit,
/// since the head bandits do not decide depth.
pub(super) fn head_rewards(
    setup: &Setup,
    references: &mut [RewardReference],
    trace: &GroupTrace,
    decisions: &Decisions,
    losses: &Losses,
) -> Result<Vec<Reward>> {
    let rule = setup.settings.heads_rewards();
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
