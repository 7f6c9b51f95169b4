//! The world moves. What was learned is worth less every day, or nothing from one day to the next: which policy follows?
//! Regret in a world that changes at once, in one that wanders, and in one that stands still.
//!
//! cargo run --release -p dht-bandits --example moving_world

use dht_bandits::{
    LinUcb, Result, Ridge, Ucb,
    policy::{ChangeTest, Disjoint, ResetOnChange, SlidingWindow},
    posterior::{DecayClock, DiscountedRidge, Forgetting},
    simulation::{Comparison, Entry, GlmEnvironment},
};
use rand_chacha::ChaCha8Rng;

const UCB: Ucb = Ucb { alpha: 0.3 };

fn ridge(decay: f64) -> Result<LinUcb> {
    LinUcb::new(4, 5, Ridge::default().with_forgetting(Forgetting::new(decay)?), UCB)
}

fn clocked() -> Result<Disjoint<DiscountedRidge, Ucb>> {
    let (forgetting, clock) = (Forgetting::new(0.98)?, DecayClock::Updates);
    Disjoint::new(4, 5, DiscountedRidge::new(forgetting).with_clock(clock), UCB)
}

fn main() -> Result<()> {
    let entries = [
        Entry::new("stationary", || ridge(1.0)),
        Entry::new("each arm forgets by its own updates", || ridge(0.95)),
        Entry::new("one clock for all arms", clocked),
        Entry::new("window of 150 rounds", || SlidingWindow::new(ridge(1.0)?, 150)),
        Entry::new("reset by Page–Hinkley", || {
            ResetOnChange::new(ridge(1.0)?, ChangeTest::PageHinkley { tolerance: 0.1, threshold: 5.0 })
        }),
        Entry::new("reset by ADWIN", || ResetOnChange::new(ridge(1.0)?, ChangeTest::Adwin { delta: 0.01, range: 2.0 })),
    ];
    let still = |rng: &mut ChaCha8Rng| GlmEnvironment::linear(4, 5, 0.1, rng);
    let seeds: Vec<_> = (0..20).collect();
    let changing = Comparison::run(&entries, |rng: &mut ChaCha8Rng| still(rng)?.drifting(500), 3000, &seeds)?;
    let wandering = Comparison::run(&entries, |rng: &mut ChaCha8Rng| still(rng)?.wandering(0.9995), 3000, &seeds)?;
    let standing = Comparison::run(&entries, still, 3000, &seeds)?;
    println!("| regret of 3,000 rounds, 20 seeds | changes at once | wanders | stands still |\n|---|---|---|---|");
    for (position, entry) in entries_of(&changing).enumerate() {
        let of = |comparison: &dht_bandits::simulation::Comparison| {
            let (mean, error) = comparison.entries[position].total_regret();
            format!("{mean:.0} ± {error:.0}")
        };
        println!("| {entry} | {} | {} | {} |", of(&changing), of(&wandering), of(&standing));
    }
    println!("\nA test pays where changes are rare and large, a clock where the world never rests; both cost little.");
    Ok(())
}

fn entries_of(comparison: &dht_bandits::simulation::Comparison) -> impl Iterator<Item = &str> {
    comparison.entries.iter().map(|runs| runs.name.as_str())
}
