//! Goes from a log to a policy in service, and back to a log. An old system showed one of four offers and logged its
//! decisions (examples/data/offers.csv). The example finds the new policy that would have earned the most and puts it
//! into service. The service logs its decisions, even through a crash, and this log shows whether the policy earns what
//! its evaluation promised.
//!
//! cargo run --release -p dht-bandits --features log --example from_log_to_policy

use std::{fs::File, path::Path};

use dht_bandits::{
    ArmId, LinUcb, Policy, Request, Result, Ridge, Ucb,
    evaluation::{Evaluation, EvaluationSettings, OutcomeModel, Replay, Target},
    exploration::EpsilonGreedy,
    log::{CsvRows, DecisionLog, LogReader, LogSettings, LoggedDecision},
    policy::Disjoint,
    simulation::{Environment, GlmEnvironment},
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const RANGE: (f64, f64) = (0.0, 1.0);

/// Exact probability of each arm under the policy.
fn probabilities(policy: &Disjoint<Ridge, EpsilonGreedy>, request: &Request<'_>) -> Result<Vec<(ArmId, f64)>> {
    Ok(policy.propensities(request)?.into_iter().map(|entry| (entry.arm, entry.probability)).collect())
}

/// Simulated environment that produced the log; the policies do not know it.
fn world() -> Result<GlmEnvironment> {
    GlmEnvironment::logistic(3, 4, &mut ChaCha8Rng::seed_from_u64(5))
}

/// Writes the log of the old system, which shows two of the offers more often than the others.
fn record(path: &Path) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let (mut rng, mut world) = (ChaCha8Rng::seed_from_u64(1), world()?);
    let rows = (0..1200).map(|_| {
        world.advance(&mut rng);
        let draw = rng.random_range(0..10);
        let (arm, propensity) = if draw < 8 { (draw % 2, 0.4) } else { (draw - 6, 0.1) };
        let (arm, context) = (ArmId::new(arm), world.context().iter().map(|value| (value * 1e3).round() / 1e3));
        LoggedDecision::new(context.collect(), arm, propensity, world.reward(arm, &mut rng))
    });
    Ok(LoggedDecision::write_csv(File::create(path)?, rows)?)
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data/offers.csv");
    if std::env::args().any(|argument| argument == "record") {
        return record(&path);
    }
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    // 1. Read the log. A bad row would end the program, with its line number.
    let rows: Vec<LoggedDecision> = CsvRows::new(File::open(&path)?, &path)?.collect::<std::result::Result<_, _>>()?;
    let (train, test) = rows.split_at(rows.len() / 2);
    // 2. Learn candidates from one half, and evaluate them on the other.
    let mut candidates = Vec::new();
    for prior_precision in [1.0, 1000.0] {
        let options = Ridge::new(prior_precision);
        let mut policy = Disjoint::new(3, 4, options, EpsilonGreedy::new(0.1))?;
        policy.fit(train)?;
        candidates.push(policy);
    }
    let of = |policy: &Disjoint<Ridge, EpsilonGreedy>| {
        let (name, policy) = (format!("ridge, λ = {}", policy.options().prior_precision), policy.clone());
        Target::new(name, move |request| probabilities(&policy, request))
    };
    let targets: Vec<Target> = candidates.iter().map(of).chain([Target::always(ArmId::new(3))]).collect();
    let model = OutcomeModel::Logistic { prior_precision: 1.0 };
    let settings =
        EvaluationSettings::default().with_model(Some(model)).with_resamples(1000).with_reward_range(Some(RANGE));
    let table = Evaluation::run(test, &targets, &settings, &mut rng)?;
    println!("{}", table.to_markdown());
    // 3. How would a policy learn that starts from nothing? Replay estimates its first rounds.
    let mut beginner = LinUcb::new(3, 4, Ridge::default(), Ucb { alpha: 0.5 })?;
    let replayed = Replay::run(&mut beginner, &rows, Some(0.1), &mut rng)?;
    let (curve, share) = (replayed.learning_curve(3), replayed.acceptance);
    println!("from nothing, by thirds of {:.0} % of the log: {curve:.2?}", 100.0 * share);
    // 4. The policy with the best lower bound goes into service. It does not learn there, so that it can be evaluated.
    let lower = |policy: &Disjoint<Ridge, EpsilonGreedy>| {
        let name = format!("ridge, λ = {}", policy.options().prior_precision);
        table.row(&name, "SNDR").map_or(f64::NEG_INFINITY, |row| row.estimate.low)
    };
    let Some(policy) = candidates.into_iter().max_by(|left, right| lower(left).total_cmp(&lower(right))) else {
        return Ok(());
    };
    println!("\nλ = {} goes into service: at least {:.3} a round", policy.options().prior_precision, lower(&policy));
    // 5. Clicks arrive up to fifty rounds late, and no reward means no click. Halfway through, the process dies.
    let (folder, mut world, mut pending) = (std::env::temp_dir().join("dht-bandits-offers"), world()?, Vec::new());
    // Remove the log of an earlier run that was killed.
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    let settings = LogSettings::default().with_horizon(Some(100.0));
    let mut log = DecisionLog::open(&folder, settings)?;
    for round in 0..2000 {
        if round == 1000 {
            drop(log);
            log = DecisionLog::open(&folder, settings)?;
        }
        world.advance(&mut rng);
        let decision = policy.decide(&Request::new(world.context()), &mut rng)?;
        let all = probabilities(&policy, &Request::new(world.context()))?;
        let id = log.append(&decision, Some(&all), f64::from(round))?;
        if world.reward(decision.arm(), &mut rng) == 1.0 {
            pending.push((round + rng.random_range(0..50), id));
        }
        for (_, id) in pending.extract_if(.., |(due, _)| *due <= round) {
            log.reward(id, 1.0, f64::from(round))?;
        }
    }
    // 6. Evaluate the service from its own log: does it earn what was promised, and is it worth learning from the first
    //   half of the log?
    let mut reader =
        LogReader::open(&folder, LogSettings::default().with_horizon(Some(100.0)).with_default_reward(Some(0.0)))?;
    let (mut served, mut learner) = (Vec::new(), policy.clone());
    for joined in &mut reader {
        let joined = joined?;
        if joined.id < 1000 {
            learner.learn(&joined.decision, joined.reward)?;
        }
        served.push(joined.into_row());
    }
    let counts = reader.counts();
    let earned = served.iter().map(|row| row.reward).sum::<f64>() / served.len() as f64;
    println!("in service: {earned:.3} a round, {} rewarded, {} by default\n", counts.rewarded, counts.defaulted);
    let learned = Target::new("the same, 1,000 rounds later", |request| probabilities(&learner, request));
    let settings = EvaluationSettings::default().with_model(None).with_reward_range(Some(RANGE));
    println!("{}", Evaluation::run(&served[1000..], &[of(&policy), learned], &settings, &mut rng)?.to_markdown());
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}
