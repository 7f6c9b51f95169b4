//! Explores around a small neural network by SquareCB, on a task in which no linear policy can find the better arm.
//!
//! `cargo run --release -p dht-bandits --example own_model`

use dht_bandits::{
    ArmId, LinUcb, Policy, Request, Result, Ridge, Ucb,
    exploration::SquareCb,
    policy::{Oracle, OraclePolicy},
};
use rand::{Rng, RngExt};
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

const HIDDEN: usize = 12;
const RATE: f64 = 0.1;

/// Neural network for each arm: a layer of tanh units over two features and a bias, and a linear layer. Each reward is
/// one gradient step.
#[derive(Debug, Clone)]
struct Network {
    arms: Vec<([[f64; 3]; HIDDEN], [f64; HIDDEN])>,
}

impl Network {
    fn new(arms: usize, rng: &mut ChaCha8Rng) -> Self {
        let mut arm = || {
            let layer = std::array::from_fn(|_| std::array::from_fn(|_| rng.random_range(-2.0..2.0)));
            (layer, std::array::from_fn(|_| rng.random_range(-0.2..0.2)))
        };
        Self { arms: (0..arms).map(|_| arm()).collect() }
    }
}

fn units(layer: &[[f64; 3]; HIDDEN], context: &[f64]) -> [f64; HIDDEN] {
    layer.map(|weights| (weights[0] * context[0] + weights[1] * context[1] + weights[2]).tanh())
}

impl Oracle for Network {
    fn predict(&self, arm: ArmId, context: &[f64]) -> f64 {
        let (layer, top) = &self.arms[arm.number() as usize];
        units(layer, context).iter().zip(top).map(|(unit, weight)| unit * weight).sum()
    }

    fn learn(&mut self, arm: ArmId, context: &[f64], reward: f64, weight: f64) -> Result<()> {
        let step = RATE * weight * (reward - self.predict(arm, context));
        let (layer, top) = &mut self.arms[arm.number() as usize];
        let hidden = units(layer, context);
        for ((weights, top), unit) in layer.iter_mut().zip(top).zip(hidden) {
            let slope = step * *top * (1.0 - unit * unit);
            weights.iter_mut().zip([context[0], context[1], 1.0]).for_each(|(weight, input)| *weight += slope * input);
            *top += step * unit;
        }
        Ok(())
    }
}

/// Mean reward in the last quarter of the rounds. Arm 1 pays if the signs of the two features differ, and arm 0
/// otherwise.
fn play(policy: &mut dyn Policy, rng: &mut dyn Rng) -> Result<f64> {
    const ROUNDS: u32 = 8_000;
    let mut earned = 0.0;
    for round in 0..ROUNDS {
        let context: [f64; 2] = std::array::from_fn(|_| rng.random_range(-1.0..1.0));
        let decision = policy.decide(&Request::new(&context), rng)?;
        let better = u64::from((context[0] > 0.0) != (context[1] > 0.0));
        let reward = if decision.arm().number() == better { 1.0 } else { 0.0 };
        policy.learn(&decision, reward)?;
        earned += if round >= ROUNDS * 3 / 4 { reward } else { 0.0 };
    }
    Ok(earned / f64::from(ROUNDS / 4))
}

fn main() -> Result<()> {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let network = Network::new(2, &mut rng);
    let mut policies: [(&str, Box<dyn Policy>); 2] = [
        ("LinUCB", Box::new(LinUcb::new(2, 2, Ridge::default(), Ucb { alpha: 0.5 })?)),
        ("network under SquareCB", Box::new(OraclePolicy::new(network, 2, 2, SquareCb::new(20.0))?)),
    ];
    let mut means = [0.0; 2];
    for ((name, policy), mean) in policies.iter_mut().zip(&mut means) {
        *mean = play(policy, &mut rng)?;
        println!("{name:<24} {mean:.3} of 1");
    }
    assert!(means[0] < 0.6 && means[1] > 0.85, "{means:?}");
    Ok(())
}
