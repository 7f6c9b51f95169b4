//! Policies learned from a log, judged on labelled rows: the program of scripts/compare_offline.py.
//!
//! Usage: `learn_from_log LOG.csv TEST.csv [PASSES] [RATE]`. The log has the columns `arm,propensity,reward` and features;
//! the test rows hold the right arm in the place of the chosen one. It prints the accuracy of each learner, and that of
//! the log.

use dht_bandits::evaluation::OutcomeModel;
use dht_bandits::log::{CsvRows, LoggedDecision};
use dht_bandits::policy::SoftmaxPolicy;
use dht_bandits::{ArmId, LinUcb, Policy, Request, Ridge, Ucb};
use std::error::Error;
use std::fs::File;

fn read(path: &str) -> Result<Vec<LoggedDecision>, Box<dyn Error>> {
    Ok(CsvRows::new(File::open(path)?, path)?.collect::<Result<_, _>>()?)
}

/// Fraction of rows in which the arm of the highest probability is right; ties count by their number.
fn accuracy(policy: &dyn Policy, rows: &[LoggedDecision]) -> Result<f64, dht_bandits::Error> {
    let mut right = 0.0;
    for row in rows {
        let all = policy.propensities(&Request::new(&row.context))?;
        let most = all.iter().fold(0.0, |most: f64, entry| most.max(entry.probability));
        let best: Vec<_> = all.iter().filter(|entry| entry.probability >= most).collect();
        right += if best.iter().any(|entry| entry.arm == row.arm) { 1.0 / best.len() as f64 } else { 0.0 };
    }
    Ok(right / rows.len() as f64)
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [log, test, rest @ ..] = &arguments[..] else {
        return Err("usage: learn_from_log LOG.csv TEST.csv [PASSES] [RATE]".into());
    };
    let passes: usize = rest.first().map_or(Ok(20), |text| text.parse())?;
    let rate: f64 = rest.get(1).map_or(Ok(0.05), |text| text.parse())?;
    let (log, test) = (read(log)?, read(test)?);
    let dimension = log.first().ok_or("the log is empty")?.context.len();
    let arms = log.iter().chain(&test).map(|row| row.arm.number() + 1).max().unwrap_or(0) as usize;
    let mean = log.iter().map(|row| row.reward).sum::<f64>() / log.len() as f64;
    println!("log {mean:.4}");
    let greedy = || LinUcb::new(dimension + 1, arms, Ridge::new(dimension as f64 / 4.0), Ucb { alpha: 0.0 });
    let with_constant =
        |row: &LoggedDecision| LoggedDecision { context: [&row.context[..], &[1.0]].concat(), ..row.clone() };
    let of_ridge: Vec<_> = test.iter().map(with_constant).collect();
    let mut ridge = greedy()?;
    ridge.fit(&log.iter().map(with_constant).collect::<Vec<_>>())?;
    println!("ridge {:.4}", accuracy(&ridge, &of_ridge)?);
    let all: Vec<ArmId> = (0..arms as u64).map(ArmId::new).collect();
    let estimated = OutcomeModel::Ridge { prior_precision: dimension as f64 / 4.0 }.estimate_rewards(5, &log, &all)?;
    let mut reduced = greedy()?;
    reduced.fit(&estimated.iter().map(with_constant).collect::<Vec<_>>())?;
    println!("reduction {:.4}", accuracy(&reduced, &of_ridge)?);
    for (name, mut policy) in [
        ("ips", SoftmaxPolicy::new(dimension, arms)?.with_learning_rate(rate)?),
        ("dr", SoftmaxPolicy::new(dimension, arms)?.with_learning_rate(rate)?.doubly_robust()?),
    ] {
        for _ in 0..passes {
            policy.fit(&log)?;
        }
        println!("{name} {:.4}", accuracy(&policy, &test)?);
    }
    Ok(())
}
