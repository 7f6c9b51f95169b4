//! Two servers learn apart and exchange what they learned since they last met, in one frozen scaling of contexts.
//! Together they know what one server that saw everything would know.
//!
//! cargo run --release -p dht-bandits --example merging_workers

use dht_bandits::{
    ArmId, Available, Delta, LinUcb, Normalizer, NormalizerOptions, Result, RidgeOptions, Ucb, WeightedWorld, World,
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// Serves `rounds` requests; `everything` sees them too.
fn serve(
    worker: &mut LinUcb,
    everything: &mut LinUcb,
    world: &mut WeightedWorld,
    norm: &Normalizer,
    rounds: usize,
    rng: &mut ChaCha8Rng,
) -> Result<f64> {
    let mut regret = 0.0;
    for _ in 0..rounds {
        world.advance(rng);
        let context = norm.normalise(world.context())?;
        let decision = worker.decide(&context, Available::All, rng)?;
        let reward = world.reward(decision.arm(), rng);
        regret += world.best() - world.expected(decision.arm());
        worker.learn(&decision, reward)?;
        everything.update(decision.arm(), &context, reward, 1.0)?;
    }
    Ok(regret / rounds as f64)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let mut world = WeightedWorld::linear(6, 4, 0.3, &mut rng)?;
    // Scalings must agree before anything is learned: each watches alone, the norms merge, the result is frozen.
    let mut norm = Normalizer::new(6, NormalizerOptions::default())?;
    for _ in 0..2 {
        let mut watched = Normalizer::new(6, NormalizerOptions::default())?;
        for _ in 0..200 {
            world.advance(&mut rng);
            watched.observe(world.context())?;
        }
        norm.merge(&watched)?;
    }
    norm.freeze();
    let mut base =
        LinUcb::new(6, 4, RidgeOptions { keep_information: true, ..RidgeOptions::default() }, Ucb { alpha: 0.5 })?;
    let mut everything = base.clone();
    for meeting in 1..=4 {
        let (mut left, mut right) = (base.clone(), base.clone());
        let first = serve(&mut left, &mut everything, &mut world, &norm, 250, &mut rng)?;
        let second = serve(&mut right, &mut everything, &mut world, &norm, 250, &mut rng)?;
        // What goes over the wire is the difference, as JSON here.
        let wire = serde_json::to_string(&right.diff(&base)?)?;
        let mut delta: Delta = serde_json::from_str(&wire)?;
        delta.combine(&left.diff(&base)?)?;
        base.apply(&delta)?;
        println!("meeting {meeting}: regret a round {first:.4} and {second:.4}; {} bytes exchanged", wire.len());
    }
    let context = norm.normalise(world.context())?;
    for arm in (0..4).map(ArmId::new) {
        let (merged, whole) = (base.score(arm, &context)?, everything.score(arm, &context)?);
        println!(
            "{arm}: merged {:.9} ± {:.9}, one server {:.9} ± {:.9}",
            merged.mean, merged.width, whole.mean, whole.width
        );
    }
    Ok(())
}
