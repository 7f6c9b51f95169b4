//! What the bandits are told about a route (paper, 4.3).
//!
//! δ is the loss times the route's cost in layers and heads. A reward compares it with what was usual before:
//! ρ = (mean δ of the reference) / δ, so that less loss or less depth than usual gives more than 1.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The loss below which δ does not fall. A cross-entropy in f32 is 0 once the probability rounds to 1, and otherwise
/// hardly below 1e-7; without this one perfectly learned text would have an infinite reward. Ours.
pub const SMALLEST_LOSS: f64 = 1e-7;

/// The loss of one sample and δ, its product with the route's layers and heads. δ is finite and positive. Beside them,
/// where it is known, the gain over an earlier exit, which [`RewardShape::Gain`] rewards.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Delta {
    loss: f64,
    value: f64,
    gain: Option<f64>,
}

impl Delta {
    /// δ_L = loss · L, for UCB_L.
    ///
    /// # Errors
    /// [`Error::Loss`] when the loss is negative or not finite, [`Error::Setting`] when `depth` is 0.
    pub fn of_depth(loss: f64, depth: usize) -> Result<Self> {
        Self::of_depth_and_heads(loss, depth, 1)
    }

    /// δ_H = loss · L · H_group for UCB_H, δ_cp = loss · L · H for UCB_cp.
    ///
    /// # Errors
    /// [`Error::Loss`] when the loss is negative or not finite, [`Error::Setting`] when `depth` or `heads` is 0.
    pub fn of_depth_and_heads(loss: f64, depth: usize, heads: usize) -> Result<Self> {
        if !loss.is_finite() || loss < 0.0 {
            return Err(Error::Loss { loss });
        }
        for (field, count) in [("depth of a route", depth), ("heads of a route", heads)] {
            if count == 0 {
                return Err(Error::setting(field, "at least 1", count));
            }
        }
        // A loss near f64's largest would overflow in the product, and its ratio with itself would not be 1.
        let value = (loss.max(SMALLEST_LOSS) * depth as f64 * heads as f64).min(f64::MAX);
        Ok(Self { loss, value, gain: None })
    }

    /// The same with the gain, in nats: the loss at an earlier exit less the loss here. A gain that is not finite, since
    /// nothing is known of the earlier exit, is none.
    #[must_use]
    pub fn with_gain(self, gain: f64) -> Self {
        Self { gain: Some(gain).filter(|gain| gain.is_finite()), ..self }
    }

    /// The loss, as it was.
    pub fn loss(self) -> f64 {
        self.loss
    }

    /// δ.
    pub fn value(self) -> f64 {
        self.value
    }

    /// The gain, where it is known.
    pub fn gain(self) -> Option<f64> {
        self.gain
    }
}

/// What a bandit is given for a ratio ρ.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RewardShape {
    /// κ·ρ, as printed: without bound as the loss nears 0, and heavy-tailed, which a ridge regression follows.
    Ratio,
    /// κ·ln ρ: 0 where nothing changed, and half as good is as far from it as twice as good.
    Log,
    /// κ·min(ρ, max).
    Clipped {
        /// The largest ρ that counts.
        max: f64,
    },
    /// −loss, no ratio and no κ: the bandit learns the loss alone, and the known cost enters when arms are
    /// [scored](Self::score). Not in the paper. λ can so be changed at run time without learning anew.
    Utility {
        /// Loss that a whole model's cost is worth, λ.
        lambda: f64,
    },
    /// (loss at the exit before) − loss: what the layers in between gained, with the known cost as in
    /// [`Utility`](Self::Utility). The difference on one sample is free of how hard that sample is and of how far the
    /// training has come, which are most of a loss. Not in the paper; needs the losses of the exits on the way.
    Gain {
        /// Loss that a whole model's cost is worth, λ.
        lambda: f64,
    },
}

impl Default for RewardShape {
    fn default() -> Self {
        Self::Clipped { max: 4.0 }
    }
}

