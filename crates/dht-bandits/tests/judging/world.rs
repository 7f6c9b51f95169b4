//! Environment that is small enough for exact expectations: two contexts, two arms, rewards 0 or 1.

use dht_bandits::{
    ArmId,
    evaluation::{LoggedRound, Prediction},
    log::LoggedDecision,
};
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// Probability of a reward of 1, by context and arm.
pub const REWARDS: [[f64; 2]; 2] = [[0.2, 0.8], [0.6, 0.4]];
/// Logging policy: probability of each arm, by context.
pub const LOGGING: [[f64; 2]; 2] = [[0.7, 0.3], [0.6, 0.4]];
/// Evaluated policy: probability of each arm, by context.
pub const TARGET: [[f64; 2]; 2] = [[0.1, 0.9], [0.9, 0.1]];
/// Value of the evaluated policy: ½(.1·.2 + .9·.8) + ½(.9·.6 + .1·.4).
pub const VALUE: f64 = 0.66;
/// Reward model with wrong predictions.
pub const MODEL: [[f64; 2]; 2] = [[0.4, 0.5], [0.3, 0.6]];

pub fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

pub fn arm(number: usize) -> ArmId {
    ArmId::new(number as u64)
}

/// Round with this context, arm and reward, and the wrong model's predictions.
pub fn round(context: usize, arm: usize, reward: f64) -> LoggedRound {
    let expected = (0..2).map(|other| TARGET[context][other] * MODEL[context][other]).sum();
    LoggedRound {
        prediction: Some(Prediction { logged: MODEL[context][arm], expected }),
        ..LoggedRound::new(reward, LOGGING[context][arm], TARGET[context][arm])
    }
}

/// Every possible round, with its probability.
pub fn every_round() -> Vec<(f64, LoggedRound)> {
    let mut all = Vec::new();
    for context in 0..2 {
        for arm in 0..2 {
            for (reward, chance) in [(1.0, REWARDS[context][arm]), (0.0, 1.0 - REWARDS[context][arm])] {
                all.push((0.5 * LOGGING[context][arm] * chance, round(context, arm, reward)));
            }
        }
    }
    all
}

pub fn draw<R: Rng + ?Sized>(rng: &mut R) -> (usize, usize, f64) {
    let context = rng.random_range(0..2);
    let arm = usize::from(rng.random::<f64>() < LOGGING[context][1]);
    (context, arm, f64::from(u8::from(rng.random::<f64>() < REWARDS[context][arm])))
}

pub fn rounds<R: Rng + ?Sized>(rng: &mut R, count: usize) -> Vec<LoggedRound> {
    (0..count).map(|_| draw(rng)).map(|(context, arm, reward)| round(context, arm, reward)).collect()
}

/// Log with its contexts, −1 or 1, and the evaluated policy's probabilities.
pub fn log<R: Rng + ?Sized>(rng: &mut R, count: usize) -> Vec<LoggedDecision> {
    let row = |(context, chosen, reward): (usize, usize, f64)| {
        LoggedDecision::new(vec![2.0 * context as f64 - 1.0], arm(chosen), LOGGING[context][chosen], reward)
    };
    (0..count).map(|_| row(draw(rng))).collect()
}

pub fn target(context: &[f64]) -> Vec<(ArmId, f64)> {
    let context = usize::from(context[0] > 0.0);
    (0..2).map(|number| (arm(number), TARGET[context][number])).collect()
}

pub fn targets(log: &[LoggedDecision]) -> Vec<Vec<(ArmId, f64)>> {
    log.iter().map(|row| target(&row.context)).collect()
}

/// Mean and standard deviation.
pub fn moments(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    (mean, (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0)).sqrt())
}
