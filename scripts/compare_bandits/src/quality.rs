//! Rewards and regrets of ours on the tasks of the peers' script: one JSON line a policy, task and seed, on stdout.
//!
//! Settings are chosen on streams and seeds of their own, and reported on others: those of the evaluation
//! are not used before.

use std::ops::Range;

use dht_bandits::{
    ArmId, LinTs, LinUcb, Normalizer, Policy, Request, Ridge, Thompson, Ucb,
    exploration::{EpsilonGreedy, Exploration, Softmax, SquareCb},
    policy::{ChangeTest, Disjoint, ResetOnChange, Slate, SlidingWindow, TopK},
    posterior::{DiagonalLaplace, DiscountedRidge, FullLaplace, NormalInverseGamma, Posterior},
};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

#[path = "../../../crates/dht-bandits/tests/statistical/slate_environment.rs"]
mod slate_environment;
use slate_environment::{CascadeEnvironment, ClickEnvironment, SlateEnvironment, total_regret};

/// Parameters to tune: the exploration factor under the rule's symbol, and the prior's precision.
#[derive(Debug, Clone, Copy)]
struct Setting {
    symbol: &'static str,
    alpha: f64,
    lambda: f64,
}

fn grid(alphas: &[f64], lambdas: &[f64]) -> Vec<Setting> {
    grid_of("α", alphas, lambdas)
}

fn grid_of(symbol: &'static str, alphas: &[f64], lambdas: &[f64]) -> Vec<Setting> {
    lambdas.iter().flat_map(|&lambda| alphas.iter().map(move |&alpha| Setting { symbol, alpha, lambda })).collect()
}

/// A task: higher or lower is better, and which runs choose, which count.
struct Task<'a> {
    name: &'a str,
    what: &'a str,
    higher: bool,
    choosing: Range<u64>,
    counting: Range<u64>,
}

impl Task<'_> {
    /// Tries every setting on the choosing runs, and reports the counting runs of the best.
    fn report(&self, policy: &str, settings: &[Setting], run: impl Fn(Setting, u64) -> f64) {
        let mean = |setting: Setting| {
            let total: f64 = self.choosing.clone().map(|seed| run(setting, seed)).sum();
            total / self.choosing.clone().count() as f64
        };
        let tried: Vec<(Setting, f64)> = match settings {
            [given] => vec![(*given, f64::NAN)],
            _ => settings.iter().map(|&setting| (setting, mean(setting))).collect(),
        };
        let rank = |(_, value): &&(Setting, f64)| if self.higher { *value } else { -*value };
        let best = tried.iter().max_by(|left, right| rank(left).total_cmp(&rank(right))).unwrap().0;
        let name = if settings.len() == 1 { format!("{policy}, given") } else { policy.to_owned() };
        let shown: Vec<_> = tried.iter().map(|(setting, value)| [setting.alpha, setting.lambda, *value]).collect();
        let setting = format!("{}={} λ={}", best.symbol, best.alpha, best.lambda);
        println!("{}", serde_json::json!({"task": self.name, "policy": name, "setting": setting, "tried": shown}));
        for seed in self.counting.clone() {
            let (task, what, value) = (self.name, self.what, run(best, seed));
            println!(
                "{}",
                serde_json::json!({"task": task, "policy": name, "seed": seed, "what": what, "value": value})
            );
        }
    }
}

fn laplace(precision: f64) -> DiagonalLaplace {
    DiagonalLaplace::default().with_prior_precision(precision)
}

/// `directory` holds digits-N.csv for streams 0 to 2, and for 100 to 102, on which settings are chosen: the label, then
/// the features, in the order of the stream.
pub fn run(directory: &str) {
    let streams: Vec<_> = [0, 1, 2, 100, 101, 102].map(|seed| read(&format!("{directory}/digits-{seed}.csv"))).into();
    digits(&streams);
    moving_digits(&streams);
    clicks();
    cascade();
}

