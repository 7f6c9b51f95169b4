//! Measures how often the intervals of `Evaluation::run` cover the truth, over five kinds of simulated logs, two of
//! them with a wrong reward model. Writes `docs/records/intervals.json` and the tables of `docs/estimators.md`.
//!
//! cargo run --release -p dht-bandits --example interval_coverage [-- LOGS]

use std::{collections::BTreeMap, fmt::Write, path::Path};

use dht_bandits::{
    ArmId, Result,
    evaluation::{Estimator, Evaluation, EvaluationSettings, OffPolicy, OutcomeModel, Target, Verdict},
    log::LoggedDecision,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

const ROUNDS: usize = 1000;
const ARMS: usize = 4;
/// Number of resamples of the bootstrap that refits the model, and number of logs on which it runs. It takes a thousand
/// times longer than the other bootstrap.
const REFITS: usize = 100;
const REFITTED_LOGS: usize = 100;

/// Simulated setting of one kind of logs: rewards, logging policy, evaluated policy and reward model.
struct Scenario {
    name: &'static str,
    /// Probability of a reward of 1, by segment, x and arm.
    reward: fn(usize, f64, usize) -> f64,
    logging: fn(usize, f64) -> [f64; ARMS],
    target: fn(usize, f64) -> [f64; ARMS],
    model: OutcomeModel,
}

fn sigmoid(score: f64) -> f64 {
    1.0 / (1.0 + (-score).exp())
}

/// Reward probability that is a logistic function of segment and x.
fn logistic(segment: usize, x: f64, arm: usize) -> f64 {
    let sign = if arm.is_multiple_of(2) { 1.0 } else { -1.0 };
    sigmoid(-2.0 + if arm == segment { 1.5 } else { 0.0 } + 0.8 * x * sign)
}

/// Reward probability that is a wave of x, different for each arm. No model that is linear in x can fit it.
fn wave(segment: usize, x: f64, arm: usize) -> f64 {
    0.5 + 0.4 * (5.0 * x + 1.6 * arm as f64 + segment as f64).cos()
}

/// Reward probability of rare clicks, from 1 to 8 %.
fn rare(segment: usize, x: f64, arm: usize) -> f64 {
    0.02 + if arm == segment { 0.05 } else { 0.0 } + 0.01 * x
}

fn own_segment(segment: usize, _: f64) -> [f64; ARMS] {
    std::array::from_fn(|arm| if arm == segment { 0.91 } else { 0.03 })
}

/// Probability of each arm: the softmax of the wave times a sharpness.
fn softmax(segment: usize, x: f64, sharpness: f64) -> [f64; ARMS] {
    let scores: [f64; ARMS] = std::array::from_fn(|arm| (sharpness * wave(segment, x, arm)).exp());
    let sum: f64 = scores.iter().sum();
    scores.map(|score| score / sum)
}

const SCENARIOS: [Scenario; 5] = [
    Scenario {
        name: "right model, uniform log",
        reward: logistic,
        logging: |_, _| [0.25; ARMS],
        target: own_segment,
        model: OutcomeModel::Logistic { prior_precision: 1.0 },
    },
    Scenario {
        name: "right model, one arm at .85",
        reward: logistic,
        logging: |_, _| [0.05, 0.05, 0.05, 0.85],
        target: own_segment,
        model: OutcomeModel::Logistic { prior_precision: 1.0 },
    },
    Scenario {
        name: "wrong model, light weights",
        reward: wave,
        logging: |segment, x| softmax(segment, x, 1.0),
        target: |segment, x| softmax(segment, x, 6.0),
        model: OutcomeModel::Ridge { prior_precision: 1.0 },
    },
    Scenario {
        name: "wrong model, heavy weights",
        reward: wave,
        logging: |segment, x| softmax(segment, x, -4.0),
        target: |segment, x| softmax(segment, x, 4.0),
        model: OutcomeModel::Logistic { prior_precision: 1.0 },
    },
    Scenario {
        name: "rare clicks",
        reward: rare,
        logging: |_, _| [0.1, 0.2, 0.1, 0.6],
        target: own_segment,
        model: OutcomeModel::Ridge { prior_precision: 1.0 },
    },
];

fn context(rng: &mut ChaCha8Rng) -> (usize, f64) {
    (rng.random_range(0..3), 2.0 * rng.random::<f64>() - 1.0)
}

fn pick(probabilities: &[f64], rng: &mut ChaCha8Rng) -> usize {
    let mut left: f64 = rng.random();
    let drawn = probabilities.iter().position(|probability| {
        left -= probability;
        left < 0.0
    });
    drawn.unwrap_or(probabilities.len() - 1)
}

impl Scenario {
    fn log(&self, rng: &mut ChaCha8Rng) -> Vec<LoggedDecision> {
        let mut row = || {
            let (segment, x) = context(rng);
            let probabilities = (self.logging)(segment, x);
            let arm = pick(&probabilities, rng);
            let reward = f64::from(u8::from(rng.random::<f64>() < (self.reward)(segment, x, arm)));
            let mut context = vec![0.0, 0.0, 0.0, x];
            context[segment] = 1.0;
            LoggedDecision::new(context, ArmId::new(arm as u64), probabilities[arm], reward)
        };
        (0..ROUNDS).map(|_| row()).collect()
    }

    fn probabilities(&self, context: &[f64]) -> Vec<(ArmId, f64)> {
        let segment = context.iter().position(|value| *value == 1.0).unwrap_or_default();
        let all = (self.target)(segment, context[3]);
        all.into_iter().enumerate().map(|(arm, probability)| (ArmId::new(arm as u64), probability)).collect()
    }

    /// Values of the evaluated and the logging policy, by the midpoint rule over x.
    fn truth(&self) -> (f64, f64) {
        let (mut target, mut logging) = (0.0, 0.0);
        let cells = 20_000;
        for segment in 0..3 {
            for cell in 0..cells {
                let x = (2.0 * f64::from(cell) + 1.0) / f64::from(cells) - 1.0;
                let (new, old) = ((self.target)(segment, x), (self.logging)(segment, x));
                for arm in 0..ARMS {
                    let reward = (self.reward)(segment, x, arm) / (3.0 * f64::from(cells));
                    target += new[arm] * reward;
                    logging += old[arm] * reward;
                }
            }
        }
        (target, logging)
    }
}

/// Counts from which one row of a table is computed.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
struct Counts {
    logs: u32,
    /// Logs whose result states an interval of the value, and logs whose interval covers it.
    stated: u32,
    covered: u32,
    /// Logs with a bootstrap interval without refitting, and logs whose interval covers the value.
    bootstrapped: u32,
    bootstrap_covered: u32,
    /// Logs whose result states an interval of the gain over the log, and logs whose interval covers it.
    gain_stated: u32,
    gain_covered: u32,
    /// Logs whose normal interval would cover the value, whether or not it is stated.
    would_cover: u32,
    /// Logs with a bootstrap that refits the model and selects the parameter anew, and logs whose interval covers the
    /// value.
    refitted: u32,
    refit_covered: u32,
    sum: f64,
    squares: f64,
}

/// Results of one simulated setting.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
struct KindRecord {
    name: String,
    truth: f64,
    gain: f64,
    rows: Vec<(String, Counts)>,
    /// Logs whose anytime-valid intervals cover the value and the gain after every round.
    value_sequence: u32,
    gain_sequence: u32,
    verdicts: BTreeMap<String, u32>,
}

fn inside(low: f64, high: f64, truth: f64) -> u32 {
    u32::from(low <= truth && truth <= high)
}

/// Estimator of a row, by its name; `None` for the rows that need no refitting.
fn tuned(name: &str, judge: &OffPolicy<'_>) -> Result<Option<Estimator>> {
    Ok(match name {
        "DM" => Some(Estimator::Direct),
        "clipped IPS" => Some(judge.slope(&judge.candidates(|largest| Estimator::Clipped { largest }))?.0),
        "switch-DR" => Some(judge.slope(&judge.candidates(|threshold| Estimator::SwitchDoublyRobust { threshold }))?.0),
        "DRos" => {
            let shrunk = |weight: f64| Estimator::OptimisticDoublyRobust { shrinkage: weight * weight };
            Some(judge.slope(&judge.candidates(shrunk))?.0)
        }
        _ => None,
    })
}

const BIASED: [&str; 4] = ["DM", "clipped IPS", "switch-DR", "DRos"];

/// Quantiles of each biased estimator over resampled logs. In each resample the model is fitted and the parameter
/// selected anew.
fn refit(kind: &Scenario, log: &[LoggedDecision], rng: &mut ChaCha8Rng) -> Result<Vec<(f64, f64)>> {
    let mut values = vec![Vec::new(); BIASED.len()];
    for _ in 0..REFITS {
        let sample: Vec<_> = (0..log.len()).map(|_| log[rng.random_range(0..log.len())].clone()).collect();
        let targets: Vec<_> = sample.iter().map(|row| kind.probabilities(&row.context)).collect();
        let rounds = kind.model.cross_fit(5, &sample, &targets)?;
        let judge = OffPolicy::new(&rounds)?;
        for (name, values) in BIASED.iter().zip(&mut values) {
            if let Some(estimator) = tuned(name, &judge)? {
                values.push(judge.estimate(estimator)?.value);
            }
        }
    }
    let quantiles = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        let at = |share: f64| values[(share * (values.len() - 1) as f64).round() as usize];
        (at(0.025), at(0.975))
    };
    Ok(values.into_iter().map(quantiles).collect())
}

