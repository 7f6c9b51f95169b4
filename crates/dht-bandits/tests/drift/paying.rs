//! Non-stationary environments in which forgetting earns more by over three standard errors.

use dht_bandits::{
    LinUcb, Policy, Request, Result, Ridge, Ucb,
    policy::{ChangeTest, Disjoint, ResetOnChange, SlidingWindow},
    posterior::{DecayClock, DiscountedRidge},
    simulation::{Comparison, Curve, Environment, GlmEnvironment},
};
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

const UCB: Ucb = Ucb { alpha: 0.3 };

fn ridge(decay: f64) -> Result<LinUcb> {
    LinUcb::new(4, 5, Ridge::default().with_decay(decay), UCB)
}

fn discounted(decay: f64, clock: DecayClock) -> Result<Disjoint<DiscountedRidge, Ucb>> {
    let options = DiscountedRidge::new(decay).with_clock(clock);
    Disjoint::new(4, 5, options, UCB)
}

fn policies() -> Result<Vec<(&'static str, Box<dyn Policy>)>> {
    let reset = |test| ResetOnChange::new(ridge(1.0)?, test);
    let policies: Vec<(_, Box<dyn Policy>)> = vec![
        ("stationary", Box::new(ridge(1.0)?)),
        ("clock", Box::new(discounted(0.98, DecayClock::Updates)?)),
        ("window", Box::new(SlidingWindow::new(ridge(1.0)?, 150)?)),
        ("Page–Hinkley", Box::new(reset(ChangeTest::PageHinkley { tolerance: 0.1, threshold: 5.0 })?)),
        ("ADWIN", Box::new(reset(ChangeTest::Adwin { delta: 0.01, range: 2.0 })?)),
        ("by arm", Box::new(ridge(0.95)?)),
    ];
    Ok(policies)
}

/// Difference between the regrets of two entries over the same seeds, in standard errors.
fn gain(comparison: &Comparison, entry: &str, other: &str) -> f64 {
    let regrets = |name: &str| -> Vec<f64> {
        let entry = comparison.runs.iter().find(|runs| runs.0 == name);
        entry.map(|runs| runs.1.iter().map(|curve| curve.total_regret()).collect()).unwrap_or_default()
    };
    let gains: Vec<_> = regrets(other).iter().zip(regrets(entry)).map(|(left, right)| left - right).collect();
    let count = gains.len() as f64;
    let mean = gains.iter().sum::<f64>() / count;
    let error = (gains.iter().map(|gain| (gain - mean).powi(2)).sum::<f64>() / (count * (count - 1.0))).sqrt();
    mean / error
}

fn table(comparison: &Comparison) -> String {
    let line = |(name, curves): &(String, Vec<Curve>)| {
        let (mean, error) = Curve::mean_regret(curves);
        format!("{name}: {mean:.0} ± {error:.0}")
    };
    comparison.runs.iter().map(line).collect::<Vec<_>>().join(", ")
}

#[test]
fn window_discount_and_resets_beat_stationary_in_abrupt_drift() {
    let environment = |rng: &mut ChaCha8Rng| GlmEnvironment::linear(4, 5, 0.1, rng)?.drifting(500);
    let seeds: Vec<_> = (0..30).collect();
    let comparison = Comparison::run(&policies().unwrap(), environment, 3000, &seeds).unwrap();
    for entry in ["clock", "window", "Page–Hinkley", "ADWIN"] {
        let gain = gain(&comparison, entry, "stationary");
        assert!(gain > 3.0, "{entry}: {gain} standard errors; {}", table(&comparison));
    }
    println!("{}", table(&comparison));
}

#[test]
fn window_and_discount_beat_stationary_in_gradual_drift() {
    let environment = |rng: &mut ChaCha8Rng| GlmEnvironment::linear(4, 5, 0.1, rng)?.wandering(0.9995);
    let seeds: Vec<_> = (100..130).collect();
    let comparison = Comparison::run(&policies().unwrap(), environment, 3000, &seeds).unwrap();
    for entry in ["clock", "window"] {
        let gain = gain(&comparison, entry, "stationary");
        assert!(gain > 3.0, "{entry}: {gain} standard errors; {}", table(&comparison));
    }
    println!("{}", table(&comparison));
}

