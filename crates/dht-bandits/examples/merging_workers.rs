//! Two servers learn independently and merge what they have learned since the last merge, in one frozen scaling of contexts.
//! The merged policy equals that of one server that learned from everything.
//!
//! cargo run --release -p dht-bandits --example merging_workers

use dht_bandits::{
    ArmId, LinUcb, Normalizer, Request, Result, RidgeOptions, Ucb,
    features::NormalizerOptions,
    policy::Delta,
    simulation::{Environment, GlmEnvironment},
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// Serves `rounds` requests; `everything` learns from them too.
fn serve(
    worker: &mut LinUcb,
    everything: &mut LinUcb,
    environment: &mut GlmEnvironment,
    normalizer: &Normalizer,
    rounds: usize,
    rng: &mut ChaCha8Rng,
) -> Result<f64> {
    let mut regret = 0.0;
    for _ in 0..rounds {
        environment.advance(rng);
        let context = normalizer.normalise(environment.context())?;
        let decision = worker.decide(&Request::new(&context), rng)?;
        let reward = environment.reward(decision.arm(), rng);
        regret += environment.best() - environment.expected(decision.arm());
        worker.learn(&decision, reward)?;
        everything.update(decision.arm(), &context, reward, 1.0)?;
    }
    Ok(regret / rounds as f64)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let mut environment = GlmEnvironment::linear(6, 4, 0.3, &mut rng)?;
    // Scalings must agree before anything is learned: each worker observes alone, the normalizers merge, the result is frozen.
    let mut normalizer = Normalizer::new(6, NormalizerOptions::default())?;
    for _ in 0..2 {
        let mut observed = Normalizer::new(6, NormalizerOptions::default())?;
        for _ in 0..200 {
            environment.advance(&mut rng);
            observed.observe(environment.context())?;
        }
        normalizer.merge(&observed)?;
    }
    normalizer.freeze();
    let mut base =
        LinUcb::new(6, 4, RidgeOptions { keep_information: true, ..RidgeOptions::default() }, Ucb { alpha: 0.5 })?;
    let mut everything = base.clone();
    for merge in 1..=4 {
        let (mut left, mut right) = (base.clone(), base.clone());
        let first = serve(&mut left, &mut everything, &mut environment, &normalizer, 250, &mut rng)?;
        let second = serve(&mut right, &mut everything, &mut environment, &normalizer, 250, &mut rng)?;
        // The difference is sent over the wire, as JSON here.
        let wire = serde_json::to_string(&right.diff(&base)?)?;
        let mut delta: Delta = serde_json::from_str(&wire)?;
        delta.combine(&left.diff(&base)?)?;
        base.apply(&delta)?;
        println!("merge {merge}: regret a round {first:.4} and {second:.4}; {} bytes sent", wire.len());
    }
    let context = normalizer.normalise(environment.context())?;
    for arm in (0..4).map(ArmId::new) {
        let (merged, whole) = (base.score(arm, &context)?, everything.score(arm, &context)?);
        println!(
            "{arm}: merged {:.9} ± {:.9}, one server {:.9} ± {:.9}",
            merged.mean, merged.width, whole.mean, whole.width
        );
    }
    Ok(())
}