fn run(kind: &Scenario, logs: usize, seed: u64) -> Result<KindRecord> {
    let (truth, logging) = kind.truth();
    let gain = truth - logging;
    let mut record = KindRecord { name: kind.name.to_owned(), truth, gain, ..KindRecord::default() };
    let settings = EvaluationSettings::default()
        .with_model(Some(kind.model))
        .with_resamples(200)
        .with_reward_range(Some((0.0, 1.0)));
    for number in 0..logs {
        let mut rng = ChaCha8Rng::seed_from_u64(seed + number as u64);
        let log = kind.log(&mut rng);
        let target = Target::new("new", |request| Ok(kind.probabilities(request.context)));
        let table = Evaluation::run(&log, &[target], &settings, &mut rng)?;
        let refitted = if number < REFITTED_LOGS { Some(refit(kind, &log, &mut rng)?) } else { None };
        for row in table.rows.iter().filter(|row| row.policy == "new") {
            let name = row.estimator.split('(').next().unwrap_or_default();
            if !record.rows.iter().any(|(other, _)| other == name) {
                record.rows.push((name.to_owned(), Counts::default()));
            }
            let Some((_, counts)) = record.rows.iter_mut().find(|(other, _)| other == name) else { continue };
            let estimate = row.estimate;
            counts.logs += 1;
            counts.sum += estimate.value;
            counts.squares += estimate.value * estimate.value;
            let half = 1.959_964 * estimate.standard_error;
            counts.would_cover += inside(estimate.value - half, estimate.value + half, truth);
            if estimate.has_interval() {
                counts.stated += 1;
                counts.covered += inside(estimate.low, estimate.high, truth);
            }
            if let Some(interval) = &row.bootstrap {
                counts.bootstrapped += 1;
                counts.bootstrap_covered += u32::from(interval.contains(&truth));
            }
            if let Some(gained) = row.gain.filter(|gain| gain.has_interval()) {
                counts.gain_stated += 1;
                counts.gain_covered += inside(gained.low, gained.high, gain);
            }
            if let (Some(all), Some(position)) = (&refitted, BIASED.iter().position(|other| *other == name)) {
                counts.refitted += 1;
                counts.refit_covered += inside(all[position].0, all[position].1, truth);
            }
            // The ends of the interval only tighten: the last interval covers the truth only if all before it do.
            record.value_sequence += row.sequence.as_ref().map_or(0, |interval| u32::from(interval.contains(&truth)));
            record.gain_sequence +=
                row.gain_sequence.as_ref().map_or(0, |interval| u32::from(interval.contains(&gain)));
        }
        for (name, verdict) in [("fixed", table.verdict("new")), ("anytime", table.anytime_verdict("new"))] {
            if let Some(verdict @ (Verdict::Deploy | Verdict::Reject)) = verdict {
                *record.verdicts.entry(format!("{name}: {verdict}")).or_default() += 1;
            }
        }
    }
    Ok(record)
}

