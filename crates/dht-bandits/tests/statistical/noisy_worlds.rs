//! Environments with noisy rewards and a known best arm: repeated, constant and continuous contexts, and items with
//! features.
//!
//! Default settings are selected on [`SELECTION`] and confirmed unchanged on [`CONFIRMATION`], which has other numbers
//! of segments, arms and rounds, other rates, and other seeds.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// Contexts of an environment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Contexts {
    /// One-hot vectors of this many segments; one segment is a constant context.
    Segments(usize),
    /// Standard normal values.
    Normal(usize),
}

/// Distribution of environments, from which seeds draw.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    pub name: &'static str,
    pub contexts: Contexts,
    pub arms: usize,
    /// Number of features of each arm, which then has no separate weights; 0 for none.
    pub features: usize,
    /// Range of the expected rewards.
    pub rates: (f64, f64),
    /// Standard deviation of normal noise; `None` for rewards of 0 and 1.
    pub noise: Option<f64>,
    pub rounds: usize,
    /// Rounds between a choice and its reward.
    pub delay: usize,
    /// Arms shown in a round.
    pub positions: usize,
}

const fn clicks(name: &'static str, contexts: Contexts, arms: usize, rates: (f64, f64), rounds: usize) -> Column {
    Column { name, contexts, arms, features: 0, rates, noise: None, rounds, delay: 0, positions: 1 }
}

use Contexts::{Normal, Segments};

/// Environments on which settings are selected.
pub const SELECTION: [Column; 14] = [
    clicks("3 segments, 3 arms", Segments(3), 3, (0.02, 0.10), 10_000),
    clicks("5 segments, 4 arms", Segments(5), 4, (0.1, 0.6), 10_000),
    clicks("8 segments, 5 arms", Segments(8), 5, (0.02, 0.10), 20_000),
    clicks("constant, 2 arms", Segments(1), 2, (0.1, 0.3), 4_000),
    clicks("5 segments, 20 arms", Segments(5), 20, (0.05, 0.4), 10_000),
    clicks("constant, 50 arms", Segments(1), 50, (0.05, 0.5), 30_000),
    clicks("4 segments, 3 arms, short", Segments(4), 3, (0.1, 0.6), 500),
    clicks("continuous, 6", Normal(6), 4, (0.05, 0.35), 5_000),
    Column { delay: 200, ..clicks("5 segments, late", Segments(5), 4, (0.05, 0.4), 10_000) },
    Column { noise: Some(0.5), ..clicks("real, 5 segments", Segments(5), 4, (0.1, 0.6), 10_000) },
    Column { noise: Some(0.5), ..clicks("real, continuous, 6", Normal(6), 4, (0.0, 1.0), 3_000) },
    Column { features: 4, ..clicks("12 items", Segments(5), 12, (0.05, 0.4), 10_000) },
    Column { features: 4, noise: Some(0.5), ..clicks("12 items, real", Segments(5), 12, (0.05, 0.4), 10_000) },
    Column { features: 4, positions: 3, ..clicks("12 items, slates", Segments(5), 12, (0.05, 0.4), 5_000) },
];

/// Environments on which the selected settings are confirmed.
pub const CONFIRMATION: [Column; 14] = [
    clicks("2 segments, 3 arms, .01–.05", Segments(2), 3, (0.01, 0.05), 100_000),
    clicks("4 segments, 6 arms, .02–.12", Segments(4), 6, (0.02, 0.12), 10_000),
    clicks("10 segments, 5 arms, .1–.6", Segments(10), 5, (0.1, 0.6), 10_000),
    clicks("constant, 10 arms, .03–.2", Segments(1), 10, (0.03, 0.2), 10_000),
    clicks("constant, 100 arms, .01–.6", Segments(1), 100, (0.01, 0.6), 100_000),
    clicks("6 segments, 3 arms, 300 rounds", Segments(6), 3, (0.1, 0.6), 300),
    clicks("10 normal values, 5 arms, .02–.3", Normal(10), 5, (0.02, 0.3), 10_000),
    Column { delay: 1_000, ..clicks("6 segments, 4 arms, 1,000 late", Segments(6), 4, (0.05, 0.5), 10_000) },
    Column { noise: Some(0.4), ..clicks("real, 6 segments, 5 arms", Segments(6), 5, (0.1, 0.5), 10_000) },
    Column { noise: Some(0.6), ..clicks("real, 10 normal values, 5 arms", Normal(10), 5, (0.0, 1.0), 3_000) },
    Column { features: 5, ..clicks("20 items, 4 segments, .02–.3", Segments(4), 20, (0.02, 0.3), 10_000) },
    Column { features: 5, ..clicks("20 items, 3 normal values, .02–.3", Normal(3), 20, (0.02, 0.3), 10_000) },
    Column { features: 5, noise: Some(0.4), ..clicks("20 items, real", Segments(4), 20, (0.02, 0.3), 10_000) },
    Column { features: 5, positions: 4, ..clicks("4 of 20 items", Segments(4), 20, (0.02, 0.3), 5_000) },
];

/// One environment of a column, round by round.
#[derive(Debug, Clone)]
pub struct World {
    pub column: Column,
    rng: ChaCha8Rng,
    /// Weights that turn a context into the log-odds of each arm, shape (arms or features, contexts). For segments
    /// without features they are the expected rewards, shape (segments, arms).
    weights: Vec<f64>,
    /// Features of all arms, shape (arms, features).
    pub features: Vec<f64>,
    pub context: Vec<f64>,
    /// Segment of the round; 0 for continuous contexts.
    pub segment: usize,
    /// Expected reward of each arm in this round.
    pub expected: Vec<f64>,
    uniform: f64,
    normal: f64,
}

