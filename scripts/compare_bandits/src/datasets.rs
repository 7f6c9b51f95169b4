//! Mean rewards of ours on the data sets that `datasets.py` exports: one JSON line a policy, set and order, on stdout.
//!
//! Settings are selected by the mean over iris and breast cancer, on orders of their own, as the settings of the peers are.
//! On the simulated real rewards, the peers select settings by that task's own orders, and ours stay the recommended ones.

use dht_bandits::{
    LinUcb, Policy, Request, Ridge, Thompson, Ucb,
    exploration::SquareCb,
    policy::{AnyPolicy, Disjoint, RewardType},
    posterior::FullLaplace,
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde_json::json;

/// Orders that count, and orders that settings are selected on: lines of the file of orders.
const EVALUATION: std::ops::Range<usize> = 0..10;
const SELECTION: std::ops::Range<usize> = 10..20;
const SELECTION_SETS: [&str; 2] = ["iris", "cancer"];

struct Set {
    name: String,
    /// As they come, and standardised over the whole set with a constant 1 appended.
    raw: Vec<Vec<f64>>,
    standardised: Vec<Vec<f64>>,
    /// Reward of each arm, for each row.
    rewards: Vec<Vec<f64>>,
    orders: Vec<Vec<usize>>,
}

fn read<T: std::str::FromStr>(path: &str) -> Vec<Vec<T>>
where
    T::Err: std::fmt::Debug,
{
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    text.lines().map(|line| line.split(',').map(|field| field.parse().unwrap()).collect()).collect()
}

impl Set {
    fn read(directory: &str, name: &str) -> Self {
        let path = |kind: &str| format!("{directory}/{name}-{kind}.csv");
        let mut standardised: Vec<Vec<f64>> = read(&path("standardised"));
        standardised.iter_mut().for_each(|row| row.push(1.0));
        let (raw, rewards, orders) = (read(&path("raw")), read(&path("rewards")), read(&path("orders")));
        Self { name: name.to_owned(), raw, standardised, rewards, orders }
    }

    fn arms(&self) -> usize {
        self.rewards[0].len()
    }

    /// Number of features, without the constant.
    fn features(&self) -> usize {
        self.raw[0].len()
    }

    fn reward_type(&self) -> RewardType {
        let binary = self.rewards.iter().flatten().all(|reward| (0.0..=1.0).contains(reward));
        if binary { RewardType::Binary } else { RewardType::Real }
    }

    /// Mean reward of one pass.
    fn mean_reward(&self, contexts: &[Vec<f64>], order: usize, policy: &mut dyn Policy) -> f64 {
        let (mut rng, mut total) = (ChaCha8Rng::seed_from_u64(order as u64), 0.0);
        for &row in &self.orders[order] {
            // Without the propensity, which nobody reads here.
            let choice = policy.select(&Request::new(&contexts[row]), &mut rng).unwrap();
            let reward = self.rewards[row][choice.arm.number() as usize];
            policy.update(choice.arm, &contexts[row], reward, 1.0).unwrap();
            total += reward;
        }
        total / self.orders[order].len() as f64
    }
}

fn line(set: &Set, policy: &str, order: usize, value: f64) {
    println!("{}", json!({"set": set.name, "policy": policy, "peer": false, "order": order, "value": value}));
}

/// Makes a policy for contexts of a length with the constant, arms, an exploration constant and a prior precision.
type Make = fn(usize, usize, f64, f64) -> Box<dyn Policy>;

const FAMILIES: [(&str, &str, &[f64], Make); 5] = [
    ("LogisticUcb", "α", &[0.1, 0.25, 0.5], |d, arms, alpha, prior_precision| {
        Box::new(Disjoint::new(d, arms, FullLaplace::new(prior_precision), Ucb { alpha }).unwrap())
    }),
    ("LogisticTs", "α", &[0.05, 0.1, 0.25], |d, arms, alpha, prior_precision| {
        Box::new(Disjoint::new(d, arms, FullLaplace::new(prior_precision), Thompson { alpha }).unwrap())
    }),
    ("logistic SquareCB", "γ", &[30.0, 100.0, 300.0], |d, arms, gamma, prior_precision| {
        let options = FullLaplace::new(prior_precision);
        Box::new(Disjoint::<FullLaplace, _>::new(d, arms, options, SquareCb::new(gamma)).unwrap())
    }),
    ("LinUcb", "α", &[0.1, 0.25, 0.5], |d, arms, alpha, prior_precision| {
        let options = Ridge::new(prior_precision);
        Box::new(LinUcb::new(d, arms, options, Ucb { alpha }).unwrap())
    }),
    ("linear SquareCB", "γ", &[10.0, 30.0, 100.0], |d, arms, gamma, prior_precision| {
        let options = Ridge::new(prior_precision);
        Box::new(Disjoint::<Ridge, _>::new(d, arms, options, SquareCb::new(gamma)).unwrap())
    }),
];
/// λ in parts of the number of features.
const SHARES: [f64; 3] = [1.0 / 16.0, 1.0 / 8.0, 1.0 / 4.0];

pub fn run(directory: &str, names: &[String]) {
    let sets: Vec<Set> = names.iter().map(|name| Set::read(directory, name)).collect();
    for set in &sets {
        for order in EVALUATION.filter(|order| *order < set.orders.len()) {
            let mut policy = AnyPolicy::recommended(set.features(), set.arms(), set.reward_type()).unwrap();
            line(set, "recommended", order, set.mean_reward(&set.raw, order, &mut policy));
        }
    }
    println!("{}", json!({"policy": "recommended", "peer": false, "setting": "no choice", "tried": []}));
    let binary: Vec<&Set> = sets.iter().filter(|set| set.reward_type() == RewardType::Binary).collect();
    let selecting = SELECTION_SETS.map(|name| Set::read(directory, name));
    for (family, symbol, values, make) in FAMILIES {
        let of = |set: &Set, order, (value, share): (f64, f64)| {
            let mut policy = make(set.features() + 1, set.arms(), value, share * set.features() as f64);
            set.mean_reward(&set.standardised, order, &mut *policy)
        };
        let settings: Vec<_> =
            SHARES.iter().flat_map(|share| values.iter().map(move |value| (*value, *share))).collect();
        let mean = |setting| {
            let runs = selecting.iter().flat_map(|set| SELECTION.map(move |order| of(set, order, setting)));
            runs.sum::<f64>() / (SELECTION_SETS.len() * SELECTION.len()) as f64
        };
        let tried: Vec<_> = settings.iter().map(|&setting| (setting, mean(setting))).collect();
        let best = tried.iter().max_by(|left, right| left.1.total_cmp(&right.1)).unwrap().0;
        let setting = format!("{symbol}={} λ=d/{}", best.0, 1.0 / best.1);
        println!("{}", json!({"policy": family, "peer": false, "setting": setting, "tried": tried}));
        for set in &binary {
            for order in EVALUATION.filter(|order| *order < set.orders.len()) {
                line(set, family, order, of(set, order, best));
            }
        }
    }
    let given = "LinUcb α=0.5 λ=1, given";
    println!("{}", json!({"policy": given, "peer": false, "setting": "α=0.5 λ=1", "tried": []}));
    for set in &binary {
        for order in EVALUATION.filter(|order| *order < set.orders.len()) {
            let (d, options) = (set.features() + 1, Ridge::default());
            let mut policy = LinUcb::new(d, set.arms(), options, Ucb { alpha: 0.5 }).unwrap();
            line(set, given, order, set.mean_reward(&set.standardised, order, &mut policy));
        }
    }
}