fn digits(streams: &[Stream]) {
    let d = streams[0][0].1.len();
    // Early ties are broken at random, and that matters: eight generators a stream.
    let task = Task { name: "digits", what: "mean reward", higher: true, choosing: 24..48, counting: 0..24 };
    let on = |run: u64| (&streams[(run / 8) as usize][..], run);
    let (ridge, full) = (Ridge::new, |precision| FullLaplace::new(precision));
    let alphas = [0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.25, 0.4, 0.6];
    let wide = [0.005, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.25, 0.4, 0.6];
    let lin_ucb =
        |s: Setting, run| bandit(on(run), false, LinUcb::new(d, 10, ridge(s.lambda), Ucb { alpha: s.alpha }).unwrap());
    task.report("LinUcb", &grid(&[0.25], &[1.0]), lin_ucb);
    task.report("LinUcb", &grid(&alphas, &[0.3, 1.0, 3.0]), lin_ucb);
    task.report("LinTs", &grid(&alphas, &[0.3, 1.0, 3.0]), |s, run| {
        bandit(on(run), false, LinTs::new(d, 10, ridge(s.lambda), Thompson { alpha: s.alpha }).unwrap())
    });
    task.report("SquareCb", &grid_of("γ", &[3.0, 10.0, 30.0, 100.0, 300.0], &[0.03, 0.1, 0.3, 1.0, 3.0]), |s, run| {
        bandit(on(run), false, Disjoint::<Ridge, _>::new(d, 10, ridge(s.lambda), SquareCb::new(s.alpha)).unwrap())
    });
    task.report(
        "Softmax",
        &grid_of("τ", &[0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.4], &[0.03, 0.1, 0.3, 1.0, 3.0]),
        |s, run| {
            let rule = Softmax { temperature: s.alpha };
            bandit(on(run), false, Disjoint::<Ridge, _>::new(d, 10, ridge(s.lambda), rule).unwrap())
        },
    );
    task.report(
        "ε-greedy, decaying",
        &grid_of("ε", &[0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0], &[0.03, 0.1, 0.3, 1.0, 3.0]),
        |s, run| {
            let rule = EpsilonGreedy::new(s.alpha).with_decay(1.0);
            bandit(on(run), false, Disjoint::<Ridge, _>::new(d, 10, ridge(s.lambda), rule).unwrap())
        },
    );
    task.report("Disjoint<NormalInverseGamma, Thompson>", &grid(&alphas, &[0.3, 1.0, 3.0]), |s, run| {
        let options = NormalInverseGamma::new(s.lambda);
        bandit(on(run), false, Disjoint::new(d, 10, options, Thompson { alpha: s.alpha }).unwrap())
    });
    for (suffix, normalised) in [("raw", false), ("normalised", true)] {
        let diagonal = |s: Setting, run| {
            let thompson = Thompson { alpha: s.alpha };
            bandit(on(run), normalised, Disjoint::new(d, 10, laplace(s.lambda), thompson).unwrap())
        };
        let name = format!("Disjoint<DiagonalLaplace, Thompson>, {suffix}");
        task.report(&name, &grid(&[0.1], &[1.0]), diagonal);
        task.report(&name, &grid(&wide, &[0.03, 0.1, 0.3, 1.0, 4.0, 10.0]), diagonal);
        task.report(&format!("LogisticTs, {suffix}"), &grid(&alphas, &[0.03, 0.1, 0.3, 1.0, 4.0, 10.0]), |s, run| {
            bandit(on(run), normalised, Disjoint::new(d, 10, full(s.lambda), Thompson { alpha: s.alpha }).unwrap())
        });
    }
}

/// The digits again, with labels that move on by three after each third of the stream: what was learned is wrong then.
/// Two passes, so that there is time to learn what moves. All with α = .25 and λ = 1, which the digits that stand still
/// choose for LinUCB; what is chosen here is how a policy forgets.
fn moving_digits(streams: &[Stream]) {
    const RULE: Ucb = Ucb { alpha: 0.25 };
    let d = streams[0][0].1.len();
    let task = Task { name: "digits, moving", what: "mean reward", higher: true, choosing: 24..48, counting: 0..24 };
    let run = |policy: &mut dyn Policy, run: u64| moving(&streams[(run / 8) as usize], run, policy);
    let lin_ucb = |decay| LinUcb::new(d, 10, Ridge::new(1.0).with_decay(decay), RULE).unwrap();
    let grid = |symbol, values: &[f64]| grid_of(symbol, values, &[1.0]);
    let decays = [0.99, 0.995, 0.998, 0.999, 0.9995];
    task.report("LinUcb", &grid("α", &[RULE.alpha]), |_, seed| run(&mut lin_ucb(1.0), seed));
    task.report(
        "LinUcb, each arm forgets",
        &grid("γ", &[0.8, 0.85, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998]),
        |s, seed| run(&mut lin_ucb(s.alpha), seed),
    );
    task.report("DiscountedRidge", &grid("γ", &decays), |s, seed| {
        let options = DiscountedRidge::new(s.alpha);
        run(&mut Disjoint::<DiscountedRidge, _>::new(d, 10, options, RULE).unwrap(), seed)
    });
    task.report("SlidingWindow", &grid("n", &[200.0, 400.0, 600.0, 800.0, 1200.0]), |s, seed| {
        run(&mut SlidingWindow::new(lin_ucb(1.0), s.alpha as usize).unwrap(), seed)
    });
    task.report("reset by Page–Hinkley", &grid("threshold", &[3.0, 6.0, 12.0, 25.0, 50.0]), |s, seed| {
        let test = ChangeTest::PageHinkley { tolerance: 0.05, threshold: s.alpha };
        run(&mut ResetOnChange::new(lin_ucb(1.0), test).unwrap(), seed)
    });
    task.report("reset by ADWIN", &grid("δ", &[1e-4, 1e-3, 0.01, 0.1]), |s, seed| {
        let test = ChangeTest::Adwin { delta: s.alpha, range: 1.0 };
        run(&mut ResetOnChange::new(lin_ucb(1.0), test).unwrap(), seed)
    });
}

