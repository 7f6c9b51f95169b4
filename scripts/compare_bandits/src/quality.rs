//! Rewards and regrets of ours on the tasks of the peers' scripts: one JSON line a policy, task and seed.

use dht_bandits::*;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// `directory` holds digits-0.csv, digits-1.csv, digits-2.csv: the label, then the features, in the order of the stream.
pub fn run(directory: &str) {
    let laplace = |precision| DiagonalLaplaceOptions { prior: TsPrior::Gaussian { precision }, strength: 1.0 };
    let full = |precision| FullLaplaceOptions { precision };
    for seed in 0..3 {
        let stream = digits(&format!("{directory}/digits-{seed}.csv"));
        let d = stream[0].1.len();
        // Early ties are broken by lot, and the lot matters: eight generators a stream.
        for generator in 0..8 {
            let tell = |name: &str, value: f64| say("digits", name, seed, "mean reward", value);
            let ridge = RidgeOptions::default();
            tell(
                "LinUcb α=.25",
                bandit(&stream, generator, false, LinUcb::new(d, 10, ridge, Ucb { alpha: 0.25 }).unwrap()),
            );
            tell(
                "LinTs α=.1",
                bandit(&stream, generator, false, LinTs::new(d, 10, ridge, Thompson { alpha: 0.1 }).unwrap()),
            );
            for (suffix, normalised) in [("raw", false), ("normalised", true)] {
                let policy = DiagonalLogisticTs::new(d, 10, laplace(1.0), Thompson { alpha: 0.1 }).unwrap();
                tell(&format!("DiagonalLogisticTs α=.1 λ=1, {suffix}"), bandit(&stream, generator, normalised, policy));
                let policy = LogisticTs::new(d, 10, full(4.0), Thompson { alpha: 0.07 }).unwrap();
                tell(&format!("LogisticTs α=.07 λ=4, {suffix}"), bandit(&stream, generator, normalised, policy));
            }
        }
    }
    for seed in 0..10 {
        for spread in [1.0, 1000.0] {
            let task = if spread == 1.0 { "clicks, clean" } else { "clicks, badly scaled" };
            for normalised in [false, true] {
                if normalised && spread == 1.0 {
                    continue;
                }
                let suffix = if normalised { ", normalised" } else { "" };
                let tell = |name: &str, value: f64| say(task, &format!("{name}{suffix}"), seed, "regret", value);
                let thompson = Thompson { alpha: 0.25 };
                let policy = TopKThompson::shared(17, laplace(1.0), thompson).unwrap();
                tell("TopKThompson α=.25", clicks(policy, spread, normalised, seed));
                let policy = TopK::<FullLaplace, _>::shared(17, full(1.0), thompson).unwrap();
                tell("TopK<FullLaplace> α=.25", clicks(policy, spread, normalised, seed));
                let policy = SharedLinUcb::shared(17, RidgeOptions::default(), Ucb { alpha: 0.5 }).unwrap();
                tell("SharedLinUcb α=.5", clicks(policy, spread, normalised, seed));
            }
        }
    }
    for seed in 0..20 {
        for alpha in [0.8, 1.0] {
            let mut policy = TopKThompson::per_arm(1, 16, laplace(0.1), Thompson { alpha }).unwrap();
            let mut world = CascadeWorld::new(16, 2, 0.2, 0.15).unwrap();
            let curve =
                simulate_slates(&mut policy, &mut world, 100_000, &mut ChaCha8Rng::seed_from_u64(seed)).unwrap();
            say("cascade", &format!("TopKThompson α={alpha} λ=.1"), seed, "regret", curve.total_regret());
        }
    }
}

fn say(task: &str, policy: &str, seed: u64, what: &str, value: f64) {
    println!("{}", serde_json::json!({"task": task, "policy": policy, "seed": seed, "what": what, "value": value}));
}

fn digits(path: &str) -> Vec<(u64, Vec<f64>)> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    text.lines()
        .map(|line| {
            let mut numbers = line.split(',').map(|field| field.parse::<f64>().unwrap());
            (numbers.next().unwrap() as u64, numbers.collect())
        })
        .collect()
}

/// The mean reward over the stream; the last feature is a bias column.
fn bandit<P: Posterior, I: Index>(
    stream: &[(u64, Vec<f64>)],
    seed: u64,
    normalise: bool,
    mut policy: Disjoint<P, I>,
) -> f64 {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut norm = RunningNorm::new(policy.dimension(), NormOptions { floor: 1e-6, ..NormOptions::default() }).unwrap();
    let mut total = 0.0;
    for (label, features) in stream {
        let mut context = features.clone();
        if normalise {
            norm.observe(&context).unwrap();
            norm.normalise_in_place(&mut context).unwrap();
            *context.last_mut().unwrap() = 1.0;
            let scale = 4.0 / (context.len() as f64).sqrt();
            context.iter_mut().for_each(|value| *value *= scale);
        }
        let decision = policy.decide(&context, Available::All, &mut rng).unwrap();
        let reward = f64::from(u8::from(decision.arm() == ArmId::new(*label)));
        policy.learn(&decision, reward).unwrap();
        total += reward;
    }
    total / stream.len() as f64
}

/// The regret after 3,000 slates of 5 of 50 items.
fn clicks<P: Posterior, I: Index>(mut policy: TopK<P, I>, spread: f64, normalise: bool, seed: u64) -> f64 {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut world = ClickWorld::new(50, 5, 16, spread, &mut rng).unwrap();
    let mut norm = RunningNorm::new(16, NormOptions::default()).unwrap();
    let (mut slate, mut seen, mut regret) = (Slate::default(), Vec::new(), 0.0);
    for _ in 0..3000 {
        world.advance(&mut rng);
        if normalise {
            for _ in 0..4 {
                let row = rng.next_u32() as usize % 50;
                norm.observe(&world.features_mut()[17 * row..][..16]).unwrap();
            }
            for row in world.features_mut().chunks_exact_mut(17) {
                norm.normalise_in_place(&mut row[..16]).unwrap();
            }
        }
        policy.select_into(5, world.candidates(), &mut rng, &mut slate).unwrap();
        regret += world.regret(&slate);
        world.feedback(&slate, &mut rng, &mut seen);
        policy.learn(&slate, &seen).unwrap();
    }
    regret
}
