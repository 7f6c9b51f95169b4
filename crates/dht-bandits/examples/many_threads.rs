//! Serves requests from several threads and two servers that learn together. Each server has four threads, which choose
//! from snapshots without a lock, and send decisions and rewards to a learner. Four times a day, the servers exchange
//! the evidence that they have learned since the last exchange. In the end both know what a single server would have
//! learned from everything.
//!
//! cargo run --release -p dht-bandits --example many_threads

use std::sync::mpsc::Sender;

use dht_bandits::{
    ArmId, LinUcb, Observation, Policy, Request, Result, Ridge, Ucb,
    policy::{Delta, Publisher, SnapshotReader},
    simulation::{Environment, GlmEnvironment},
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

const THREADS: u64 = 4;
const REQUESTS: usize = 250;

/// Serves requests in one thread, and sends decisions with their rewards to the learner. Returns the regret.
fn answer(
    mut policy: SnapshotReader<LinUcb>,
    mut world: GlmEnvironment,
    learner: &Sender<Observation>,
    seed: u64,
) -> Result<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut regret = 0.0;
    for _ in 0..REQUESTS {
        world.advance(&mut rng);
        let decision = policy.latest().decide(&Request::new(world.context()), &mut rng)?;
        regret += world.best() - world.expected(decision.arm());
        let reward = world.reward(decision.arm(), &mut rng);
        // The learner lives at least as long as its threads.
        learner.send(Observation::new(decision, reward)).ok();
    }
    Ok(regret)
}

/// Runs one server until the next exchange. Returns the evidence that it learned, its observations, and its regret per
/// request.
fn serve(start: &LinUcb, world: &GlmEnvironment, seed: u64) -> Result<(Delta, Vec<Observation>, f64)> {
    let mut publisher = Publisher::new(start.clone(), 10); // a new snapshot after ten rewards
    let (sender, arriving) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (policy, sender, world) = (publisher.reader(), sender.clone(), world.clone());
                scope.spawn(move || answer(policy, world, &sender, THREADS * seed + thread))
            })
            .collect();
        drop(sender);
        let mut observed = Vec::new();
        for observation in arriving {
            publisher.change(|policy| policy.learn(&observation.decision, observation.reward))?;
            observed.push(observation);
        }
        let mut regret = 0.0;
        for thread in threads {
            regret += thread.join().map_or(Ok(f64::NAN), |outcome| outcome)?;
        }
        let delta = publisher.learner().diff(start)?;
        Ok((delta, observed, regret / (THREADS as usize * REQUESTS) as f64))
    })
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let world = GlmEnvironment::linear(6, 4, 0.3, &mut ChaCha8Rng::seed_from_u64(5))?;
    let options = Ridge::default().with_keep_information(true);
    let mut shared = LinUcb::new(6, 4, options, Ucb { alpha: 0.5 })?;
    let (mut alone, mut regrets) = (shared.clone(), Vec::new());
    for exchange in 0..4 {
        let (first, seen, one) = serve(&shared, &world, 2 * exchange)?;
        let (second, others, two) = serve(&shared, &world, 2 * exchange + 1)?;
        // The evidence travels as JSON; both servers apply the sum.
        let mut delta: Delta = serde_json::from_str(&serde_json::to_string(&first)?)?;
        delta.combine(&second)?;
        shared.apply(&delta)?;
        for observation in seen.iter().chain(&others) {
            alone.learn(&observation.decision, observation.reward)?;
        }
        println!("exchange {}: regret per request {one:.4} and {two:.4}", exchange + 1);
        regrets.push(one + two);
    }
    assert!(regrets[3] < 0.5 * regrets[0], "what is exchanged is worth having");
    let context = [1.0, -0.5, 0.2, 0.0, 0.7, -1.0];
    for arm in (0..4).map(ArmId::new) {
        let (merged, whole) = (shared.score(arm, &context)?, alone.score(arm, &context)?);
        println!("{arm}: {:.9} ± {:.9}, one server {:.9} ± {:.9}", merged.mean, merged.width, whole.mean, whole.width);
        assert!((merged.mean - whole.mean).abs() < 1e-9 && (merged.width - whole.width).abs() < 1e-9);
    }
    assert_eq!(shared.version(), alone.version(), "no reward is lost, none is counted twice");
    Ok(())
}
