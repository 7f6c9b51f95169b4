//! How the bandits of the tree search learn from a batch that has gone its ways.

use dht_bandits::{ArmFeedback, Feedback};

use super::{TreeBandits, arm};
use crate::strategy::{DepthChoices, GroupChoices};
use crate::{Delta, Result, RewardShape};

/// The losses of a batch where they are known.
pub(crate) struct Losses {
    /// By exit, then by sample; NaN where a sample did not come by.
    pub(crate) by_exit: Vec<Vec<f64>>,
}

/// A group that some samples ran, for learning.
pub(crate) struct GroupDecisions<'a> {
    pub(crate) group: usize,
    /// Places in the batch, by place in the group.
    pub(crate) members: &'a [usize],
    pub(crate) choices: &'a GroupChoices,
}

impl TreeBandits {
    /// Learns from a batch: where its samples went, what they saw, what it came to.
    pub(crate) fn learn(&mut self, depth: &DepthChoices, groups: &[GroupDecisions<'_>], losses: &Losses) -> Result<()> {
        if !self.learns() {
            return self.observe(depth, groups);
        }
        self.learn_depth(depth, losses)?;
        for decisions in groups {
            self.learn_heads(decisions, depth, losses)?;
        }
        Ok(())
    }

    /// Before the scaling is frozen: looks at the contexts only.
    fn observe(&mut self, depth: &DepthChoices, groups: &[GroupDecisions<'_>]) -> Result<()> {
        for context in &depth.contexts {
            self.learned.depth_norm.observe(context)?;
        }
        for decisions in groups {
            for context in &decisions.choices.contexts {
                self.learned.heads_norm.observe(context)?;
            }
            for bucket in decisions.choices.buckets.iter().filter(|bucket| !bucket.context.is_empty()) {
                self.learned.head_sets_norm.observe(&bucket.context)?;
            }
        }
        if self.learned.depth_norm.weight() >= self.settings.warm_up_contexts as f64 {
            for norm in [&mut self.learned.depth_norm, &mut self.learned.heads_norm, &mut self.learned.head_sets_norm] {
                norm.freeze();
            }
        }
        Ok(())
    }

    fn learn_depth(&mut self, depth: &DepthChoices, losses: &Losses) -> Result<()> {
        let rule = self.settings.depth_rewards();
        // The arms that a sample teaches: its own, and those it passed.
        let mut taught = Vec::new();
        for (sample, &own) in depth.exits.iter().enumerate() {
            let first = if self.settings.nested_feedback { 0 } else { own };
            taught.extend((first..=own).map(|exit| (sample, exit)));
        }
        let deltas = taught
            .iter()
            .map(|&(sample, exit)| Delta::of_depth(losses.by_exit[exit][sample], self.space.depth(exit)))
            .collect::<Result<Vec<_>>>()?;
        let rewards = rule.rewards(&mut self.learned.depth_reference, &deltas);
        for (&(sample, exit), reward) in taught.iter().zip(rewards) {
            let value = match rule.shape {
                RewardShape::Gain { .. } => losses.by_exit[0][sample] + reward.value,
                _ => reward.value,
            };
            let context = self.depth_context(&depth.contexts[sample], exit)?;
            self.learned.depth.update(arm(exit), &context, value, 1.0)?;
        }
        Ok(())
    }

    fn learn_heads(&mut self, decisions: &GroupDecisions<'_>, depth: &DepthChoices, losses: &Losses) -> Result<()> {
        let GroupDecisions { group, members, choices } = *decisions;
        let rule = self.settings.heads_rewards();
        let final_loss = |sample: usize| losses.by_exit[depth.exits[sample]][sample];
        let deltas = members
            .iter()
            .zip(&choices.kept)
            .map(|(&sample, &kept)| {
                Delta::of_depth_and_heads(final_loss(sample), self.space.depth(depth.exits[sample]), kept)
            })
            .collect::<Result<Vec<_>>>()?;
        let rewards = rule.rewards(&mut self.learned.heads_references[group], &deltas);
        for (place, (&sample, reward)) in members.iter().zip(&rewards).enumerate() {
            let value = match rule.shape {
                // What this group's layers gained: the exits on both sides of it are known.
                RewardShape::Gain { .. } => losses.by_exit[group][sample] - losses.by_exit[group + 1][sample],
                _ => reward.value,
            };
            let option = self.option(choices.kept[place])?;
            let context = self.heads_context(&choices.contexts[place], group, option)?;
            self.learned.heads.update(arm(option), &context, value, 1.0)?;
        }
        for bucket in &choices.buckets {
            let heads = self.space.stack().heads;
            if bucket.heads.is_full(heads) || bucket.context.is_empty() {
                continue; // nothing was chosen, so there is nothing to learn
            }
            let good = bucket
                .places
                .iter()
                .filter(|place| self.settings.head_feedback.rewarded(rewards[**place].ratio, rule.kappa))
                .count();
            let contexts = self.head_set_contexts(&bucket.context)?;
            let size = self.learned.head_sets.dimension();
            let pinned = self.pinned()?;
            let mut feedback = Vec::new();
            for head in bucket.heads.iter().filter(|head| !pinned.contains(*head)) {
                let context = &contexts[head * size..(head + 1) * size];
                for (rewarded, count) in [(true, good), (false, bucket.places.len() - good)] {
                    if count > 0 {
                        let weight = count as f64;
                        let feedback_of = Feedback::from(rewarded);
                        feedback.push(ArmFeedback { weight, ..ArmFeedback::new(arm(head), context, feedback_of) });
                    }
                }
            }
            self.learned.head_sets.update(&feedback)?;
        }
        Ok(())
    }
}
