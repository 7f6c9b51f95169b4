//! Measures bias, spread and coverage of each off-policy estimator over 2,000 simulated logs whose truth is known, with
//! light and with heavy importance weights. Writes the tables of `docs/estimators.md`.
//!
//! cargo run --release -p dht-bandits --example estimator_table

use std::{collections::BTreeMap, fmt::Write, ops::RangeInclusive, path::Path};

use dht_bandits::{
    ArmId, Result,
    evaluation::{ConfidenceSequence, Estimate, Estimator, LoggedRound, OffPolicy, OutcomeModel},
    log::LoggedDecision,
};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

const LOGS: usize = 2000;
const ROUNDS: usize = 500;
const ARMS: usize = 5;

/// Probability of a reward of 1: a logistic function that no linear model fits.
fn expected(context: &[f64], arm: usize) -> f64 {
    let slope = [1.0, -1.0, 0.5, -0.5, 0.0][arm];
    let score = slope * context[0] + 0.8 * (context[1] * (arm as f64 - 2.0)).cos() - 0.4 + 0.1 * arm as f64;
    1.0 / (1.0 + (-score).exp())
}

/// Softmax of the expected rewards times a sharpness. The evaluated policy has a higher sharpness than the log, or
/// prefers the arms that the log avoids.
fn softmax(context: &[f64], sharpness: f64) -> Vec<(ArmId, f64)> {
    let scores: Vec<f64> = (0..ARMS).map(|arm| (sharpness * expected(context, arm)).exp()).collect();
    let sum: f64 = scores.iter().sum();
    scores.iter().enumerate().map(|(arm, score)| (ArmId::new(arm as u64), score / sum)).collect()
}

fn context(rng: &mut ChaCha8Rng) -> Vec<f64> {
    (0..2).map(|_| StandardNormal.sample(rng)).collect()
}

fn pick(probabilities: &[(ArmId, f64)], rng: &mut dyn Rng) -> (ArmId, f64) {
    let mut left: f64 = rng.random();
    let drawn = probabilities.iter().find(|(_, probability)| {
        left -= probability;
        left < 0.0
    });
    drawn.or(probabilities.last()).copied().unwrap_or_default()
}

/// Estimates of one estimator, over all logs.
#[derive(Default)]
struct Runs {
    values: Vec<f64>,
    /// Logs with an interval, and logs whose interval covers the truth.
    stated: usize,
    covered: usize,
    bootstrapped: Option<usize>,
    /// Sum of the widths of the intervals.
    widths: f64,
    effective: f64,
}

impl Runs {
    fn add(&mut self, truth: f64, estimate: &Estimate, bootstrap: Option<RangeInclusive<f64>>) {
        self.values.push(estimate.value);
        if estimate.has_interval() {
            self.stated += 1;
            self.covered += usize::from(estimate.low <= truth && truth <= estimate.high);
            self.widths += estimate.high - estimate.low;
        }
        self.effective += estimate.effective_samples;
        if let Some(interval) = bootstrap {
            *self.bootstrapped.get_or_insert(0) += usize::from(interval.contains(&truth));
        }
    }
}

