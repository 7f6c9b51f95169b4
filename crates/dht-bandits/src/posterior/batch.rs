//! Batches of observations, which a posterior learns arm by arm. After an error nothing is changed.

use super::beliefs::Beliefs;
use crate::error::Result;

/// Observation that was checked, for learning in a batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample<'a> {
    pub(crate) slot: usize,
    pub(crate) context: &'a [f64],
    pub(crate) reward: f64,
    pub(crate) weight: f64,
}

/// Batch of observations to be learned together, sorted by arm. The memory is reused, so that only a batch larger than
/// all earlier ones allocates.
#[derive(Debug, Clone, Default)]
pub(crate) struct UpdateBatch {
    /// Arm slot and position of each observation, sorted. Observations of one arm keep their order.
    order: Vec<(usize, usize)>,
    /// Contexts of the observations, shape (observations, d), row-major, in the order of arrival.
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

    /// Learns all observations or none; `slots` is the number of arms. Observations are learned arm by arm, or in the
    /// order of arrival if updates advance a clock.
    ///
    /// Learning can still fail only by a lack of memory or an overflow. The posterior of each arm in the batch is
    /// therefore first copied to a slot after the last arm, and restored from this copy after an error.
    pub(crate) fn learn<P: Beliefs>(&mut self, posterior: &mut P, slots: usize) -> Result<()> {
        let in_order = posterior.counts_updates();
        self.order.sort_unstable();
        let before = posterior.now();
        posterior.reserve(self.groups().count())?;
        self.groups().for_each(|group| posterior.push_copy(group[0].0));
        let outcome = if in_order { self.learn_in_order(posterior) } else { self.learn_by_arm(posterior) };
        if outcome.is_err() {
            posterior.set_now(before);
        }
        for (position, group) in self.groups().enumerate() {
            if outcome.is_err() {
                posterior.copy(slots + position, group[0].0);
            }
        }
        for last in (slots..slots + self.groups().count()).rev() {
            posterior.swap_remove(last);
        }
        outcome
    }

    /// Slots and positions of the sorted observations, grouped by arm.
    fn groups(&self) -> impl Iterator<Item = &[(usize, usize)]> {
        self.order.chunk_by(|left, right| left.0 == right.0)
    }

    /// Learns the observations one by one, in the order of arrival.
    fn learn_in_order<P: Beliefs>(&mut self, posterior: &mut P) -> Result<()> {
        let dimension = posterior.dimension();
        self.order.sort_unstable_by_key(|&(_, position)| position);
        let outcome = self.order.iter().try_for_each(|&(slot, position)| {
            let context = &self.contexts[position * dimension..][..dimension];
            posterior.update(slot, context, self.rewards[position], self.weights[position])
        });
        self.order.sort_unstable();
        outcome
    }

    /// Learns the observations of each arm together.
    fn learn_by_arm<P: Beliefs>(&mut self, posterior: &mut P) -> Result<()> {
        let dimension = posterior.dimension();
        let Self { order, contexts, rewards, weights, sorted } = self;
        for group in order.chunk_by(|left, right| left.0 == right.0) {
            // The buffer holds the contexts, then the rewards, then the weights of this arm.
            sorted.clear();
            for &(_, position) in group {
                sorted.extend_from_slice(&contexts[position * dimension..][..dimension]);
            }
            sorted.extend(group.iter().map(|&(_, position)| rewards[position]));
            sorted.extend(group.iter().map(|&(_, position)| weights[position]));
            let (contexts, rest) = sorted.split_at(group.len() * dimension);
            let (rewards, weights) = rest.split_at(group.len());
            posterior.update_batch(group[0].0, contexts, rewards, weights)?;
        }
        Ok(())
    }
}