fn share(part: u32, of: u32) -> String {
    if of == 0 { "–".to_owned() } else { format!("{:.3}", f64::from(part) / f64::from(of)) }
}

fn tables(records: &[KindRecord]) -> String {
    let mut out = String::new();
    for record in records {
        let logs = record.rows.first().map_or(0, |(_, counts)| counts.logs);
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            "\n### {}\n\n{logs} logs of {ROUNDS} rounds. Value {:.4}, gain {:.4}.\n\n| estimator | bias × 1000 | \
             deviation × 1000 | stated | coverage | bootstrap | gain | normal, if stated always | refitted bootstrap |\n\
             |---|---|---|---|---|---|---|---|---|",
            record.name, record.truth, record.gain
        );
        for (name, counts) in &record.rows {
            let count = f64::from(counts.logs);
            let mean = counts.sum / count;
            let deviation = ((counts.squares / count - mean * mean) * count / (count - 1.0)).max(0.0).sqrt();
            let _ = writeln!(
                out,
                "| {name} | {:.1} | {:.1} | {} | {} | {} | {} | {} | {} |",
                1e3 * (mean - record.truth),
                1e3 * deviation,
                share(counts.stated, counts.logs),
                share(counts.covered, counts.stated),
                share(counts.bootstrap_covered, counts.bootstrapped),
                share(counts.gain_covered, counts.gain_stated),
                share(counts.would_cover, counts.logs),
                share(counts.refit_covered, counts.refitted),
            );
        }
        let verdict = |name: &str| share(record.verdicts.get(name).copied().unwrap_or(0), logs);
        let _ = writeln!(
            out,
            "\nAnytime-valid intervals cover the value after every round in {} of the logs, the gain in {}. Verdict \
             \"deploy\" in {} (anytime-valid: {}), \"reject\" in {} ({}).",
            share(record.value_sequence, logs),
            share(record.gain_sequence, logs),
            verdict("fixed: deploy"),
            verdict("anytime: deploy"),
            verdict("fixed: reject"),
            verdict("anytime: reject")
        );
    }
    out
}

