//! Scaling of contexts and rewards by affine maps that a normalizer computes.

use serde::{Deserialize, Serialize};

use crate::decision::{Choice, Slate};
use crate::error::{Error, Result};
use crate::features::Normalizer;
use crate::policy::{Explanation, Term};
use crate::validate::{check_bounded, check_scalar};

pub(super) fn varies(rewards: &Normalizer) -> bool {
    rewards.deviation(0).is_some_and(|deviation| deviation > 0.0)
}

/// Scaling of contexts and, optionally, of rewards.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::policy) struct Scaling {
    pub(super) contexts: Normalizer,
    /// Appends a constant 1 to the normalised context.
    pub(super) bias: bool,
    /// Normalizer of rewards, of dimension 1; `None` leaves rewards unscaled.
    pub(super) rewards: Option<Box<Normalizer>>,
}

impl Scaling {
    /// Returns a scaling with the same settings and no observations.
    pub(super) fn blank(&self) -> Self {
        let rewards = self.rewards.as_ref().map(|rewards| Box::new(rewards.blank()));
        Self { contexts: self.contexts.blank(), bias: self.bias, rewards }
    }

    pub(super) fn observe(&mut self, context: &[f64], reward: f64) -> Result<()> {
        let mut rewards = self.rewards.clone();
        if let Some(rewards) = &mut rewards {
            rewards.observe(&[reward])?;
        }
        self.contexts.observe(&context[..self.contexts.dimension()])?;
        self.rewards = rewards;
        Ok(())
    }

    /// Freezes the scaling of contexts, and also the scaling of rewards if they vary.
    pub(super) fn freeze(&mut self) {
        self.contexts.freeze();
        if let Some(rewards) = self.rewards.as_mut().filter(|rewards| varies(rewards)) {
            rewards.freeze();
        }
    }

    /// Returns whether only the scaling of contexts is frozen: all rewards so far are equal, so that their scale is not
    /// yet known.
    pub(super) fn waits_for_rewards(&self) -> bool {
        self.contexts.is_frozen() && self.rewards.as_ref().is_some_and(|rewards| !rewards.is_frozen())
    }

    /// Computes the scaling of rewards after one more reward, if all earlier rewards were equal. The mean is not
    /// changed. The first reward that differs from this mean by more than rounding sets and freezes the deviation.
    pub(super) fn rewards_after(&self, reward: f64) -> Result<Option<Box<Normalizer>>> {
        check_bounded("reward", reward)?;
        let mut rewards = self.rewards.clone();
        if let Some(rewards) = &mut rewards {
            rewards.observe_about_mean(&[reward])?;
            if varies(rewards) {
                rewards.freeze();
            }
        }
        Ok(rewards)
    }

    /// Normalises a context. Features of an arm, which follow the context in a decision, are appended unchanged.
    pub(super) fn context(&self, context: &[f64]) -> Result<Vec<f64>> {
        let raw = self.contexts.dimension();
        if context.len() < raw {
            return Err(Error::Dimension { what: "context", expected: raw, got: context.len() });
        }
        let (context, rest) = context.split_at(raw);
        let mut scaled = self.contexts.normalise(context)?;
        if self.bias {
            scaled.push(1.0);
        }
        scaled.extend_from_slice(rest);
        Ok(scaled)
    }

    /// Mean and standard deviation that scale rewards: (0, 1) if rewards are not scaled. The deviation is 1 while all
    /// rewards are equal.
    fn reward_units(&self) -> (f64, f64) {
        self.rewards.as_ref().map_or((0.0, 1.0), |rewards| {
            let deviation = rewards.deviation(0).unwrap_or(0.0);
            (rewards.mean()[0], if deviation > 0.0 { deviation } else { 1.0 })
        })
    }

    pub(super) fn reward(&self, reward: f64) -> Result<f64> {
        check_scalar("reward", reward)?;
        let (mean, deviation) = self.reward_units();
        Ok((reward - mean) / deviation)
    }

    /// Replaces the normalised contexts in a slate by the raw context. Features of arms, which follow each context, are
    /// unchanged.
    pub(super) fn restore_raw(&self, slate: &mut Slate, raw: &[f64], version: u64) {
        let scaled = raw.len() + usize::from(self.bias);
        let row = slate.contexts.len() / slate.choices.len().max(1);
        let mut contexts = Vec::with_capacity(slate.contexts.len());
        for chosen in slate.contexts.chunks_exact(row.max(1)) {
            contexts.extend_from_slice(raw);
            contexts.extend_from_slice(&chosen[scaled.min(row)..]);
        }
        slate.contexts = contexts;
        for choice in &mut slate.choices {
            *choice = Choice { version, ..self.raw_choice(*choice) };
        }
        slate.version = version;
    }

    /// Converts the scores of a choice from the scaled rewards of the inner policy to raw rewards.
    pub(super) fn raw_choice(&self, choice: Choice) -> Choice {
        let (mean, deviation) = self.reward_units();
        let raw = |value: f64| value * deviation + mean;
        Choice { score: raw(choice.score), mean: raw(choice.mean), width: choice.width * deviation, ..choice }
    }

    /// Converts an explanation of a score from the scaled contexts and rewards of the inner policy to raw contexts and
    /// rewards.
    pub(super) fn raw_explanation(&self, explanation: Explanation) -> Explanation {
        let ((mean, deviation), raw) = (self.reward_units(), self.contexts.dimension());
        let bias = usize::from(self.bias);
        let column = |place: usize| match place {
            _ if place < raw => Some(place),
            _ if place < raw + bias => None,
            _ => Some(place - bias),
        };
        let term = |term| match term {
            Term::Column(place) => column(place).map_or(Term::Constant, Term::Column),
            Term::Product(i, j) => match (column(i), column(j)) {
                (Some(i), Some(j)) => Term::Product(i, j),
                (Some(place), None) | (None, Some(place)) => Term::Column(place),
                (None, None) => Term::Constant,
            },
            Term::Constant => Term::Constant,
        };
        let mut contributions: Vec<(Term, f64)> = Vec::with_capacity(explanation.contributions.len() + 1);
        let offset = (mean != 0.0).then_some((Term::Constant, mean));
        let parts = explanation.contributions.into_iter().map(|(part, value)| (term(part), value * deviation));
        for (part, value) in parts.chain(offset) {
            match contributions.iter_mut().find(|(known, _)| *known == part) {
                Some((_, sum)) => *sum += value,
                None => contributions.push((part, value)),
            }
        }
        let (mean, width) = (explanation.mean * deviation + mean, explanation.width * deviation);
        let mut raw = Explanation { mean, width, contributions };
        raw.sort();
        raw
    }

    /// Converts a choice from raw rewards to the scaled rewards of the inner policy.
    pub(super) fn scaled_choice(&self, choice: Choice) -> Choice {
        let (mean, deviation) = self.reward_units();
        let scaled = |value: f64| (value - mean) / deviation;
        Choice { score: scaled(choice.score), mean: scaled(choice.mean), width: choice.width / deviation, ..choice }
    }
}
