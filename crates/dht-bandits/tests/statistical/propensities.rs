//! Propensities compared with frequencies of draws: χ² over many choices, for every type of policy.
//!
//! For a million draws each, run `DHT_DRAWS=1000000 cargo test -p dht-bandits --release --test statistical`.

use dht_bandits::{
    ArmId, LinTs, Policy, Request, Ridge, Thompson, Ucb,
    exploration::{EpsilonGreedy, Exploration, Softmax, SquareCb},
    policy::{Disjoint, Hybrid, TopK},
    posterior::{DiagonalLaplace, FullLaplace},
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::support::{check, draws, normals};

const ARMS: usize = 6;

/// Policy that has learned rewards, so that widths differ.
fn trained<E: Exploration>(rule: E, rng: &mut ChaCha8Rng) -> Disjoint<Ridge, E> {
    let mut policy = Disjoint::new(3, ARMS, Ridge::default(), rule).unwrap();
    for round in 0..30 {
        let context = normals(rng, 3);
        let reward = 0.1 * (round % 7) as f64 + 0.3 * context[0];
        policy.update(ArmId::new(round % ARMS as u64 * (round % 2)), &context, reward, 1.0).unwrap();
    }
    policy
}

#[test]
fn disjoint_policies_draw_as_their_propensities_say() {
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let context = normals(&mut rng, 3);
    let some = [5, 1, 0, 2].map(ArmId::new);
    let mut check_rule = |name: &str, make: &dyn Fn(&mut ChaCha8Rng) -> Box<dyn Policy>| {
        let policy = make(&mut rng);
        check(name, &*policy, &Request::new(&context), &mut rng);
        check(name, &*policy, &Request::new(&context).only(&some), &mut rng);
    };
    check_rule("greedy", &|rng| Box::new(trained(EpsilonGreedy::new(0.3), rng)));
    check_rule("decaying greedy", &|rng| Box::new(trained(EpsilonGreedy::new(2.0).with_decay(0.5), rng)));
    check_rule("explore first", &|rng| Box::new(trained(EpsilonGreedy::new(0.0).with_first(99), rng)));
    check_rule("softmax", &|rng| Box::new(trained(Softmax { temperature: 0.2 }, rng)));
    check_rule("SquareCB", &|rng| Box::new(trained(SquareCb::new(2.0), rng)));
    check_rule("Thompson", &|rng| Box::new(trained(Thompson { alpha: 0.8 }, rng)));
    check_rule("new SquareCB", &|_| {
        Box::new(Disjoint::<Ridge, _>::new(3, ARMS, Ridge::default(), SquareCb::new(2.0)).unwrap())
    });
    check_rule("new UCB", &|_| {
        Box::new(Disjoint::<Ridge, _>::new(3, ARMS, Ridge::default(), Ucb { alpha: 1.0 }).unwrap())
    });
    check_rule("logistic Thompson", &|_| {
        let mut policy = Disjoint::new(3, ARMS, FullLaplace::default(), Thompson { alpha: 1.0 }).unwrap();
        for arm in 0..3 {
            policy.update(ArmId::new(arm), &[1.0, 0.0, -1.0], 1.0, (arm + 1) as f64).unwrap();
        }
        Box::new(policy)
    });
}

#[test]
fn policies_with_features_draw_as_their_propensities_say() {
    let mut rng = ChaCha8Rng::seed_from_u64(12);
    let arms: Vec<_> = (0..ARMS as u64).map(ArmId::new).collect();
    let (context, rows) = (normals(&mut rng, 2), normals(&mut rng, 3 * ARMS));
    let request = Request::new(&context).featured(&arms, &rows, 3).unwrap();
    let mut hybrid = Hybrid::new(2, 3, ARMS, 1.0, Thompson { alpha: 0.7 }).unwrap();
    hybrid.update(ArmId::new(2), &context, &rows[..3], 1.0, 3.0).unwrap();
    check("hybrid Thompson", &hybrid, &request, &mut rng);
    for dimension in [2, 3, 5, 12] {
        let rows = normals(&mut rng, dimension * ARMS);
        let request = Request::new(&[]).featured(&arms, &rows, dimension).unwrap();
        let mut shared = TopK::shared(dimension, Ridge::default(), Thompson { alpha: 0.7 }).unwrap();
        for row in rows.chunks(dimension).take(3) {
            Policy::update(&mut shared, ArmId::new(0), row, 0.5, 1.0).unwrap();
        }
        check(&format!("shared Thompson in {dimension}"), &shared, &request, &mut rng);
        let alone = shared.with_independent_draws();
        check(&format!("a draw for each candidate in {dimension}"), &alone, &request, &mut rng);
    }
}

fn check_slates(name: &str, policy: &dyn Policy, shown: usize, request: &Request<'_>, rng: &mut ChaCha8Rng) {
    let propensities = policy.slate_propensities(shown, request).unwrap();
    let sum: f64 = propensities.iter().map(|entry| entry.probability).sum();
    assert!((sum - shown as f64).abs() < 1e-9, "{name}: {sum}");
    let (mut slate, mut counts) = (dht_bandits::policy::Slate::default(), vec![0u32; propensities.len()]);
    for _ in 0..draws() {
        policy.select_slate(shown, request, rng, &mut slate).unwrap();
        for choice in slate.choices() {
            counts[propensities.iter().position(|entry| entry.arm == choice.arm).unwrap()] += 1;
        }
    }
    // Each item by itself is binomial: the tolerance is five deviations, including those of the stated error.
    let draws = f64::from(draws());
    for (entry, count) in propensities.iter().zip(counts) {
        let deviation =
            (entry.probability * (1.0 - entry.probability).max(0.0) / draws + entry.standard_error.powi(2)).sqrt();
        let gap = (f64::from(count) / draws - entry.probability).abs();
        assert!(gap <= 5.0 * deviation + 1.0 / draws, "{name}: {entry:?} {count} of {draws}");
    }
}

#[test]
fn slates_show_each_item_as_its_propensity_says() {
    let mut rng = ChaCha8Rng::seed_from_u64(13);
    let arms: Vec<_> = (0..7).map(ArmId::new).collect();
    let rows = normals(&mut rng, 21);
    let request = Request::new(&[]).featured(&arms, &rows, 3).unwrap();
    let pinned = [ArmId::new(2)];
    let laplace = DiagonalLaplace::default();
    let thompson = Thompson { alpha: 1.0 };
    let mut per_arm = TopK::<DiagonalLaplace, _>::per_arm(3, 7, laplace, thompson).unwrap();
    Policy::update(&mut per_arm, ArmId::new(1), &[1.0, 1.0, 1.0], 1.0, 4.0).unwrap();
    let shared = TopK::<DiagonalLaplace, _>::shared(3, laplace, thompson).unwrap();
    let greedy = TopK::<Ridge, _>::shared(3, Ridge::default(), EpsilonGreedy::new(0.4)).unwrap();
    let softmax = TopK::<Ridge, _>::shared(3, Ridge::default(), Softmax { temperature: 0.5 }).unwrap();
    for shown in [1, 2, 4] {
        check_slates("per arm", &per_arm, shown, &request, &mut rng);
        check_slates("pinned", &per_arm.clone().with_pinned(&pinned).unwrap(), shown, &request, &mut rng);
        check_slates("shared", &shared, shown, &request, &mut rng);
        check_slates("alone", &shared.clone().with_independent_draws(), shown, &request, &mut rng);
        check_slates("greedy", &greedy, shown, &request, &mut rng);
        check_slates("softmax", &softmax, shown, &request, &mut rng);
    }
}

#[test]
fn two_thompson_arms_keep_their_closed_form_while_learning() {
    let mut rng = ChaCha8Rng::seed_from_u64(14);
    let mut policy = LinTs::new(3, 2, Ridge::default(), Thompson { alpha: 0.9 }).unwrap();
    for round in 0..40 {
        let context = normals(&mut rng, 3);
        policy.update(ArmId::new(round % 2), &context, context[1] - 0.2 * (round % 2) as f64, 10.0).unwrap();
        let scores = [0, 1].map(|arm| policy.score(ArmId::new(arm), &context).unwrap());
        let z = (scores[0].mean - scores[1].mean) / (0.9 * scores[0].width.hypot(scores[1].width));
        let expected = 0.5 * libm::erfc(-z / std::f64::consts::SQRT_2);
        let probability = policy.propensities(&Request::new(&context)).unwrap()[0].probability;
        assert!((probability - expected).abs() < 1e-10, "{probability} {expected}");
    }
}
