//! Measures exploration in simulated environments with noisy rewards and a known best arm. Prints one JSON line for
//! each policy, environment and seed.
//!
//! Run it with `cargo run --release -p dht-bandits --example noisy_worlds -- POLICY …`. A policy is `recommended`,
//! `ucb:ALPHA`, `growing-ucb:ALPHA:REWARDS PER WEIGHT:LIMIT`, `thompson:ALPHA` or `square-cb:GAMMA`; all but the first
//! replace the rule of the recommended settings. With `select` as the first argument, it measures the environments on
//! which settings are selected, instead of those that confirm them. `export DIRECTORY` writes the rounds for other
//! programs.

#[path = "../tests/statistical/noisy_worlds.rs"]
mod noisy_worlds;

use std::collections::VecDeque;
use std::io::Write;

use dht_bandits::exploration::{GrowingUcb, SquareCb};
use dht_bandits::policy::{AnyPolicy, AnyRule, Feedback, PolicySettings, RewardType, Slate};
use dht_bandits::{ArmId, Policy, Request, Result, Thompson, Ucb};
use noisy_worlds::{CONFIRMATION, Column, Contexts, Outcome, SELECTION, World};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

const SEEDS: u64 = 10;

/// Recommended settings for an environment, with the exploration rule that a name selects.
fn settings(column: &Column, name: &str) -> PolicySettings {
    let (Contexts::Segments(d) | Contexts::Normal(d)) = column.contexts;
    let reward = if column.noise.is_some() { RewardType::Real } else { RewardType::Binary };
    let (settings, weights) = match column.features {
        0 => (PolicySettings::recommended(d, column.arms, reward), (d + 1) * column.arms),
        features => (PolicySettings::recommended_for_items(d, features, reward), d * features + d + features),
    };
    let mut fields = name.split(':');
    let rule = fields.next().unwrap_or_default();
    let values: Vec<f64> = fields.map(|field| field.parse().expect("a number")).collect();
    let rule = match (rule, &values[..]) {
        ("recommended", []) => return settings,
        ("ucb", &[alpha]) => AnyRule::Ucb(Ucb { alpha }),
        ("growing-ucb", &[alpha, share, limit]) => {
            AnyRule::GrowingUcb(GrowingUcb { alpha, rounds: share * weights as f64, limit })
        }
        ("thompson", &[alpha]) => AnyRule::Thompson(Thompson { alpha }),
        ("square-cb", &[gamma]) => AnyRule::SquareCb(SquareCb::new(gamma)),
        _ => panic!("unknown policy {name}"),
    };
    settings.with_exploration(Some(rule))
}

/// Runs a policy in an environment. Rewards are learned `delay` rounds after their choices.
fn run(column: &Column, seed: u64, mut policy: AnyPolicy) -> Result<Outcome> {
    let (mut world, mut rng) = (World::new(*column, seed), ChaCha8Rng::seed_from_u64(seed));
    let ids: Vec<ArmId> = (0..column.arms as u64).map(ArmId::new).collect();
    let (mut outcome, mut waiting) = (Outcome::default(), VecDeque::new());
    let (features, mut slate) = (world.features.clone(), Slate::default());
    for round in 0..column.rounds {
        world.advance();
        let request = Request::new(&world.context);
        let request = if column.features > 0 { request.featured(&ids, &features, column.features)? } else { request };
        if column.positions > 1 {
            policy.select_slate(column.positions, &request, &mut rng, &mut slate)?;
            let shown: Vec<usize> = slate.arms().map(|arm| arm.number() as usize).collect();
            outcome.count(&world, round, &shown);
            let feedback: Vec<_> = shown.iter().map(|&arm| Feedback::Observed(world.reward(arm))).collect();
            policy.learn_slate(&slate, &feedback)?;
            continue;
        }
        // `select` suffices: the propensity is not used here.
        let arm = policy.select(&request, &mut rng)?.arm;
        let index = arm.number() as usize;
        outcome.count(&world, round, &[index]);
        let own = if column.features > 0 { &features[index * column.features..][..column.features] } else { &[] };
        waiting.push_back((arm, [&world.context[..], own].concat(), world.reward(index)));
        while waiting.len() > column.delay {
            if let Some((arm, context, reward)) = waiting.pop_front() {
                policy.update(arm, &context, reward, 1.0)?;
            }
        }
    }
    outcome.finish(&mut world);
    Ok(outcome)
}

/// Writes each environment to a file of little-endian numbers: the counts, the features of the arms and, for each
/// round, the context, the expected rewards, and the two draws behind the rewards.
fn export(directory: &str) -> std::io::Result<()> {
    for (place, column) in CONFIRMATION.iter().enumerate() {
        for seed in 0..SEEDS {
            let mut world = World::new(*column, seed);
            let mut file = std::io::BufWriter::new(std::fs::File::create(format!("{directory}/{place}-{seed}.bin"))?);
            let mut write = |values: &[f64]| values.iter().try_for_each(|value| file.write_all(&value.to_le_bytes()));
            let counts = [world.context.len(), column.arms, column.features, column.rounds, column.delay];
            write(&counts.map(|count| count as f64))?;
            write(&[column.positions as f64, column.noise.unwrap_or(0.0)])?;
            write(&world.features)?;
            for _ in 0..column.rounds {
                world.advance();
                let (uniform, normal) = world.draws();
                write(&world.context)?;
                write(&world.expected)?;
                write(&[uniform, normal])?;
            }
            file.flush()?;
        }
    }
    Ok(())
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [command, directory] = &arguments[..]
        && command == "export"
    {
        return Ok(export(directory)?);
    }
    let selecting = arguments.first().is_some_and(|argument| argument == "select");
    let (columns, policies) = match selecting {
        true => (SELECTION, &arguments[1..]),
        false => (CONFIRMATION, &arguments[..]),
    };
    for name in policies {
        // Rules that choose one arm cannot choose slates.
        let columns = columns.iter().filter(|column| column.positions == 1 || !name.starts_with("square-cb"));
        for column in columns {
            for seed in 0..SEEDS {
                let policy = AnyPolicy::new(settings(column, name))?;
                let outcome = run(column, seed + if selecting { 100 } else { 0 }, policy)?;
                let Outcome { earned, best, uniform, stuck, segments, .. } = outcome;
                let line = serde_json::json!({"world": column.name, "policy": name, "peer": false, "seed": seed,
                    "earned": earned, "best": best, "uniform": uniform, "stuck": stuck, "segments": segments});
                println!("{line}");
            }
        }
    }
    Ok(())
}