const START: &str = "<!-- intervals: cargo run --release -p dht-bandits --example interval_coverage -->";
const END: &str = "<!-- end of intervals -->";

/// Record of the results from which the tables are written.
#[derive(Serialize, Deserialize)]
struct Record {
    seed: u64,
    kinds: Vec<KindRecord>,
}

/// With the argument `table`, the tables are written from the saved record, without new measurements.
fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (file, page) = (here.join("../../docs/records/intervals.json"), here.join("docs/estimators.md"));
    let first = std::env::args().nth(1);
    let record: Record = if first.as_deref() == Some("table") {
        serde_json::from_str(&std::fs::read_to_string(&file)?)?
    } else {
        let logs = first.map_or(Ok(1000), |text| text.parse())?;
        let seed = std::env::args().nth(2).map_or(Ok(1_000_000), |text| text.parse())?;
        let kinds = SCENARIOS.iter().map(|kind| run(kind, logs, seed)).collect::<Result<_>>()?;
        let record = Record { seed, kinds };
        std::fs::write(&file, serde_json::to_string_pretty(&record)? + "\n")?;
        record
    };
    let text = std::fs::read_to_string(&page)?;
    let before = text.split(START).next().unwrap_or_default();
    let after = text.split(END).nth(1).ok_or("the page has no marker for the end of the tables")?;
    let tables = tables(&record.kinds);
    std::fs::write(&page, format!("{before}{START}\n{tables}{END}{after}"))?;
    println!("{tables}");
    Ok(())
}
