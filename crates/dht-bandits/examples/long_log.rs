//! Evaluates a policy on a log of millions of rows in constant memory. Prints time, rows per second and peak memory,
//! for CSV and for a decision log.
//!
//! cargo run --release -p dht-bandits --features log --example long_log -- [ROWS] [FOLDER]

use std::error::Error;
use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::PathBuf;
use std::time::Instant;

use dht_bandits::{
    ArmId, Policy, Request,
    evaluation::{ConfidenceSequence, LoggedRound, RunningEstimates},
    log::{CsvRows, DecisionLog, LogReader, LogSettings, LoggedDecision},
    policy::Uniform,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Peak memory in MiB; NaN if the system does not report it.
fn peak() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").trim().parse::<f64>().ok());
    kilobytes.unwrap_or(f64::NAN) / 1024.0
}

/// Converts a row for a policy that plays arm 1 if the first feature is above one half, else arm 0.
fn judged(row: &LoggedDecision) -> LoggedRound {
    let plays = ArmId::new(u64::from(row.context[0] > 0.5));
    LoggedRound::new(row.reward, row.propensity, if row.arm == plays { 1.0 } else { 0.0 })
}

fn report(what: &str, rows: usize, start: Instant) {
    let seconds = start.elapsed().as_secs_f64();
    println!("| {what} | {rows} | {seconds:.1} | {:.0} | {:.0} |", rows as f64 / seconds, peak());
}

fn print(estimates: &RunningEstimates) -> Result<(), Box<dyn Error>> {
    let (value, sequence) = (estimates.self_normalised()?, estimates.sequence());
    eprintln!("SNIPS {:.4} ± {:.4}, sequence {sequence:?}", value.value, 1.96 * value.standard_error);
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let rows: usize = arguments.next().map_or(Ok(100_000), |text| text.parse())?;
    let folder = arguments.next().map_or_else(|| std::env::temp_dir().join("long_log"), PathBuf::from);
    std::fs::create_dir_all(&folder)?;
    let (path, folder_of_log) = (folder.join("long.csv"), folder.join("decisions"));
    // Removes the log of an earlier run that was killed: a new log would continue its ids and times.
    if folder_of_log.exists() {
        std::fs::remove_dir_all(&folder_of_log)?;
    }
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let policy = Uniform::new(4, 4)?;
    println!("| log | rows | seconds | rows a second | peak memory, MiB |\n|---|---|---|---|---|");

    let start = Instant::now();
    let drawn = (0..rows).map(|_| {
        let context: Vec<f64> = (0..4).map(|_| rng.random()).collect();
        let arm = ArmId::new(rng.random_range(0..4));
        let good = arm.number() == u64::from(context[0] > 0.5);
        let reward = f64::from(u8::from(rng.random::<f64>() < if good { 0.6 } else { 0.4 }));
        LoggedDecision::new(context, arm, 0.25, reward)
    });
    LoggedDecision::write_csv(BufWriter::new(File::create(&path)?), drawn)?;
    report("csv, written", rows, start);

    for sequence in [None, Some(ConfidenceSequence::new((0.0, 1.0), 0.05)?)] {
        let name = if sequence.is_some() { "csv, judged with a sequence" } else { "csv, judged" };
        let (mut estimates, mut row, start) =
            (RunningEstimates::new(sequence), LoggedDecision::default(), Instant::now());
        let mut reader = CsvRows::new(BufReader::new(File::open(&path)?), &path)?;
        while reader.read(&mut row)? {
            estimates.push(&judged(&row))?;
        }
        report(name, rows, start);
        print(&estimates)?;
    }

    let start = Instant::now();
    let settings = LogSettings::default().with_horizon(Some(1000.0));
    let mut log = DecisionLog::open(&folder_of_log, settings)?;
    for round in 0..rows {
        let context: Vec<f64> = (0..4).map(|_| rng.random()).collect();
        let decision = policy.decide(&Request::new(&context), &mut rng)?;
        let id = log.append(&decision, None, round as f64)?;
        // Half of the rewards arrive, a hundred rounds late.
        if id >= 100 && id % 2 == 0 {
            log.reward(id - 100, 1.0, round as f64)?;
        }
    }
    report("decision log, written", rows, start);
    drop(log);
    let start = Instant::now();
    let mut reader = LogReader::open(
        &folder_of_log,
        LogSettings::default().with_horizon(Some(1000.0)).with_default_reward(Some(0.0)),
    )?;
    let mut estimates = RunningEstimates::new(None);
    for joined in &mut reader {
        estimates.push(&judged(&joined?.into_row()))?;
    }
    report("decision log, judged", rows, start);
    print(&estimates)?;
    eprintln!("{:?}", reader.counts());
    // The folder may be the user's, and contain other files.
    std::fs::remove_file(&path)?;
    std::fs::remove_dir_all(&folder_of_log)?;
    Ok(())
}
