//! Frequencies of choices among 100 arms, compared with the propensities that `decide` returns.
//!
//! For a million draws each, run `DHT_DRAWS=1000000 cargo test -p dht-bandits --release --test statistical`.

use std::collections::{BTreeMap, BTreeSet};

use dht_bandits::{
    ArmId, Choice, Policy, Request, Ridge, Thompson, Ucb,
    exploration::{EpsilonGreedy, Exploration, Floor, Softmax, SquareCb},
    policy::{BetaThompson, ContextFree, Disjoint, Hybrid, SharedPropensity, Slate, TopK, Ucb1},
    posterior::NormalInverseGamma,
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::support::{draws, normals};

const ARMS: u64 = 100;
const FEATURES: usize = 4;
/// Number of decisions whose propensities are compared.
const ASKED: usize = 60;

/// Asserts that each arm that a decision chose was drawn as often as its propensity says, to four standard errors.
/// Prints the largest deviation, and the probability that the largest of as many independent deviations exceeds it.
fn compare(name: &str, counts: &BTreeMap<ArmId, u32>, asked: &[Choice]) {
    let draws = f64::from(draws());
    let (mut worst, mut arms) = (0.0f64, BTreeSet::new());
    for choice in asked {
        let propensity = choice.propensity.unwrap();
        assert!(propensity > 0.0 && propensity <= 1.0 + 1e-12, "{name}: {choice:?}");
        let frequency = f64::from(counts.get(&choice.arm).copied().unwrap_or(0)) / draws;
        let variance = propensity * (1.0 - propensity).max(0.0) / draws + choice.propensity_error.powi(2);
        // If hardly any draws are expected, one draw more or less is rounding.
        let gap = ((frequency - propensity).abs() - 1.0 / draws).max(0.0);
        worst = worst.max(gap / variance.sqrt().max(1e-12));
        arms.insert(choice.arm);
        assert!(gap <= 4.0 * variance.sqrt() + 1e-12, "{name}: {choice:?}, drawn with frequency {frequency}");
    }
    let exceeded = 1.0 - (1.0 - libm::erfc(worst / std::f64::consts::SQRT_2)).powi(arms.len() as i32);
    println!("| {name} | {} | {worst:.2} | {exceeded:.2} |", arms.len());
}

fn check<P: Policy>(name: &str, policy: &P, request: &Request<'_>) {
    let mut rng = ChaCha8Rng::seed_from_u64(31);
    let mut counts = BTreeMap::new();
    for _ in 0..draws() {
        *counts.entry(policy.select(request, &mut rng).unwrap().arm).or_default() += 1;
    }
    let asked: Vec<_> = (0..ASKED).map(|_| policy.decide(request, &mut rng).unwrap().choice).collect();
    compare(name, &counts, &asked);
}

fn check_slates<P: Policy>(name: &str, policy: &P, request: &Request<'_>) {
    let mut rng = ChaCha8Rng::seed_from_u64(32);
    let (mut counts, mut slate) = (BTreeMap::new(), Slate::default());
    for _ in 0..draws() {
        policy.select_slate(5, request, &mut rng, &mut slate).unwrap();
        for choice in slate.choices() {
            *counts.entry(choice.arm).or_default() += 1;
        }
    }
    let asked: Vec<_> =
        (0..ASKED / 5).flat_map(|_| policy.decide_slate(5, request, &mut rng).unwrap().choices().to_vec()).collect();
    compare(name, &counts, &asked);
}

struct World {
    arms: Vec<ArmId>,
    context: Vec<f64>,
    rows: Vec<f64>,
}

impl World {
    fn new() -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(33);
        let rows: Vec<f64> = normals(&mut rng, FEATURES * ARMS as usize).iter().map(|value| 0.3 * value).collect();
        Self { arms: (0..ARMS).map(ArmId::new).collect(), context: normals(&mut rng, 3), rows }
    }

    fn featured<'a>(&'a self, context: &'a [f64]) -> Request<'a> {
        Request::new(context).featured(&self.arms, &self.rows, FEATURES).unwrap()
    }

    fn disjoint<E: Exploration>(&self, name: &str, rule: E) {
        let mut policy = Disjoint::<Ridge, E>::new(3, ARMS as usize, Ridge::default(), rule).unwrap();
        // The first ten arms have learned rewards, and the others tie.
        for round in 0..60u64 {
            let context = normals(&mut ChaCha8Rng::seed_from_u64(round), 3);
            policy.update(ArmId::new(round % 10), &context, 0.1 * (round % 7) as f64, 1.0).unwrap();
        }
        check(&format!("disjoint {name}"), &policy, &Request::new(&self.context));
    }

    fn shared<E: Exploration>(&self, name: &str, rule: E, method: SharedPropensity, slates: bool) {
        let mut policy = TopK::<Ridge, E>::shared(FEATURES, Ridge::default(), rule).unwrap();
        for (position, row) in self.rows.chunks(FEATURES).take(20).enumerate() {
            Policy::update(&mut policy, self.arms[position], row, 0.2 * (position % 4) as f64, 1.0).unwrap();
        }
        let policy = policy.with_shared_propensity(method).unwrap();
        check(&format!("shared {name}"), &policy, &self.featured(&[]));
        if slates {
            check_slates(&format!("slates of five, {name}"), &policy, &self.featured(&[]));
        }
    }

    fn hybrid<E: Exploration>(&self, name: &str, rule: E) {
        let mut policy = Hybrid::new(3, FEATURES, ARMS as usize, 1.0, rule).unwrap();
        for (position, row) in self.rows.chunks(FEATURES).take(20).enumerate() {
            policy.update(self.arms[position], &self.context, row, 0.2 * (position % 4) as f64, 1.0).unwrap();
        }
        check(&format!("hybrid {name}"), &policy, &self.featured(&self.context));
    }
}

