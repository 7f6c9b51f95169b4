//! Time of `Evaluation::run` over rows and arms, in CPU time of the process.
//!
//! `cargo bench -p dht-bandits --bench evaluate`; one size with `-- ROWS ARMS`; as a smoke test, `-- --test`.

use cpu_time::ProcessTime;
use dht_bandits::{
    ArmId, Result, Ridge, Ucb,
    evaluation::{Evaluation, EvaluationSettings, Target},
    log::LoggedDecision,
    policy::Disjoint,
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// Evaluates a UCB policy with two features on a log of uniform draws, with the default outcome model.
fn evaluate(rows: usize, arms: usize) -> Result<()> {
    let policy = Disjoint::<Ridge, _>::new(2, arms, Ridge::default(), Ucb { alpha: 0.5 })?;
    let row = |number: usize| {
        let arm = ArmId::new((number * 7919 % arms) as u64);
        LoggedDecision::new(vec![1.0, (number % 13) as f64], arm, 1.0 / arms as f64, (number % 2) as f64)
    };
    let log: Vec<_> = (0..rows).map(row).collect();
    let begin = ProcessTime::now();
    let targets = [Target::from_policy("UCB", &policy)];
    let table = Evaluation::run(&log, &targets, &EvaluationSettings::default(), &mut ChaCha8Rng::seed_from_u64(1))?;
    let seconds = begin.elapsed().as_secs_f64();
    assert_eq!(table.rows.len(), 10);
    println!("| {rows} | {arms} | {seconds:.2} | {:.1} |", seconds / (rows * arms) as f64 * 1e9);
    Ok(())
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let numbers: Vec<usize> = arguments.iter().filter_map(|argument| argument.parse().ok()).collect();
    println!("| rows | arms | seconds | ns a row and arm |\n|---|---|---|---|");
    if let [rows, arms] = numbers[..] {
        return evaluate(rows, arms);
    }
    let test = arguments.iter().any(|argument| argument == "--test");
    let sizes: &[usize] = if test { &[100] } else { &[100_000, 300_000, 1_000_000] };
    let logs = sizes.iter().flat_map(|&rows| [10, 30, 100].map(|arms| (rows, arms)));
    logs.into_iter().try_for_each(|(rows, arms)| evaluate(rows, arms))
}
