//! The paper's sizes, and routing whose right answer is planted.

use dht_transformer::{BlockShape, ClassifierShape};
use rand::SeedableRng;

use super::*;
use crate::{Preset, WidthCoupling};

/// A text that needs depth when its first signal is above this.
const THRESHOLD: f64 = 0.5;

fn bandits(settings: &SearchSettings) -> TreeBandits {
    let space = Preset::TDht.space(12, 12).unwrap();
    let block = BlockShape { hidden: 24, heads: 12, head_dim: 2, ffn: 96 };
    let classifier = ClassifierShape { hidden: 24, pooler: false, classes: 2 };
    let cost = FlopsCost::new(12, block, classifier, WidthCoupling::Heads).unwrap();
    TreeBandits::new(&space, settings, cost).unwrap()
}

#[test]
fn the_papers_contexts_have_168_87_and_13_dimensions() {
    let bandits = bandits(&SearchSettings::paper());
    assert_eq!(sizes(&bandits.space, &bandits.settings), [168, 87, 13]);
    let learned = bandits.state();
    let dimensions = [learned.depth.dimension(), learned.heads.dimension(), learned.head_sets.dimension()];
    assert_eq!(dimensions, [168, 87, 13]);
}

/// Some texts' signals and their losses by exit: depth gains a lot of texts above the threshold, and harms the others
/// a little.
fn planted(texts: usize, rng: &mut ChaCha8Rng) -> (Vec<Vec<f64>>, Losses) {
    let contexts: Vec<Vec<f64>> =
        (0..texts).map(|_| vec![rng.random::<f64>(), rng.random::<f64>(), rng.random::<f64>()]).collect();
    let loss = |exit: usize, context: &[f64]| {
        let share = exit as f64 / 3.0;
        2.0 - share * (context[0] - THRESHOLD) * 3.0
    };
    let by_exit = (0..4)
        .map(|exit| contexts.iter().map(|context| loss(exit, context) + 0.2 * rng.random::<f64>()).collect())
        .collect();
    (contexts, Losses { by_exit })
}

/// What the bandits would do with this signal, without exploring.
fn greedy(bandits: &TreeBandits, context: &[f64], rng: &mut ChaCha8Rng) -> usize {
    let costs = bandits.exit_costs(16);
    best(4, rng, |exit| {
        let score = bandits.learned.depth.score(arm(exit), &bandits.depth_context(context, exit)?)?;
        Ok(bandits.value(score, 0.1, costs[exit], Mode::Exploit))
    })
    .unwrap()
}

fn trained(nested: bool, rng: &mut ChaCha8Rng) -> TreeBandits {
    let settings = SearchSettings {
        context: crate::ContextDesign::Signals,
        nested_feedback: nested,
        warm_up_contexts: 64,
        reward_shape: RewardShape::Gain { lambda: 0.1 },
        ..SearchSettings::default()
    };
    let mut bandits = bandits(&settings);
    for _ in 0..34 {
        let (contexts, losses) = planted(32, rng);
        let exits = if bandits.learns() && rng.random_bool(0.5) {
            contexts.iter().map(|context| greedy(&bandits, context, rng)).collect()
        } else {
            (0..32).map(|_| rng.random_range(0..4)).collect()
        };
        bandits.learn(&DepthChoices { exits, contexts, signals: Vec::new() }, &[], &losses).unwrap();
    }
    bandits
}

#[test]
fn after_a_thousand_samples_the_greedy_choice_agrees_with_the_planted_truth() {
    for nested in [false, true] {
        let mut rng = ChaCha8Rng::seed_from_u64(11);
        let bandits = trained(nested, &mut rng);
        let (contexts, _) = planted(500, &mut rng);
        let lambda = 0.1;
        let costs = bandits.exit_costs(16);
        let truth = |context: &[f64]| {
            let worth = |exit: usize| exit as f64 / 3.0 * (context[0] - THRESHOLD) * 3.0 - lambda * costs[exit];
            (0..4).max_by(|a, b| worth(*a).total_cmp(&worth(*b))).unwrap()
        };
        let agree = contexts.iter().filter(|context| greedy(&bandits, context, &mut rng) == truth(context)).count();
        assert!(agree >= 450, "nested {nested}: {agree} of 500");
        let deep = contexts.iter().filter(|context| truth(context) == 3).count();
        assert!((100..400).contains(&deep), "both answers must be common: {deep} of 500 are deep");
    }
}

#[test]
fn with_a_large_lambda_everything_leaves_at_the_base_and_nothing_learned_changes() {
    let mut rng = ChaCha8Rng::seed_from_u64(12);
    let mut bandits = trained(true, &mut rng);
    let before = serde_json::to_value(bandits.state()).unwrap();
    let (contexts, _) = planted(200, &mut rng);
    bandits.set_lambda(100.0).unwrap();
    assert!(contexts.iter().all(|context| greedy(&bandits, context, &mut rng) == 0));
    assert_eq!(serde_json::to_value(bandits.state()).unwrap(), before);
    for wrong in [f64::NAN, f64::INFINITY, -1.0] {
        assert!(matches!(bandits.set_lambda(wrong), Err(Error::Setting { field: "reward_shape.lambda", .. })));
    }
    assert_eq!(bandits.settings.reward_shape, RewardShape::Gain { lambda: 100.0 });
}

#[test]
fn the_knob_is_refused_where_the_cost_is_learned() {
    let mut bandits = bandits(&SearchSettings::paper());
    assert!(matches!(bandits.set_lambda(0.5), Err(Error::Setting { field: "reward_shape", .. })));
}

#[test]
fn a_state_of_other_bandits_is_refused_and_changes_nothing() {
    let mut own = bandits(&SearchSettings::default());
    let before = serde_json::to_value(own.state()).unwrap();
    let other = bandits(&SearchSettings::paper());
    assert!(matches!(own.restore(other.learned), Err(Error::Setting { .. })));
    let mut with_features = bandits(&SearchSettings::default());
    with_features.learned.arm_features =
        Some(ArmFeatures { depth: Vec::new(), heads: Vec::new(), head_sets: Vec::new() });
    assert!(matches!(own.restore(with_features.learned), Err(Error::Setting { field: "arm features", .. })));
    let mut too_high = bandits(&SearchSettings::default());
    too_high.learned.pinned = Some(HeadSet::from_indices([12], 13).unwrap());
    assert!(matches!(own.restore(too_high.learned), Err(Error::Setting { field: "pinned heads", .. })));
    assert_eq!(serde_json::to_value(own.state()).unwrap(), before);
}

#[test]
fn random_exits_come_in_proportion_to_a_power_of_their_depth() {
    for (power, expected) in
        [(0.0, [0.25; 4]), (1.0, [0.1, 0.2, 0.3, 0.4]), (2.0, [1.0, 4.0, 9.0, 16.0].map(|w| w / 30.0))]
    {
        let bandits = bandits(&SearchSettings { explore_power: power, ..SearchSettings::default() });
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut counts = [0.0_f64; 4];
        for _ in 0..20_000 {
            counts[bandits.random_exit(&mut rng)] += 1.0 / 20_000.0;
        }
        // Four standard errors of a share of a half in 20,000 draws are .014.
        for (found, expected) in counts.into_iter().zip(expected) {
            assert!((found - expected).abs() < 0.014, "power {power}: {counts:?}");
        }
    }
}
