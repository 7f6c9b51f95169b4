use dht_dynamic::Error as Dynamic;
use proptest::prelude::*;

use super::*;
use crate::reward::HeadFeedback;

const CLIPPED: RewardShape = RewardShape::Clipped { max: 4.0 };

fn rule(shape: RewardShape, memory: RewardMemory) -> RewardRule {
    RewardRule { shape, memory, kappa: 2.0 }
}

fn deltas(losses: &[f64], depth: usize) -> Vec<CostWeightedLoss> {
    losses.iter().map(|&loss| CostWeightedLoss::of_depth(loss, depth).unwrap()).collect()
}

fn values(rewards: &[Reward]) -> Vec<f64> {
    rewards.iter().map(|reward| reward.value).collect()
}

#[test]
fn delta_is_loss_times_layers_times_heads() {
    assert_eq!(CostWeightedLoss::of_depth(0.5, 12).unwrap().value(), 6.0);
    assert_eq!(CostWeightedLoss::of_depth_and_heads(0.5, 12, 8).unwrap().value(), 48.0);
}

#[test]
fn the_published_reward_compares_with_the_previous_batch() {
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
fn a_running_mean_decays_by_sample_however_they_are_batched() {
    let rule = rule(RewardShape::Ratio, RewardMemory::RunningMean { decay: 0.5 });
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
    let reward_of = |shape| {
        let mut reference = RewardReference { mean: 6.0, weight: 1.0 };
        rule(shape, RewardMemory::PreviousBatch).rewards(&mut reference, &deltas(&[0.25], 3)).unwrap()[0]
    };
    // δ = .75 and ρ = 8.
    assert_eq!(reward_of(RewardShape::Ratio), Reward { value: 16.0, ratio: 8.0 });
    assert_eq!(reward_of(RewardShape::Log).value, 2.0 * 8.0_f64.ln());
    assert_eq!(reward_of(RewardShape::Clipped { max: 4.0 }), Reward { value: 8.0, ratio: 8.0 });
    assert_eq!(reward_of(RewardShape::Utility { lambda: 3.0 }), Reward { value: -0.25, ratio: 8.0 });
}

#[test]
fn a_gain_is_the_reward_and_an_unknown_gain_is_rejected() {
    let rule = rule(RewardShape::Gain { lambda: 0.1 }, RewardMemory::default());
    let mut reference = RewardReference::default();
    let known = CostWeightedLoss::of_depth(0.25, 3).unwrap().with_gain(-0.5);
    assert_eq!(rule.rewards(&mut reference, &[known]).unwrap()[0], Reward { value: -0.5, ratio: 1.0 });
    let before = reference;
    for unknown in [CostWeightedLoss::of_depth(0.25, 3).unwrap(), known.with_gain(f64::NAN)] {
        let refused = rule.rewards(&mut reference, &[known, unknown]);
        assert!(matches!(refused, Err(Error::Dynamic(Dynamic::Argument { name: "gain", .. }))), "{refused:?}");
        assert_eq!(reference, before);
    }
}

#[test]
fn only_utility_charges_the_cost_when_arms_are_ranked() {
    assert_eq!(RewardShape::Utility { lambda: 2.0 }.score(-0.5, 0.25), -1.0);
    for shape in [RewardShape::Ratio, RewardShape::Log, CLIPPED] {
        assert_eq!(shape.score(-0.5, 0.25), -0.5);
    }
}

#[test]
fn heads_are_rewarded_by_the_papers_text_or_by_its_formula() {
    use HeadFeedback::{AsPublished, Gradient, Standard};
    for (ratio, kappa, standard, published) in
        [(1.5, 0.1, true, true), (1.0, 10.0, false, false), (0.5, 10.0, false, false), (1.5, 1.0, true, false)]
    {
        assert_eq!(Standard.rewarded(ratio, kappa), Some(standard));
        assert_eq!(AsPublished.rewarded(ratio, kappa), Some(published), "the paper compares κ·ρ");
        assert_eq!(Gradient.rewarded(ratio, kappa), None);
    }
}

#[test]
fn a_loss_that_is_negative_or_not_finite_is_refused() {
    for loss in [f64::NAN, f64::INFINITY, -0.1] {
        assert!(matches!(CostWeightedLoss::of_depth(loss, 3), Err(Error::Loss { .. })));
    }
    assert!(matches!(CostWeightedLoss::of_depth(1.0, 0), Err(Error::Dynamic(Dynamic::Argument { .. }))));
    assert!(matches!(CostWeightedLoss::of_depth_and_heads(1.0, 1, 0), Err(Error::Dynamic(Dynamic::Argument { .. }))));
}

#[test]
fn a_rule_out_of_range_is_refused() {
    let good = rule(CLIPPED, RewardMemory::default());
    good.check().unwrap();
    for bad in [
        RewardRule { kappa: 0.0, ..good },
        RewardRule { shape: RewardShape::Clipped { max: f64::NAN }, ..good },
        RewardRule { shape: RewardShape::Utility { lambda: -1.0 }, ..good },
        RewardRule { memory: RewardMemory::RunningMean { decay: 0.0 }, ..good },
        RewardRule { memory: RewardMemory::RunningMean { decay: 1.5 }, ..good },
    ] {
        assert!(matches!(bad.check(), Err(Error::Dynamic(Dynamic::Argument { .. }))), "{bad:?}");
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
    fn less_depth_never_lowers_the_reward_and_rewards_are_finite(
        losses in prop::collection::vec(prop_oneof![Just(0.0), 0.0_f64..20.0, Just(f64::MAX)], 1..5),
        depth in 1_usize..12,
    ) {
        for shape in [RewardShape::Ratio, RewardShape::Log, CLIPPED] {
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
