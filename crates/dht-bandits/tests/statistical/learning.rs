//! Policies find the best arm of simulated environments, over several seeds.

use dht_bandits::{
    ArmId, LinTs, LinUcb, Policy, Request, Ridge, Thompson, Ucb,
    exploration::EpsilonGreedy,
    policy::{Disjoint, TopK, Uniform},
    posterior::{DiagonalLaplace, FullLaplace},
    simulation::{Comparison, Curve, GlmEnvironment},
};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, StandardNormal};

use crate::slate_environment::{CascadeEnvironment, ClickEnvironment, total_regret};

const ROUNDS: usize = 5000;

/// Asserts that for at least 19 of 20 seeds, the regret is at most a quarter of that of uniform choices.
fn assert_learns(runs: &[(String, Vec<Curve>)]) {
    let ((_, uniform), learners) = runs.split_first().unwrap();
    for (name, learner) in learners {
        let within = (uniform.iter().zip(learner))
            .filter(|(control, curve)| curve.total_regret() <= 0.25 * control.total_regret())
            .count();
        let (regret, control) = (Curve::mean_regret(learner).0, Curve::mean_regret(uniform).0);
        assert!(within >= 19, "{name}: {within} of 20 seeds, mean regret {regret} of {control}");
    }
}

#[test]
fn linear_policies_have_at_most_a_quarter_of_uniform_regret() {
    let ridge = Ridge::default();
    let policies: [(&str, Box<dyn Policy>); 4] = [
        ("uniform", Box::new(Uniform::new(6, 5).unwrap())),
        ("LinUCB", Box::new(LinUcb::new(6, 5, ridge, Ucb { alpha: 0.5 }).unwrap())),
        ("linear Thompson sampling", Box::new(LinTs::new(6, 5, ridge, Thompson { alpha: 0.3 }).unwrap())),
        ("ε-greedy", Box::new(Disjoint::new(6, 5, ridge, EpsilonGreedy::new(0.05)).unwrap())),
    ];
    let seeds: Vec<_> = (0..20).collect();
    let environment = |rng: &mut ChaCha8Rng| GlmEnvironment::linear(6, 5, 0.5, rng);
    assert_learns(&Comparison::run(&policies, environment, ROUNDS, &seeds).unwrap().runs);
}

#[test]
fn logistic_policies_have_at_most_a_quarter_of_uniform_regret() {
    let full = FullLaplace::default();
    let diagonal = DiagonalLaplace::default();
    let policies: [(&str, Box<dyn Policy>); 4] = [
        ("uniform", Box::new(Uniform::new(6, 5).unwrap())),
        ("logistic Thompson sampling", Box::new(Disjoint::new(6, 5, full, Thompson { alpha: 0.5 }).unwrap())),
        ("logistic UCB", Box::new(Disjoint::new(6, 5, full, Ucb { alpha: 0.5 }).unwrap())),
        ("diagonal", Box::new(Disjoint::new(6, 5, diagonal, Thompson { alpha: 0.5 }).unwrap())),
    ];
    let seeds: Vec<_> = (100..120).collect();
    let environment = |rng: &mut ChaCha8Rng| GlmEnvironment::logistic(6, 5, rng);
    assert_learns(&Comparison::run(&policies, environment, ROUNDS, &seeds).unwrap().runs);
}

#[test]
fn slates_of_contextual_clicks_reach_their_reference_regret() {
    // Reference over seeds 0 to 4: 50 to 95 after 3,000 rounds of 5 of 50 items; at random it is about 6,500.
    for seed in 0..5 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut environment = ClickEnvironment::new(50, 5, 16, 1.0, &mut rng);
        let mut regret_of = |policy: &mut dyn Policy| total_regret(policy, &mut environment, 3000, &mut rng).unwrap();
        let regret = regret_of(&mut TopK::shared(17, DiagonalLaplace::default(), Thompson { alpha: 0.25 }).unwrap());
        assert!(regret < 130.0, "{seed}: {regret}");
        let regret = regret_of(&mut TopK::shared(17, Ridge::default(), Ucb { alpha: 0.5 }).unwrap());
        assert!(regret < 160.0, "{seed}: {regret}");
        // Controls that explore too much must exceed the limits.
        let wild = regret_of(&mut TopK::shared(17, DiagonalLaplace::default(), Thompson { alpha: 2.0 }).unwrap());
        let wide = regret_of(&mut TopK::shared(17, Ridge::default(), Ucb { alpha: 4.0 }).unwrap());
        assert!(wild > 130.0 && wide > 160.0, "{seed}: {wild} {wide}");
    }
}

#[test]
fn cascades_reach_their_reference_regret() {
    // Cascade B_LB, L = 16, K = 2, Δ = .15: regret about 130 after 100,000 rounds, two thirds of it in the first
    // 20,000.
    let mean_regret = |alpha: f64| {
        let regret = |seed| {
            let options = DiagonalLaplace::default().with_prior_precision(0.1);
            let mut policy = TopK::per_arm(1, 16, options, Thompson { alpha }).unwrap();
            let mut environment = CascadeEnvironment::new(16, 2, 0.2, 0.15);
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            total_regret(&mut policy, &mut environment, 20_000, &mut rng).unwrap()
        };
        (0..5).map(regret).sum::<f64>() / 5.0
    };
    let regret = mean_regret(0.8);
    assert!((40.0..140.0).contains(&regret), "{regret}");
    // Controls: twice the deviation explores too much, and a greedy policy stays with the wrong items.
    let (wild, greedy) = (mean_regret(1.6), mean_regret(0.0));
    assert!(wild > 140.0 && greedy > 140.0, "{wild} {greedy}");
}

#[test]
fn ten_classes_as_arms_reach_their_reference_reward() {
    // Environment like the classification of images: 10 prototypes in 30 dimensions, noise of deviation 1.1, and a bias
    // column. The arm that names the class pays 1. Reference: a linear classifier that sees all labels at once is right
    // .95 of the time. LinUCB, which sees one bit per round, earns .75 to .85 per round over 2,000 rounds.
    for seed in 0..3 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut normal = |scale: f64| -> f64 {
            let z: f64 = StandardNormal.sample(&mut rng);
            scale * z
        };
        let prototypes: Vec<Vec<f64>> = (0..10).map(|_| (0..30).map(|_| normal(0.8)).collect()).collect();
        let mut policy = LinUcb::new(31, 10, Ridge::default(), Ucb { alpha: 0.25 }).unwrap();
        let mut earned = 0.0;
        for _ in 0..2000 {
            let class = rng.random_range(0..10usize);
            let mut noisy = |value: &f64| {
                let z: f64 = StandardNormal.sample(&mut rng);
                (value + 1.1 * z) / 5.0
            };
            let features: Vec<f64> = prototypes[class].iter().map(&mut noisy).collect();
            let context = [&features[..], &[1.0]].concat();
            let decision = policy.decide(&Request::new(&context), &mut rng).unwrap();
            let reward = f64::from(u8::from(decision.arm() == ArmId::new(class as u64)));
            policy.learn(&decision, reward).unwrap();
            earned += reward / 2000.0;
        }
        assert!(earned > 0.70, "{seed}: {earned}");
    }
}