#[test]
fn decisions_of_disjoint_policies_have_their_frequency() {
    let world = World::new();
    world.disjoint("UCB", Ucb { alpha: 0.0 });
    world.disjoint("ε-greedy", EpsilonGreedy::new(0.3));
    world.disjoint("decaying greedy", EpsilonGreedy::new(5.0).with_decay(0.5));
    world.disjoint("explore first", EpsilonGreedy::new(0.0).with_first(999));
    world.disjoint("softmax", Softmax { temperature: 0.2 });
    world.disjoint("SquareCB", SquareCb::new(20.0));
    world.disjoint("Thompson", Thompson { alpha: 0.3 });
    world.disjoint("UCB with a floor", Floor::new(Ucb { alpha: 0.5 }, 0.002).unwrap());
    world.disjoint("Thompson with a floor", Floor::new(Thompson { alpha: 0.3 }, 0.003).unwrap());
    world.disjoint("softmax with a floor", Floor::new(Softmax { temperature: 0.1 }, 0.003).unwrap());
    world.disjoint("SquareCB with a floor", Floor::new(SquareCb::new(100.0), 0.003).unwrap());
    world.disjoint("ε-greedy with a floor of 1/K", Floor::new(EpsilonGreedy::new(0.1), 0.01).unwrap());
}

#[test]
fn decisions_of_shared_policies_have_their_frequency() {
    let world = World::new();
    let estimate = SharedPropensity::Estimated { lines: 4096 };
    world.shared("UCB", Ucb { alpha: 0.5 }, estimate, true);
    world.shared("ε-greedy", EpsilonGreedy::new(0.3), estimate, true);
    world.shared("softmax", Softmax { temperature: 0.1 }, estimate, true);
    world.shared("SquareCB", SquareCb::new(50.0), estimate, false);
    world.shared("Thompson by an estimate", Thompson { alpha: 0.3 }, estimate, true);
    world.shared("Thompson by an integral", Thompson { alpha: 0.3 }, SharedPropensity::Integral, true);
    let floor = 0.004;
    world.shared("UCB with a floor", Floor::new(Ucb { alpha: 0.5 }, floor).unwrap(), estimate, true);
    world.shared("ε-greedy with a floor", Floor::new(EpsilonGreedy::new(0.1), floor).unwrap(), estimate, true);
    world.shared("softmax with a floor", Floor::new(Softmax { temperature: 0.1 }, floor).unwrap(), estimate, true);
    world.shared("SquareCB with a floor", Floor::new(SquareCb::new(50.0), floor).unwrap(), estimate, false);
    world.shared("Thompson with a floor", Floor::new(Thompson { alpha: 0.3 }, floor).unwrap(), estimate, true);
    world.hybrid("UCB", Ucb { alpha: 0.5 });
    world.hybrid("softmax", Softmax { temperature: 0.1 });
    world.hybrid("Thompson", Thompson { alpha: 0.5 });
}

#[test]
fn decisions_of_other_policies_have_their_frequency() {
    let world = World::new();
    let options = NormalInverseGamma::default();
    let mut noisy = Disjoint::<NormalInverseGamma, _>::new(3, ARMS as usize, options, Thompson { alpha: 0.5 }).unwrap();
    let (mut ucb1, mut beta) = (
        ContextFree::new(ARMS as usize, Ucb1::default()).unwrap(),
        ContextFree::new(ARMS as usize, BetaThompson::default()).unwrap(),
    );
    for round in 0..200u64 {
        let arm = ArmId::new(round * round % ARMS);
        noisy.update(arm, &world.context, (round % 2) as f64, 1.0).unwrap();
        ucb1.update(ArmId::new(round % ARMS), &[], f64::from(u8::from(round % 3 == 0)), 1.0).unwrap();
        beta.update(arm, &[], (round % 2) as f64, 1.0).unwrap();
    }
    check("Thompson with learned noise", &noisy, &Request::new(&world.context));
    check("UCB1", &ucb1, &Request::new(&[]));
    check("Beta-Thompson", &beta, &Request::new(&[]));
}
