//! Batches of observations, learned arm by arm, whole or not at all.

use super::Posterior;
use crate::error::Result;

/// A checked observation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample<'a> {
    pub(crate) slot: usize,
    pub(crate) context: &'a [f64],
    pub(crate) reward: f64,
    pub(crate) weight: f64,
}

/// Observations that are learned together, sorted by arm. Reused, so that only a batch larger than all before
/// allocates.
#[derive(Debug, Clone, Default)]
pub(crate) struct UpdateBatch {
    /// Slot and position of each sample, sorted: samples of one arm stay in their order.
    order: Vec<(usize, usize)>,
    /// (samples, d), row-major, in the order of arrival.
    contexts: Vec<f64>,
    rewards: Vec<f64>,
    weights: Vec<f64>,
    sorted: Vec<f64>,
}

impl UpdateBatch {
    pub(crate) fn clear(&mut self) {
        self.order.clear();
        self.contexts.clear();
        self.rewards.clear();
        self.weights.clear();
    }

    pub(crate) fn push(&mut self, sample: Sample<'_>) {
        self.order.push((sample.slot, self.order.len()));
        self.contexts.extend_from_slice(sample.context);
        self.rewards.push(sample.reward);
        self.weights.push(sample.weight);
    }

    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    /// Learns all samples or none; `slots` arms exist.
    ///
    /// Only memory and an overflow can still fail: each touched arm is copied after the last one first, and copied back then.
    pub(crate) fn learn<P: Posterior>(&mut self, posterior: &mut P, slots: usize) -> Result<()> {
        self.order.sort_unstable();
        let Self { order, contexts, rewards, weights, sorted } = self;
        let groups = || order.chunk_by(|left, right| left.0 == right.0);
        posterior.reserve(groups().count())?;
        groups().for_each(|group| posterior.push_copy(group[0].0));
        let (dimension, before) = (posterior.dimension(), posterior.now());
        let mut outcome = Ok(());
        for group in groups() {
            // Contexts, then rewards, then weights of this arm.
            sorted.clear();
            for &(_, position) in group {
                sorted.extend_from_slice(&contexts[position * dimension..][..dimension]);
            }
            sorted.extend(group.iter().map(|&(_, position)| rewards[position]));
            sorted.extend(group.iter().map(|&(_, position)| weights[position]));
            let (contexts, rest) = sorted.split_at(group.len() * dimension);
            let (rewards, weights) = rest.split_at(group.len());
            outcome = posterior.update_batch(group[0].0, contexts, rewards, weights);
            if outcome.is_err() {
                break;
            }
        }
        if outcome.is_err() {
            posterior.set_now(before);
        }
        for (position, group) in groups().enumerate() {
            if outcome.is_err() {
                posterior.copy(slots + position, group[0].0);
            }
        }
        for last in (slots..slots + groups().count()).rev() {
            posterior.swap_remove(last);
        }
        outcome
    }
}
