//! Tests of the bandits: contexts have the sizes that the DHT paper gives, and the bandits learn a routing task whose
//! best decision is known.

use dht_dynamic::Error as Dynamic;
use dht_dynamic::Router;
use dht_dynamic::passage::Trace;
use dht_dynamic::router::{Decisions, Mode};
use dht_transformer::{
    HeadSet,
    flops::{BlockShape, ClassifierShape},
};
use rand::seq::SliceRandom;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::setup::best;
use crate::error::{Error, Result};
use crate::features::ArmFeatures;
use crate::reward::RewardShape;
use crate::routing::bandit::*;
use crate::routing::{Learner, Losses, Preparation};
use crate::settings::{ContextDesign, SearchSettings};
use crate::space::Preset;

/// Threshold on the first signal of a synthetic text. Texts above it have a lower loss at deeper exits.
const THRESHOLD: f64 = 0.5;

pub(super) fn setup_of(preset: Preset, settings: &SearchSettings) -> Setup {
    let space = preset.space(12, 12).unwrap();
    let block = BlockShape { hidden: 24, heads: 12, head_dim: 2, ffn: 96 };
    let classifier = ClassifierShape { hidden: 24, pooler: false, classes: 2 };
    Setup::new(space, settings.clone(), block, classifier).unwrap()
}

fn router(settings: &SearchSettings) -> DepthRouter {
    DepthRouter::new(setup_of(Preset::TDht, settings)).unwrap()
}

#[test]
fn the_papers_contexts_have_168_87_and_13_dimensions() {
    for (preset, counts) in [(Preset::TDht, Some(87)), (Preset::SDht, None), (Preset::FDht, None), (Preset::PDht, None)]
    {
        let setup = setup_of(preset, &SearchSettings::paper());
        let depth = DepthRouter::new(setup.clone()).unwrap().learned.bandit.linear.dimension();
        let heads = BanditHeads::new(setup).unwrap().dimensions();
        assert_eq!((depth, heads), (168, [counts, Some(13)]), "{preset}");
    }
}

/// Synthetic texts: the signals of each text, and its losses by exit. Deeper exits lower the loss of texts above the
/// threshold, and raise the loss of the others.
fn planted(texts: usize, rng: &mut dyn Rng) -> (Vec<Vec<f64>>, Losses) {
    let contexts: Vec<Vec<f64>> =
        (0..texts).map(|_| vec![rng.random::<f64>(), rng.random::<f64>(), rng.random::<f64>()]).collect();
    let loss = |exit: usize, context: &[f64]| {
        let share = exit as f64 / 3.0;
        2.0 - share * (context[0] - THRESHOLD) * 3.0
    };
    let by_exit = (0..4)
        .map(|exit| contexts.iter().map(|context| loss(exit, context) + 0.2 * rng.random::<f64>()).collect())
        .collect();
    (contexts, Losses::new(by_exit))
}

/// Trace (recorded forward pass) of texts that left at `exits`, with their contexts as `notes`.
fn trace(exits: Vec<usize>, notes: Vec<Vec<f64>>) -> Trace {
    let mut trace = Trace::default();
    trace.decisions = Decisions { exits, notes, ..Decisions::default() };
    trace
}

/// Exit that the router chooses without exploration.
fn greedy(router: &DepthRouter, context: &[f64]) -> usize {
    depth::choose(&router.learned.bandit.linear, &router.setup, None, context, 16, &mut Mode::Exploit).unwrap()
}

/// Depth router that has learned from synthetic texts. If `shuffled`, the contexts were permuted among the texts of
/// each batch.
fn trained(nested: bool, shuffled: bool, rng: &mut ChaCha8Rng) -> DepthRouter {
    let settings = SearchSettings {
        context: ContextDesign::Signals,
        nested_feedback: nested,
        warm_up_contexts: 64,
        reward_shape: RewardShape::Gain { lambda: 0.1 },
        ..SearchSettings::default()
    };
    let mut router = router(&settings);
    for _ in 0..34 {
        let (mut contexts, losses) = planted(32, rng);
        if shuffled {
            contexts.shuffle(rng);
        }
        let exits = if router.is_warm() && rng.random_bool(0.5) {
            contexts.iter().map(|context| greedy(&router, context)).collect()
        } else {
            (0..32).map(|_| rng.random_range(0..4)).collect()
        };
        router.learn(&trace(exits, contexts), &losses).unwrap();
    }
    router
}

#[test]
fn after_1000_samples_the_greedy_choice_agrees_with_the_truth() {
    for nested in [false, true] {
        let mut rng = ChaCha8Rng::seed_from_u64(11);
        let [router, control] = [false, true].map(|shuffled| trained(nested, shuffled, &mut rng));
        let (contexts, _) = planted(500, &mut rng);
        let lambda = 0.1;
        let costs = router.setup.exit_costs(16).unwrap();
        let truth = |context: &[f64]| {
            let worth = |exit: usize| exit as f64 / 3.0 * (context[0] - THRESHOLD) * 3.0 - lambda * costs[exit];
            (0..4).max_by(|a, b| worth(*a).total_cmp(&worth(*b))).unwrap()
        };
        let agreement =
            |router: &DepthRouter| contexts.iter().filter(|context| greedy(router, context) == truth(context)).count();
        let (agree, of_control) = (agreement(&router), agreement(&control));
        assert!(agree >= 450, "nested {nested}: {agree} of 500");
        assert!(of_control < 350, "nested {nested}, from contexts of other texts: {of_control} of 500");
        let deep = contexts.iter().filter(|context| truth(context) == 3).count();
        assert!((100..400).contains(&deep), "both answers must be common: {deep} of 500 are deep");
    }
}