#[test]
fn in_a_world_that_stands_still_tests_cost_nothing() {
    let environment = |rng: &mut ChaCha8Rng| GlmEnvironment::linear(4, 5, 0.1, rng);
    let comparison = Comparison::run(&policies().unwrap(), environment, 3000, &(200..215).collect::<Vec<_>>()).unwrap();
    let regret = |position: usize| Curve::mean_regret(&comparison.runs[position].1).0;
    for tested in [3, 4] {
        assert!(regret(tested) < 1.05 * regret(0), "{}", table(&comparison));
    }
}

/// An arm is bad for a long time and then becomes the best. Only policies that grow uncertain of it notice.
#[derive(Debug)]
struct LateBloomer(u64);

impl Environment for LateBloomer {
    fn dimension(&self) -> usize {
        4
    }

    fn arms(&self) -> usize {
        5
    }

    fn advance(&mut self, _rng: &mut dyn Rng) {
        self.0 += 1;
    }

    fn context(&self) -> &[f64] {
        &[1.0, 0.0, 0.0, 0.0]
    }

    fn expected(&self, arm: dht_bandits::ArmId) -> f64 {
        match arm.number() {
            0 => 0.2,
            1 if self.0 > 1000 => 1.0,
            _ => 0.0,
        }
    }

    fn reward(&self, arm: dht_bandits::ArmId, rng: &mut dyn Rng) -> f64 {
        self.expected(arm) + 0.2 * (rng.random::<f64>() - 0.5)
    }
}

#[test]
fn a_shared_clock_finds_an_arm_that_per_arm_decay_gives_up() {
    let comparison = Comparison::run(
        &policies().unwrap(),
        |_: &mut ChaCha8Rng| Ok(LateBloomer(0)),
        2500,
        &(0..20).collect::<Vec<_>>(),
    );
    let comparison = comparison.unwrap();
    for other in ["by arm", "stationary"] {
        assert!(gain(&comparison, "clock", other) > 3.0, "{}", table(&comparison));
        assert!(gain(&comparison, "window", other) > 3.0, "{}", table(&comparison));
    }
}

#[test]
fn discount_by_time_beats_stationary_if_rewards_drift_by_time() {
    // Rounds come in bursts, with long pauses. The environment changes with time, not with rounds.
    let run = |seed: u64, follow: bool| -> f64 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut world = GlmEnvironment::linear(4, 5, 0.1, &mut rng).unwrap();
        let mut policy = discounted(if follow { 0.98 } else { 1.0 }, DecayClock::Time).unwrap();
        let (mut regret, mut clock) = (0.0, 0.0);
        for round in 0..2000 {
            let passed = if round % 200 == 0 { 100.0 * rng.random::<f64>() } else { 0.2 * rng.random::<f64>() };
            let before = clock;
            clock += passed;
            policy.elapse(passed).unwrap();
            if (before / 100.0f64).floor() < (clock / 100.0).floor() {
                world = GlmEnvironment::linear(4, 5, 0.1, &mut rng).unwrap();
            }
            world.advance(&mut rng);
            let decision = policy.decide(&Request::new(world.context()), &mut rng).unwrap();
            let reward = world.reward(decision.arm(), &mut rng);
            Policy::learn(&mut policy, &decision, reward).unwrap();
            regret += world.best() - world.expected(decision.arm());
        }
        regret
    };
    let gains: Vec<_> = (0..30).map(|seed| run(seed, false) - run(seed, true)).collect();
    let mean = gains.iter().sum::<f64>() / 30.0;
    let error = (gains.iter().map(|gain| (gain - mean).powi(2)).sum::<f64>() / (30.0 * 29.0)).sqrt();
    assert!(mean > 3.0 * error, "{mean} ± {error}");
}