fn normal(rng: &mut ChaCha8Rng) -> f64 {
    StandardNormal.sample(rng)
}

impl World {
    /// Draws the environment of a seed. Columns of one seed differ.
    pub fn new(column: Column, seed: u64) -> Self {
        let name = column.name.bytes().fold(0u64, |hash, byte| hash.wrapping_mul(31).wrapping_add(u64::from(byte)));
        let mut rng = ChaCha8Rng::seed_from_u64(name ^ (seed << 32));
        let (low, high) = column.rates;
        let d = match column.contexts {
            Segments(d) | Normal(d) => d,
        };
        let weights = match (column.features, column.contexts) {
            (0, Segments(segments)) => {
                (0..segments * column.arms).map(|_| low + (high - low) * rng.random::<f64>()).collect()
            }
            // The rows have length 2 in log-odds.
            (0, Normal(_)) => (0..column.arms * d).map(|_| 2.0 * normal(&mut rng) / (d as f64).sqrt()).collect(),
            (features, _) => (0..features * d).map(|_| 2.0 * normal(&mut rng) / (features as f64).sqrt()).collect(),
        };
        let features = (0..column.arms * column.features).map(|_| normal(&mut rng)).collect();
        let (context, expected) = (vec![0.0; d], vec![0.0; column.arms]);
        Self { column, rng, weights, features, context, segment: 0, expected, uniform: 0.0, normal: 0.0 }
    }

    /// Advances to the next round.
    pub fn advance(&mut self) {
        match self.column.contexts {
            Segments(segments) => {
                let segment = self.rng.random_range(0..segments);
                self.enter(segment);
            }
            Normal(_) => {
                self.context.iter_mut().for_each(|value| *value = normal(&mut self.rng));
                self.compute_expected();
            }
        }
        self.uniform = self.rng.random();
        self.normal = normal(&mut self.rng);
    }

    /// Moves to a segment without a random draw.
    fn enter(&mut self, segment: usize) {
        self.segment = segment;
        self.context.fill(0.0);
        self.context[segment] = 1.0;
        self.compute_expected();
    }

    fn compute_expected(&mut self) {
        let Self { column, weights, features, context, segment, expected, .. } = self;
        let (low, high) = column.rates;
        let dot = |left: &[f64], right: &[f64]| left.iter().zip(right).map(|(a, b)| a * b).sum::<f64>();
        let rate = |log_odds: f64| low + (high - low) / (1.0 + (-log_odds).exp());
        match (column.features, column.contexts) {
            (0, Segments(_)) => expected.copy_from_slice(&weights[*segment * column.arms..][..column.arms]),
            (0, Normal(d)) => {
                expected.iter_mut().zip(weights.chunks(d)).for_each(|(value, row)| *value = rate(dot(row, context)));
            }
            (width, _) => {
                let direction: Vec<f64> = weights.chunks(context.len()).map(|row| dot(row, context)).collect();
                let rows = expected.iter_mut().zip(features.chunks(width));
                rows.for_each(|(value, row)| *value = rate(dot(row, &direction)));
            }
        }
    }

    /// Reward of an arm in this round.
    pub fn reward(&self, arm: usize) -> f64 {
        match self.column.noise {
            None => f64::from(u8::from(self.uniform < self.expected[arm])),
            Some(noise) => self.expected[arm] + noise * self.normal,
        }
    }

    /// Random numbers behind [`reward`](Self::reward): uniform and standard normal.
    pub fn draws(&self) -> (f64, f64) {
        (self.uniform, self.normal)
    }

    /// Expected rewards of the best slate and of a uniformly drawn slate.
    pub fn best_and_uniform(&self) -> (f64, f64) {
        let mut sorted = self.expected.clone();
        sorted.sort_by(|left, right| right.total_cmp(left));
        let positions = self.column.positions;
        let mean = sorted.iter().sum::<f64>() / sorted.len() as f64;
        (sorted[..positions].iter().sum(), mean * positions as f64)
    }
}

/// Outcome of one policy in one environment.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Sums of expected rewards: of the choices, of the best arms, and of uniform draws.
    pub earned: f64,
    pub best: f64,
    pub uniform: f64,
    /// Number of segments that end on an arm more than 20 % worse than the best, which was never chosen in the last
    /// fifth.
    pub stuck: usize,
    pub segments: usize,
    ends: Vec<u32>,
}

impl Outcome {
    /// Counts one round in which `shown` was chosen.
    pub fn count(&mut self, world: &World, round: usize, shown: &[usize]) {
        let (best, uniform) = world.best_and_uniform();
        self.earned += shown.iter().map(|&arm| world.expected[arm]).sum::<f64>();
        self.best += best;
        self.uniform += uniform;
        let Segments(segments) = world.column.contexts else { return };
        let (arms, rounds) = (world.column.arms, world.column.rounds);
        self.ends.resize(segments * arms, 0);
        self.segments = segments;
        if round >= rounds - rounds / 5 {
            shown.iter().for_each(|arm| self.ends[world.segment * arms + arm] += 1);
        }
    }

    /// Counts the segments that stay on a bad arm, after the last round.
    pub fn finish(&mut self, world: &mut World) {
        for segment in 0..self.segments {
            world.enter(segment);
            let rates = &world.expected;
            let ends = &self.ends[segment * rates.len()..][..rates.len()];
            let best = (0..rates.len()).max_by(|&i, &j| rates[i].total_cmp(&rates[j])).unwrap_or(0);
            let most = (0..rates.len()).max_by_key(|&arm| ends[arm]).unwrap_or(0);
            if ends[best] == 0 && rates[most] < 0.8 * rates[best] {
                self.stuck += 1;
            }
        }
    }
}