#[test]
fn a_large_lambda_exits_at_the_base_and_keeps_what_was_learned() {
    let mut rng = ChaCha8Rng::seed_from_u64(12);
    let mut router = trained(true, false, &mut rng);
    let before = router.state().unwrap();
    let (contexts, _) = planted(200, &mut rng);
    router.set_speed(100.0).unwrap();
    assert!(contexts.iter().all(|context| greedy(&router, context) == 0));
    assert_eq!(router.state().unwrap(), before);
    for wrong in [f64::NAN, f64::INFINITY, -1.0] {
        assert!(matches!(
            router.set_speed(wrong),
            Err(Error::Dynamic(Dynamic::Argument { name: "reward_shape.lambda", .. }))
        ));
    }
    assert_eq!(router.setup.settings.reward_shape, RewardShape::Gain { lambda: 100.0 });
}

#[test]
fn learning_is_counted_once_by_reward() {
    let mut rng = ChaCha8Rng::seed_from_u64(13);
    for (decay, passes) in [(1.0, 1), (0.9, 2)] {
        let settings = SearchSettings {
            context: ContextDesign::Signals,
            nested_feedback: false,
            warm_up_contexts: 10,
            forgetting_decay: decay,
            ..SearchSettings::default()
        };
        let mut router = router(&settings);
        let mut learn = |router: &mut DepthRouter| {
            let (contexts, losses) = planted(10, &mut rng);
            router.learn(&trace(vec![1; 10], contexts), &losses).unwrap()
        };
        assert_eq!(learn(&mut router), 0, "during the warm-up nothing is learned");
        // Three signals and a constant: 4·(4² + 4) a reward.
        assert_eq!(learn(&mut router), passes * 10 * 4 * (16 + 4), "decay {decay}");
    }
}

#[test]
fn a_speed_is_refused_where_the_cost_is_learned() {
    let mut router = router(&SearchSettings::paper());
    assert!(matches!(router.set_speed(0.5), Err(Error::Dynamic(Dynamic::Argument { name: "reward_shape", .. }))));
}

#[test]
fn a_state_of_other_bandits_is_refused_and_changes_nothing() {
    let field = |refused: Result<()>| match refused {
        Err(Error::Dynamic(Dynamic::State { what: field, .. })) => field,
        other => panic!("{other:?}"),
    };
    let nothing = ArmFeatures { depth: Vec::new(), heads: Vec::new(), arms: Vec::new(), head_sets: Vec::new() };

    let mut own = router(&SearchSettings::default());
    let before = own.state().unwrap();
    let other = router(&SearchSettings::paper());
    assert_eq!(field(own.restore(other.state().unwrap())), "depth bandit's dimension");
    let integrated = DepthRouter::new(setup_of(Preset::FDht, &SearchSettings::default())).unwrap();
    assert_eq!(field(own.restore(integrated.state().unwrap())), "depth bandit's arms");
    let mut with_features = router(&SearchSettings::default());
    with_features.learned.arm_features = Some(nothing.clone());
    assert_eq!(field(own.restore(with_features.state().unwrap())), "arm features");
    assert_eq!(own.state().unwrap(), before);

    let heads = || BanditHeads::new(setup_of(Preset::TDht, &SearchSettings::default())).unwrap();
    let mut own = heads();
    let before = own.state().unwrap();
    let mut with_features = heads();
    let pinned = HeadSet::from_indices([0, 1], 12).unwrap();
    with_features.prepare(&Preparation { pinned: Some(pinned), arm_features: Some(nothing) }).unwrap();
    assert!(own.restore(with_features.state().unwrap()).is_err());
    let mut too_high = heads();
    too_high.sets_mut().pinned = Some(HeadSet::from_indices([12], 13).unwrap());
    assert_eq!(field(own.restore(too_high.state().unwrap())), "pinned heads");
    assert_eq!(own.state().unwrap(), before);
}

#[test]
fn random_exits_come_in_proportion_to_a_power_of_their_depth() {
    for (power, expected) in
        [(0.0, [0.25; 4]), (1.0, [0.1, 0.2, 0.3, 0.4]), (2.0, [1.0, 4.0, 9.0, 16.0].map(|w| w / 30.0))]
    {
        let router = router(&SearchSettings { explore_power: power, ..SearchSettings::default() });
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let depths = router.setup.depths();
        let mut counts = [0.0_f64; 4];
        for _ in 0..20_000 {
            counts[router.setup.random_by_depth(&depths, &mut rng)] += 1.0 / 20_000.0;
        }
        // Four standard errors of a share of a half in 20,000 draws are .014.
        for (share, expected) in counts.into_iter().zip(expected) {
            assert!((share - expected).abs() < 0.014, "power {power}: {counts:?}");
        }
    }
}

#[test]
fn ties_are_random_in_exploration_and_first_at_inference() {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let mut counts = [0; 3];
    (0..3000).for_each(|_| counts[best([1.0, 0.0, 1.0], &mut Mode::Explore(&mut rng))] += 1);
    assert!(counts[1] == 0 && counts[0] > 1300 && counts[2] > 1300, "{counts:?}");
    (0..20).for_each(|_| assert_eq!(best([0.0, 1.0, 1.0], &mut Mode::Exploit), 1));
}