impl RewardShape {
    /// The number by which arms are ranked: the bandit's own score, less λ · cost for [`Utility`](Self::Utility)
    /// and [`Gain`](Self::Gain), where the cost is the route's share of the full model.
    pub fn score(self, bandit_score: f64, cost: f64) -> f64 {
        match self {
            Self::Utility { lambda } | Self::Gain { lambda } => bandit_score - lambda * cost,
            Self::Ratio | Self::Log | Self::Clipped { .. } => bandit_score,
        }
    }
}

/// What δ is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RewardMemory {
    /// The mean of the batch before, as printed. With queues, where a batch has one depth, this pays by order of
    /// arrival: whatever follows a deep batch looks cheap.
    PreviousBatch,
    /// A running mean over the samples of all routes, sample i ago counting retentionⁱ.
    RunningMean {
        /// Between 0 and 1; 1 forgets nothing, .999 remembers about a thousand samples.
        retention: f64,
    },
}

impl Default for RewardMemory {
    fn default() -> Self {
        Self::RunningMean { retention: 0.999 }
    }
}

/// The δ seen so far, as far as it is remembered: one for UCB_L or UCB_cp, one for each group for UCB_H, each for the
/// whole stream of samples (one a queue would cancel L, and the bandit would learn nothing of cost).
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RewardReference {
    mean: f64,
    /// How many samples the mean stands for; 0 before the first.
    weight: f64,
}

impl RewardReference {
    /// The mean δ that the next batch is compared with; `None` before the first batch.
    pub fn mean(&self) -> Option<f64> {
        (self.weight > 0.0).then_some(self.mean)
    }

    /// Whether this can have come from samples: δ is positive, and so is what it counts.
    pub(crate) fn is_possible(&self) -> bool {
        [self.mean, self.weight].iter().all(|number| number.is_finite() && *number >= 0.0)
    }

    fn forget(&mut self) {
        *self = Self::default();
    }

    /// Adds a sample after ageing what is there; the increments keep the mean between its samples.
    fn add(&mut self, delta: Delta, retention: f64) {
        self.weight = self.weight * retention + 1.0;
        self.mean += (delta.value - self.mean) / self.weight;
    }
}

/// What one sample's route earned.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Reward {
    /// What the bandit is given.
    pub value: f64,
    /// ρ, before κ and the shape: the usual δ over this one's.
    pub ratio: f64,
}

/// How rewards are made for one bandit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RewardRule {
    /// What is made of the ratio.
    pub shape: RewardShape,
    /// What δ is compared with.
    pub memory: RewardMemory,
    /// The factor κ > 0: α, β₁ or β_cp in the print.
    pub kappa: f64,
}

impl RewardRule {
    /// Checks the numbers.
    ///
    /// # Errors
    /// [`Error::Setting`] when κ or the clip is not finite and positive, λ not finite and at least 0, or the retention
    /// not above 0 and at most 1.
    pub fn check(&self) -> Result<()> {
        let positive = |number: f64| number.is_finite() && number > 0.0;
        if !positive(self.kappa) {
            return Err(Error::setting("kappa", "a finite number above 0", self.kappa));
        }
        match self.shape {
            RewardShape::Clipped { max } if !positive(max) => {
                return Err(Error::setting("reward_shape.clipped.max", "a finite number above 0", max));
            }
            RewardShape::Utility { lambda } | RewardShape::Gain { lambda } if !lambda.is_finite() || lambda < 0.0 => {
                return Err(Error::setting("reward_shape.lambda", "a finite number, 0 or more", lambda));
            }
            _ => {}
        }
        match self.memory {
            RewardMemory::RunningMean { retention } if !(positive(retention) && retention <= 1.0) => {
                let expected = "above 0 and at most 1";
                Err(Error::setting("reward_memory.running_mean.retention", expected, retention))
            }
            _ => Ok(()),
        }
    }