fn clicks() {
    let alphas = [0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.25, 0.4];
    for (name, spread, normalise) in [
        ("clicks, clean", 1.0, false),
        ("clicks, badly scaled", 1000.0, false),
        ("clicks, badly scaled, normalised", 1000.0, true),
    ] {
        let task = Task { name, what: "regret", higher: false, choosing: 1000..1010, counting: 0..10 };
        task.report(
            "TopK<DiagonalLaplace, Thompson>",
            &grid(&alphas, &[0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0]),
            |s, seed| {
                let policy = TopK::shared(17, laplace(s.lambda), Thompson { alpha: s.alpha }).unwrap();
                slates(policy, spread, normalise, seed)
            },
        );
        task.report("TopK<FullLaplace>", &grid(&alphas, &[1.0]), |s, seed| {
            let options = FullLaplace::new(s.lambda);
            slates(
                TopK::<FullLaplace, _>::shared(17, options, Thompson { alpha: s.alpha }).unwrap(),
                spread,
                normalise,
                seed,
            )
        });
        task.report("TopK<Ridge, Ucb>", &grid(&alphas, &[1.0]), |s, seed| {
            let options = Ridge::new(s.lambda);
            slates(TopK::shared(17, options, Ucb { alpha: s.alpha }).unwrap(), spread, normalise, seed)
        });
    }
}

fn cascade() {
    let task = Task { name: "cascade", what: "regret", higher: false, choosing: 1000..1010, counting: 0..20 };
    task.report(
        "TopK<DiagonalLaplace, Thompson>",
        &grid(&[0.3, 0.4, 0.5, 0.6, 0.8, 1.0], &[0.03, 0.1, 0.3, 1.0]),
        |s, seed| {
            let mut policy = TopK::per_arm(1, 16, laplace(s.lambda), Thompson { alpha: s.alpha }).unwrap();
            let mut environment = CascadeEnvironment::new(16, 2, 0.2, 0.15);
            total_regret(&mut policy, &mut environment, 100_000, &mut ChaCha8Rng::seed_from_u64(seed)).unwrap()
        },
    );
}

type Stream = Vec<(u64, Vec<f64>)>;

fn read(path: &str) -> Stream {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    text.lines()
        .map(|line| {
            let mut numbers = line.split(',').map(|field| field.parse::<f64>().unwrap());
            (numbers.next().unwrap() as u64, numbers.collect())
        })
        .collect()
}

/// The mean reward over the stream, with a generator of this seed; the last feature is a bias column.
fn bandit<P: Posterior, E: Exploration>(
    (stream, seed): (&[(u64, Vec<f64>)], u64),
    normalise: bool,
    mut policy: Disjoint<P, E>,
) -> f64 {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut norm = Normalizer::new(policy.dimension()).unwrap().with_floor(1e-6).unwrap();
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
        // Without the propensity, which nobody reads here.
        let choice = policy.select(&Request::new(&context), &mut rng).unwrap();
        let reward = f64::from(u8::from(choice.arm == ArmId::new(*label)));
        policy.update(choice.arm, &context, reward, 1.0).unwrap();
        total += reward;
    }
    total / stream.len() as f64
}

/// The mean reward over two passes, where the rewarded arm is the label plus three for each third of it that is over.
fn moving(stream: &[(u64, Vec<f64>)], seed: u64, policy: &mut dyn Policy) -> f64 {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let rounds = 2 * stream.len();
    let mut total = 0.0;
    for (round, (label, context)) in stream.iter().chain(stream).enumerate() {
        let good = (label + 3 * (3 * round / rounds) as u64) % 10;
        let decision = policy.decide(&Request::new(context), &mut rng).unwrap();
        let reward = f64::from(u8::from(decision.arm() == ArmId::new(good)));
        policy.learn(&decision, reward).unwrap();
        total += reward;
    }
    total / rounds as f64
}

/// Regret after 3,000 slates of 5 of 50 items.
fn slates<P: Posterior, E: Exploration>(mut policy: TopK<P, E>, spread: f64, normalise: bool, seed: u64) -> f64 {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut environment = ClickEnvironment::new(50, 5, 16, spread, &mut rng);
    let mut norm = Normalizer::new(16).unwrap();
    let (mut slate, mut seen, mut regret) = (Slate::default(), Vec::new(), 0.0);
    for _ in 0..3000 {
        environment.advance(&mut rng);
        if normalise {
            for _ in 0..4 {
                let row = rng.next_u32() as usize % 50;
                norm.observe(&environment.features[17 * row..][..16]).unwrap();
            }
            for row in environment.features.chunks_exact_mut(17) {
                norm.normalise_in_place(&mut row[..16]).unwrap();
            }
        }
        policy.select_slate_into(5, &environment.request().unwrap(), &mut rng, &mut slate).unwrap();
        regret += environment.regret(&slate);
        environment.feedback(&slate, &mut rng, &mut seen);
        policy.learn_slate(&slate, &seen).unwrap();
    }
    regret
}