fn run(logging: f64, target: f64, bound: f64, out: &mut String) -> Result<()> {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    // The truth, from enough contexts for four digits.
    let mean = |context: Vec<f64>| -> f64 {
        softmax(&context, target).iter().map(|(arm, share)| share * expected(&context, arm.number() as usize)).sum()
    };
    let truth = (0..2_000_000).map(|_| mean(context(&mut rng))).sum::<f64>() / 2e6;
    let mut runs: BTreeMap<usize, (String, Runs)> = BTreeMap::new();
    let (mut always, mut robust_always, mut width, mut robust_width) = (0, 0, 0.0, 0.0);
    for _ in 0..LOGS {
        let (mut log, mut targets) = (Vec::with_capacity(ROUNDS), Vec::with_capacity(ROUNDS));
        for _ in 0..ROUNDS {
            let context = context(&mut rng);
            let (arm, propensity) = pick(&softmax(&context, logging), &mut rng);
            let reward = f64::from(u8::from(rng.random::<f64>() < expected(&context, arm.number() as usize)));
            targets.push(softmax(&context, target));
            log.push(LoggedDecision::new(context, arm, propensity, reward));
        }
        let model = OutcomeModel::Logistic { prior_precision: 1.0 };
        let rounds = model.cross_fit(5, &log, &targets)?;
        let judge = OffPolicy::new(&rounds)?;
        let switch = judge.candidates(|threshold| Estimator::SwitchDoublyRobust { threshold });
        let shrunk = judge.candidates(|weight| Estimator::OptimisticDoublyRobust { shrinkage: weight * weight });
        let clipped = judge.candidates(|largest| Estimator::Clipped { largest });
        let rows = [
            ("DM", Estimator::Direct),
            ("IPS", Estimator::InversePropensity),
            ("clipped IPS, M = 10", Estimator::Clipped { largest: 10.0 }),
            ("clipped IPS, M by SLOPE", judge.slope(&clipped)?.0),
            ("SNIPS", Estimator::SelfNormalised),
            ("DR", Estimator::DoublyRobust),
            ("SNDR", Estimator::SelfNormalisedDoublyRobust),
            ("switch-DR, τ = 10", Estimator::SwitchDoublyRobust { threshold: 10.0 }),
            ("switch-DR, τ by SLOPE", judge.slope(&switch)?.0),
            ("DRps, M = 10", Estimator::PessimisticDoublyRobust { largest: 10.0 }),
            ("DRos, λ = 100", Estimator::OptimisticDoublyRobust { shrinkage: 100.0 }),
            ("DRos, λ by SLOPE", judge.slope(&shrunk)?.0),
        ];
        for (position, (name, estimator)) in rows.into_iter().enumerate() {
            let resampled = ["IPS", "SNIPS", "DR", "SNDR"].contains(&name);
            let bootstrap = if resampled { Some(judge.bootstrap(estimator, 200, 0.95, &mut rng)?) } else { None };
            let entry = runs.entry(position).or_insert_with(|| (name.to_owned(), Runs::default()));
            entry.1.add(truth, &judge.estimate(estimator)?, bootstrap);
        }
        let more_robust = model.cross_fit_mrdr(5, &log, &targets)?;
        let entry = runs.entry(rows.len()).or_insert_with(|| ("MRDR".to_owned(), Runs::default()));
        entry.1.add(truth, &OffPolicy::new(&more_robust)?.doubly_robust()?, None);
        let mut sequence = ConfidenceSequence::new((0.0, 1.0), 0.05)?;
        // A confidence sequence needs predictions from the past alone: here the constant ½.
        let mut robust = ConfidenceSequence::doubly_robust((0.0, 1.0), 0.05, bound)?;
        let (mut holds, mut robust_holds) = (true, true);
        for round in &rounds {
            let mut blind = *round;
            blind.prediction = Some(dht_bandits::evaluation::Prediction { logged: 0.5, expected: 0.5 });
            holds &= sequence.push(round)?.contains(&truth);
            robust_holds &= robust.push(&blind)?.contains(&truth);
        }
        always += usize::from(holds);
        robust_always += usize::from(robust_holds);
        let length = |sequence: &ConfidenceSequence| sequence.interval().end() - sequence.interval().start();
        width += length(&sequence);
        robust_width += length(&robust);
    }
    let share = |count: usize| format!("{:.3}", count as f64 / LOGS as f64);
    let of_stated = |value: f64, stated: usize| {
        if stated == 0 { "–".to_owned() } else { format!("{:.3}", value / stated as f64) }
    };
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "Truth {truth:.4}.\n\n| estimator | bias × 1000 | deviation × 1000 | RMSE × 1000 | stated | coverage | \
         bootstrap | mean width | effective samples |\n|---|---|---|---|---|---|---|---|---|"
    );
    for (name, runs) in runs.values() {
        let count = runs.values.len() as f64;
        let mean = runs.values.iter().sum::<f64>() / count;
        let spread = (runs.values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0)).sqrt();
        let bias = mean - truth;
        let _ = writeln!(
            out,
            "| {name} | {:.1} ± {:.1} | {:.1} | {:.1} | {} | {} | {} | {} | {:.0} |",
            1e3 * bias,
            1e3 * spread / count.sqrt(),
            1e3 * spread,
            1e3 * (bias * bias + spread * spread).sqrt(),
            share(runs.stated),
            of_stated(runs.covered as f64, runs.stated),
            runs.bootstrapped.map_or("–".to_owned(), share),
            of_stated(runs.widths, runs.stated),
            runs.effective / count
        );
    }
    let count = LOGS as f64;
    let _ = writeln!(
        out,
        "| sequence, importance weights | – | – | – | 1.000 | {} at all times | – | {:.3} | – |",
        share(always),
        width / count
    );
    let _ = writeln!(
        out,
        "| sequence, weights ≤ {bound}, q̂ = ½ | – | – | – | 1.000 | {} at all times | – | {:.3} | – |\n",
        share(robust_always),
        robust_width / count
    );
    Ok(())
}

/// Reference file of `scripts/golden_off_policy.py`: a log, and the estimates of the Open Bandit Pipeline from it.
#[derive(serde::Deserialize)]
struct Golden {
    obp: String,
    values: BTreeMap<String, f64>,
    rounds: Vec<LoggedRound>,
}

/// Compares our estimates with those of the Open Bandit Pipeline, from the same log.
fn beside_obp(out: &mut String) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let golden: Golden = serde_json::from_str(include_str!("../tests/judging/obp.json"))?;
    let judge = OffPolicy::new(&golden.rounds)?;
    let _ = writeln!(out, "| one log of {} rounds | ours | obp {} |\n|---|---|---|", golden.rounds.len(), golden.obp);
    for estimator in [
        Estimator::Direct,
        Estimator::InversePropensity,
        Estimator::SelfNormalised,
        Estimator::DoublyRobust,
        Estimator::SelfNormalisedDoublyRobust,
        Estimator::SwitchDoublyRobust { threshold: 1.0 },
        Estimator::OptimisticDoublyRobust { shrinkage: 2.0 },
    ] {
        let theirs = golden.values.get(&estimator.to_string()).copied().unwrap_or(f64::NAN);
        let _ = writeln!(out, "| {estimator} | {:.12} | {theirs:.12} |", judge.estimate(estimator)?.value);
    }
    Ok(())
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/estimators.md");
    let mut table = String::new();
    let _ = writeln!(table, "\n### Light weights\n\nThe logging policy prefers what the evaluated one prefers.");
    run(1.0, 6.0, 8.0, &mut table)?;
    let _ = writeln!(table, "### Heavy weights\n\nThe logging policy avoids what the evaluated one prefers.");
    run(-6.0, 6.0, 1e5, &mut table)?;
    let _ = writeln!(table, "### Beside the Open Bandit Pipeline\n");
    beside_obp(&mut table)?;
    let page = std::fs::read_to_string(&path)?;
    let (start, end) =
        ("<!-- table: cargo run --release -p dht-bandits --example estimator_table -->", "<!-- end of table -->");
    let before = page.split(start).next().unwrap_or_default();
    let after = page.split(end).nth(1).unwrap_or_default();
    std::fs::write(&path, format!("{before}{start}\n{table}{end}{after}"))?;
    println!("{table}");
    Ok(())
}