    /// The rewards of a batch, compared with what came before it; then the batch is remembered.
    ///
    /// The first batch is compared with itself. An empty batch changes nothing: for UCB_H the reference is so the last
    /// batch that had the group.
    ///
    /// # Errors
    /// [`Error::Setting`] for [`RewardShape::Gain`] where a sample's gain is not known; the reference is as before then.
    pub fn rewards(&self, reference: &mut RewardReference, batch: &[Delta]) -> Result<Vec<Reward>> {
        let usual = reference.mean().unwrap_or_else(|| {
            let mut own = RewardReference::default();
            batch.iter().for_each(|&delta| own.add(delta, 1.0));
            own.mean
        });
        let rewards = batch.iter().map(|&delta| self.reward(usual, delta)).collect::<Result<_>>()?;
        let retention = match self.memory {
            RewardMemory::RunningMean { retention } => retention,
            RewardMemory::PreviousBatch => {
                if !batch.is_empty() {
                    reference.forget();
                }
                1.0
            }
        };
        batch.iter().for_each(|&delta| reference.add(delta, retention));
        Ok(rewards)
    }

    fn reward(&self, usual: f64, delta: Delta) -> Result<Reward> {
        let ratio = (usual / delta.value).clamp(f64::MIN_POSITIVE, f64::MAX);
        let value = match self.shape {
            RewardShape::Ratio => self.kappa * ratio,
            RewardShape::Log => self.kappa * ratio.ln(),
            RewardShape::Clipped { max } => self.kappa * ratio.min(max),
            RewardShape::Utility { .. } => -delta.loss,
            RewardShape::Gain { .. } => {
                let expected = "known: the loss at the exit before, for a reward that is the gain over it";
                delta.gain.ok_or_else(|| Error::setting("gain", expected, "unknown"))?
            }
        };
        Ok(Reward { value: value.clamp(f64::MIN, f64::MAX), ratio })
    }
}

/// Which way the binary reward of TSB points.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeadFeedback {
    /// 1 when ρ > 1, that is when the route did better than usual. κ plays no part.
    #[default]
    Standard,
    /// 1 when a gate ξ on the head moves the sample's log-odds more than heads of its group did on average lately:
    /// Σ |∂L/∂ξ| / (1 − exp(−L)) over the layers of the group, L being the sample's own loss (Michel et al. 2019 take the
    /// numerator). One number a head instead of one for all heads of a sample, free from the backward pass. It is known
    /// after each training step, and so always from texts that are trained on. Ours.
    Slope,
    /// 0 when κ·ρ > 1, and else 1: the printed formula, which contradicts its own text ("1 is more effective").
    AsPrinted,
}

