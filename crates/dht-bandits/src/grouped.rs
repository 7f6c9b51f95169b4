//! Batches of observations, learned arm by arm, whole or not at all.

use crate::error::Result;
use crate::posterior::Posterior;

/// One checked observation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample<'a> {
    pub(crate) slot: usize,
    pub(crate) context: &'a [f64],
    pub(crate) reward: f64,
    pub(crate) weight: f64,
}

/// Learns samples that are sorted by slot, all or none; `slots` of them exist.
///
/// What can still fail is an overflow: each touched arm is copied behind the last one first, and copied back then.
pub(crate) fn learn_grouped<P: Posterior>(posterior: &mut P, slots: usize, samples: &[Sample<'_>]) -> Result<()> {
    let groups = || samples.chunk_by(|left, right| left.slot == right.slot);
    groups().for_each(|group| posterior.push_copy(group[0].slot));
    let mut outcome = Ok(());
    for group in groups() {
        let contexts: Vec<_> = group.iter().flat_map(|sample| sample.context).copied().collect();
        let rewards: Vec<_> = group.iter().map(|sample| sample.reward).collect();
        let weights: Vec<_> = group.iter().map(|sample| sample.weight).collect();
        outcome = posterior.update_batch(group[0].slot, &contexts, &rewards, &weights);
        if outcome.is_err() {
            break;
        }
    }
    for (place, group) in groups().enumerate() {
        if outcome.is_err() {
            posterior.copy(slots + place, group[0].slot);
        }
    }
    for last in (slots..slots + groups().count()).rev() {
        posterior.swap_remove(last);
    }
    outcome
}
