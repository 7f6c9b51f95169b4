//! Compares policies in non-stationary environments: which policy recovers after changes, and at what cost? Prints the
//! regret in an environment that changes abruptly, in one that drifts steadily, and in a stationary one.
//!
//! cargo run --release -p dht-bandits --example moving_world

use dht_bandits::{
    LinUcb, Policy, Result, Ridge, Ucb,
    policy::{ChangeTest, Disjoint, ResetOnChange, SlidingWindow},
    posterior::{DecayClock, DiscountedRidge},
    simulation::{Comparison, Curve, GlmEnvironment},
};
use rand_chacha::ChaCha8Rng;

const UCB: Ucb = Ucb { alpha: 0.3 };

fn ridge(decay: f64) -> Result<LinUcb> {
    LinUcb::new(4, 5, Ridge::default().with_decay(decay), UCB)
}

fn clocked() -> Result<Disjoint<DiscountedRidge, Ucb>> {
    let (forgetting, clock) = (0.98, DecayClock::Updates);
    Disjoint::new(4, 5, DiscountedRidge::new(forgetting).with_clock(clock), UCB)
}

fn main() -> Result<()> {
    let reset = |test| ResetOnChange::new(ridge(1.0)?, test);
    let policies: [(&str, Box<dyn Policy>); 6] = [
        ("stationary", Box::new(ridge(1.0)?)),
        ("each arm forgets by its own updates", Box::new(ridge(0.95)?)),
        ("one clock for all arms", Box::new(clocked()?)),
        ("window of 150 rounds", Box::new(SlidingWindow::new(ridge(1.0)?, 150)?)),
        ("reset by Page–Hinkley", Box::new(reset(ChangeTest::PageHinkley { tolerance: 0.1, threshold: 5.0 })?)),
        ("reset by ADWIN", Box::new(reset(ChangeTest::Adwin { delta: 0.01, range: 2.0 })?)),
    ];
    let still = |rng: &mut ChaCha8Rng| GlmEnvironment::linear(4, 5, 0.1, rng);
    let seeds: Vec<_> = (0..20).collect();
    let changing = Comparison::run(&policies, |rng: &mut ChaCha8Rng| still(rng)?.drifting(500), 3000, &seeds)?;
    let wandering = Comparison::run(&policies, |rng: &mut ChaCha8Rng| still(rng)?.wandering(0.9995), 3000, &seeds)?;
    let standing = Comparison::run(&policies, still, 3000, &seeds)?;
    println!("| regret of 3,000 rounds, 20 seeds | abrupt changes | steady drift | stationary |\n|---|---|---|---|");
    for ((name, changing), ((_, wandering), (_, standing))) in
        changing.runs.iter().zip(wandering.runs.iter().zip(&standing.runs))
    {
        let [changing, wandering, standing] = [changing, wandering, standing].map(|curves| {
            let (mean, error) = Curve::mean_regret(curves);
            format!("{mean:.0} ± {error:.0}")
        });
        println!("| {name} | {changing} | {wandering} | {standing} |");
    }
    println!(
        "\nA change test pays if changes are rare and large, and a clock if the environment drifts all the time.
In a stationary environment a test costs nothing, and forgetting increases the regret by at least a half."
    );
    Ok(())
}