impl HeadFeedback {
    /// Whether the heads of a route are rewarded, given its ratio ρ and the rule's κ; `None` where that is not what they
    /// are judged by.
    pub fn rewarded(self, ratio: f64, kappa: f64) -> Option<bool> {
        match self {
            Self::Standard => Some(ratio > 1.0),
            Self::AsPrinted => Some(kappa * ratio <= 1.0),
            Self::Slope => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rule(shape: RewardShape, memory: RewardMemory) -> RewardRule {
        RewardRule { shape, memory, kappa: 2.0 }
    }

    fn deltas(losses: &[f64], depth: usize) -> Vec<Delta> {
        losses.iter().map(|&loss| Delta::of_depth(loss, depth).unwrap()).collect()
    }

    fn values(rewards: &[Reward]) -> Vec<f64> {
        rewards.iter().map(|reward| reward.value).collect()
    }

    #[test]
    fn delta_is_loss_times_layers_times_heads() {
        assert_eq!(Delta::of_depth(0.5, 12).unwrap().value(), 6.0);
        assert_eq!(Delta::of_depth_and_heads(0.5, 12, 8).unwrap().value(), 48.0);
    }

    #[test]
    fn the_printed_reward_compares_with_the_batch_before_and_the_first_with_itself() {
        let rule = rule(RewardShape::Ratio, RewardMemory::PreviousBatch);
        let mut reference = RewardReference::default();
        // Mean of 3 and 9 is 6.
        let first = rule.rewards(&mut reference, &deltas(&[1.0, 3.0], 3)).unwrap();
        assert_eq!(values(&first), [2.0 * 6.0 / 3.0, 2.0 * 6.0 / 9.0]);
        assert_eq!(reference.mean(), Some(6.0));
        // δ = 6 and 24 against that 6; their own mean is 15.
        let second = rule.rewards(&mut reference, &deltas(&[0.5, 2.0], 12)).unwrap();
        assert_eq!(values(&second), [2.0, 0.5]);
        assert_eq!(reference.mean(), Some(15.0));
    }

    #[test]
    fn a_running_mean_ages_by_sample_whatever_the_batches() {
        let rule = rule(RewardShape::Ratio, RewardMemory::RunningMean { retention: 0.5 });
        let samples = deltas(&[1.0, 2.0, 4.0], 1);
        let mut whole = RewardReference::default();
        rule.rewards(&mut whole, &samples).unwrap();
        // (1/4 · 1 + 1/2 · 2 + 4) / (1/4 + 1/2 + 1) = 5.25 / 1.75.
        assert!((whole.mean().unwrap() - 3.0).abs() < 1e-12);
        let mut parts = RewardReference::default();
        rule.rewards(&mut parts, &samples[..1]).unwrap();
        rule.rewards(&mut parts, &samples[1..]).unwrap();
        assert_eq!(parts, whole);
        let next = rule.rewards(&mut parts, &deltas(&[1.5], 1)).unwrap();
        assert!((next[0].value - 4.0).abs() < 1e-12);
    }

    #[test]
    fn an_empty_batch_changes_nothing() {
        for memory in [RewardMemory::PreviousBatch, RewardMemory::default()] {
            let rule = rule(RewardShape::Ratio, memory);
            let mut reference = RewardReference::default();
            assert!(rule.rewards(&mut reference, &[]).unwrap().is_empty());
            assert_eq!(reference, RewardReference::default());
            rule.rewards(&mut reference, &deltas(&[1.0], 3)).unwrap();
            let before = reference;
            rule.rewards(&mut reference, &[]).unwrap();
            assert_eq!(reference, before);
        }
    }

    #[test]
    fn each_shape_gives_its_formula() {
        let given = |shape| {
            let mut reference = RewardReference { mean: 6.0, weight: 1.0 };
            rule(shape, RewardMemory::PreviousBatch).rewards(&mut reference, &deltas(&[0.25], 3)).unwrap()[0]
        };
        // δ = .75 and ρ = 8.
        assert_eq!(given(RewardShape::Ratio), Reward { value: 16.0, ratio: 8.0 });
        assert_eq!(given(RewardShape::Log).value, 2.0 * 8.0_f64.ln());
        assert_eq!(given(RewardShape::Clipped { max: 4.0 }), Reward { value: 8.0, ratio: 8.0 });
        assert_eq!(given(RewardShape::Utility { lambda: 3.0 }), Reward { value: -0.25, ratio: 8.0 });
    }

    #[test]
    fn a_gain_is_rewarded_as_it_is_and_refused_where_it_is_not_known() {
        let rule = rule(RewardShape::Gain { lambda: 0.1 }, RewardMemory::default());
        let mut reference = RewardReference::default();
        let known = Delta::of_depth(0.25, 3).unwrap().with_gain(-0.5);
        assert_eq!(rule.rewards(&mut reference, &[known]).unwrap()[0], Reward { value: -0.5, ratio: 1.0 });
        let before = reference;
        for unknown in [Delta::of_depth(0.25, 3).unwrap(), known.with_gain(f64::NAN)] {
            let refused = rule.rewards(&mut reference, &[known, unknown]);
            assert!(matches!(refused, Err(Error::Setting { field: "gain", .. })), "{refused:?}");
            assert_eq!(reference, before);
        }
    }

    #[test]
    fn only_utility_charges_the_cost_when_arms_are_ranked() {
        assert_eq!(RewardShape::Utility { lambda: 2.0 }.score(-0.5, 0.25), -1.0);
        for shape in [RewardShape::Ratio, RewardShape::Log, RewardShape::default()] {
            assert_eq!(shape.score(-0.5, 0.25), -0.5);
        }
    }

    #[test]
    fn heads_are_rewarded_as_the_text_says_or_as_the_formula_prints() {
        use HeadFeedback::{AsPrinted, Slope, Standard};
        for (ratio, kappa, standard, printed) in
            [(1.5, 0.1, true, true), (1.0, 10.0, false, false), (0.5, 10.0, false, false), (1.5, 1.0, true, false)]
        {
            assert_eq!(Standard.rewarded(ratio, kappa), Some(standard));
            assert_eq!(AsPrinted.rewarded(ratio, kappa), Some(printed), "the print compares κ·ρ");
            assert_eq!(Slope.rewarded(ratio, kappa), None);
        }
    }

    #[test]
    fn a_loss_that_is_no_loss_is_refused() {
        for loss in [f64::NAN, f64::INFINITY, -0.1] {
            assert!(matches!(Delta::of_depth(loss, 3), Err(Error::Loss { .. })));
        }
        assert!(matches!(Delta::of_depth(1.0, 0), Err(Error::Setting { .. })));
        assert!(matches!(Delta::of_depth_and_heads(1.0, 1, 0), Err(Error::Setting { .. })));
    }

    #[test]
    fn a_rule_out_of_range_is_refused() {
        let good = rule(RewardShape::default(), RewardMemory::default());
        good.check().unwrap();
        for bad in [
            RewardRule { kappa: 0.0, ..good },
            RewardRule { shape: RewardShape::Clipped { max: f64::NAN }, ..good },
            RewardRule { shape: RewardShape::Utility { lambda: -1.0 }, ..good },
            RewardRule { memory: RewardMemory::RunningMean { retention: 0.0 }, ..good },
            RewardRule { memory: RewardMemory::RunningMean { retention: 1.5 }, ..good },
        ] {
            assert!(matches!(bad.check(), Err(Error::Setting { .. })), "{bad:?}");
        }
    }

    #[test]
    fn a_reference_continues_where_it_was_stored() {
        let rule = rule(RewardShape::Ratio, RewardMemory::default());
        let mut reference = RewardReference::default();
        rule.rewards(&mut reference, &deltas(&[0.3, 0.7, 1.9], 6)).unwrap();
        let stored = serde_json::to_string(&reference).unwrap();
        assert_eq!(serde_json::from_str::<RewardReference>(&stored).unwrap(), reference);
    }

    proptest! {
        #[test]
        fn less_loss_or_depth_never_earns_less_and_every_reward_is_finite(
            losses in prop::collection::vec(prop_oneof![Just(0.0), 0.0_f64..20.0, Just(f64::MAX)], 1..5),
            depth in 1_usize..12,
        ) {
            for shape in [RewardShape::Ratio, RewardShape::Log, RewardShape::default()] {
                let rule = rule(shape, RewardMemory::PreviousBatch);
                let mut reference = RewardReference::default();
                rule.rewards(&mut reference, &deltas(&[0.5], 6)).unwrap();
                let (mut deeper, mut shallower) = (reference, reference);
                let deep = rule.rewards(&mut deeper, &deltas(&losses, depth + 1)).unwrap();
                let shallow = rule.rewards(&mut shallower, &deltas(&losses, depth)).unwrap();
                for (deep, shallow) in deep.iter().zip(&shallow) {
                    prop_assert!(deep.value <= shallow.value && deep.value.is_finite() && shallow.value.is_finite());
                }
                prop_assert!(deeper.mean().is_some_and(f64::is_finite));
            }
        }
    }
}
