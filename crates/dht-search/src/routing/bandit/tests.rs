//! The paper's sizes, and routing whose right answer is planted.

use rand::SeedableRng;

use super::setup::best;
use crate::reward::RewardShape;
use crate::routing::bandit::*;
use crate::settings::ContextDesign;
use crate::space::Preset;

/// A text that needs depth when its first signal is above this.
const THRESHOLD: f64 = 0.5;

fn bandits_of(preset: Preset, settings: &SearchSettings) -> SearchBandits {
    let space = preset.space(12, 12).unwrap();
    let block = BlockShape { hidden: 24, heads: 12, head_dim: 2, ffn: 96 };
    let classifier = ClassifierShape { hidden: 24, pooler: false, classes: 2 };
    SearchBandits::new(&space, settings, block, classifier).unwrap()
}

fn bandits(settings: &SearchSettings) -> SearchBandits {
    bandits_of(Preset::TDht, settings)
}

#[test]
fn the_papers_contexts_have_168_87_and_13_dimensions() {
    assert_eq!(bandits(&SearchSettings::paper()).learned.sizes(), [Some(168), Some(87), Some(13)]);
    for preset in [Preset::SDht, Preset::FDht, Preset::PDht] {
        assert_eq!(bandits_of(preset, &SearchSettings::paper()).learned.sizes(), [Some(168), None, Some(13)]);
    }
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
fn greedy(bandits: &SearchBandits, context: &[f64], rng: &mut ChaCha8Rng) -> usize {
    let DepthDecider::AtTheBase(bandit) = &bandits.learned.depth else { panic!("decided at every exit") };
    bandit.choose(&bandits.setup, None, context, 16, Mode::Exploit, rng).unwrap()
}

fn trained(nested: bool, rng: &mut ChaCha8Rng) -> SearchBandits {
    let settings = SearchSettings {
        context: ContextDesign::Signals,
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
        bandits.learn(&DepthChoices { exits, contexts, ..DepthChoices::default() }, &[], &losses).unwrap();
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
        let costs = bandits.setup.exit_costs(16).unwrap();
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
    assert_eq!(bandits.settings().reward_shape, RewardShape::Gain { lambda: 100.0 });
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
    let integrated = bandits_of(Preset::FDht, &SearchSettings::default());
    assert!(matches!(own.restore(integrated.learned), Err(Error::Setting { field: "depth bandit's arms", .. })));
    let mut with_features = bandits(&SearchSettings::default());
    let nothing = ArmFeatures { depth: Vec::new(), heads: Vec::new(), arms: Vec::new(), head_sets: Vec::new() };
    with_features.learned.arm_features = Some(nothing);
    assert!(matches!(own.restore(with_features.learned), Err(Error::Setting { field: "arm features", .. })));
    let mut too_high = bandits(&SearchSettings::default());
    too_high.learned.head_sets.pinned = Some(HeadSet::from_indices([12], 13).unwrap());
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
        let depths = bandits.setup.depths();
        let mut counts = [0.0_f64; 4];
        for _ in 0..20_000 {
            counts[bandits.setup.random_by_depth(&depths, &mut rng)] += 1.0 / 20_000.0;
        }
        // Four standard errors of a share of a half in 20,000 draws are .014.
        for (found, expected) in counts.into_iter().zip(expected) {
            assert!((found - expected).abs() < 0.014, "power {power}: {counts:?}");
        }
    }
}

#[test]
fn equal_values_are_chosen_between_by_lot() {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let mut counts = [0; 3];
    (0..3000).for_each(|_| counts[best([1.0, 0.0, 1.0], &mut rng)] += 1);
    assert!(counts[1] == 0 && counts[0] > 1300 && counts[2] > 1300, "{counts:?}");
}
