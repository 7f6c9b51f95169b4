//! Run of a reproduction: training runs in sequence, and the result file.

use std::collections::BTreeMap;
use std::process::Command;

use dht_cli::{RunDir, report};
use dht_transformer::EncodedDataset;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::arguments::{ReproductionArguments, ReproductionPlan};
use super::at_costs::{SeedCandidates, at_costs};
use super::files::{SeedRow, UnitResult};
use super::identity::{hash, settings};
use super::promises::promises;
use super::summary::{Pair, summary};
use super::units::Unit;
use super::worker::Worker;
use crate::error::{Error, Result};
use crate::experiment::{RunData, encoder, model_record, print};
use crate::record::{Record, Reproduction, ReproductionRecord, RowRecord, this_machine};
use crate::report::write_reproduction;
use crate::tables::reproduction_text;

/// Prefix of the line on standard error in which a child process states why it failed. The last such line counts.
const ERROR: &str = "error: ";
/// Name of the result file in the output directory.
const RECORD: &str = "record.json";

/// Environment variable that selects what a child process runs: the name of the unit (method) and the seed, such as
/// `truncation-3 0`.
const UNIT: &str = "DHT_REPRODUCE_UNIT";

/// Runs a reproduction. Each training run is a child process of the same program.
///
/// # Errors
/// [`Error::Argument`] for flags out of range and unknown names of rows; errors of the data and the output directory;
/// [`Error::FailedRows`] if training runs failed, after everything else has run and is written.
pub fn reproduce(arguments: &ReproductionArguments) -> Result<()> {
    let plan = ReproductionPlan::new(arguments)?;
    let Ok(own) = std::env::var(UNIT) else { return run(&plan) };
    let bad = || Error::Argument { flag: "unit", expected: "a name and a seed".into(), got: own.clone() };
    let (name, seed) = own.split_once(' ').ok_or_else(bad)?;
    let (unit, seed) = (plan.units.named(name)?, seed.parse().map_err(|_| bad())?);
    let worker = Worker::new(&plan, unit, seed)?;
    worker.run(hash(&plan, unit, seed, &worker.data)?)
}

/// Runs all unfinished training runs. After each, updates the result file with tables, figures and report.
fn run(plan: &ReproductionPlan) -> Result<()> {
    let _locked = RunDir::open(plan.out())?;
    let earlier = plan.out().join(RECORD);
    if earlier.exists() && ReproductionRecord::load(&earlier).is_err() {
        return Err(Error::ForeignFile { path: earlier });
    }
    let data = (0..plan.seeds)
        .map(|seed| RunData::load(&plan.training(Unit::Full, seed)))
        .collect::<Result<Vec<RunData>>>()?;
    if !plan.quiet {
        report(&data[0].record.summary());
    }
    let (mut results, mut rows) = (UnitResults::default(), Vec::new());
    for unit in &plan.units.units {
        for seed in 0..plan.units.seeds(*unit, plan.seeds) {
            let (place, hash) = (plan.place(*unit, seed), hash(plan, *unit, seed, &data[seed as usize])?);
            let outcome = match UnitResult::load(&place, &hash) {
                Some(result) => Ok(result),
                None => match results.missing(*unit, seed, plan.run.layers()?) {
                    Some(needed) => Err(format!("{needed} failed")),
                    None => child(plan, *unit, seed)
                        .and_then(|()| UnitResult::load(&place, &hash).ok_or_else(|| "it left no result".into())),
                },
            };
            if let Err(reason) = &outcome {
                report(&format!("{unit}, seed {seed}: failed: {reason}"));
            }
            results.add(*unit, seed, outcome);
        }
        rows.extend(rows_of(*unit, plan, &data[0].test, &results)?);
        write_reproduction(&record(plan, &data[0], rows.clone())?, plan.out())?;
    }
    let mut record = record(plan, &data[0], rows)?;
    if plan.units.units.contains(&Unit::Accelerated) {
        let of_seed = |(seed, data)| SeedCandidates::new(&Worker::with_data(plan, Unit::Full, seed, data)?);
        let seeds = (0..).zip(data).map(of_seed).collect::<Result<Vec<_>>>()?;
        record.at_costs = at_costs(&seeds, &mut ChaCha8Rng::seed_from_u64(0))?;
        record.promises = promises(&seeds, &mut ChaCha8Rng::seed_from_u64(1))?;
    }
    write_reproduction(&record, plan.out())?;
    let text = format!("{}\nrecord, figures and report: {}", reproduction_text(&record), plan.out().display());
    print(std::io::stdout(), &text)?;
    match results.failures() {
        0 => Ok(()),
        count => Err(Error::FailedRows { count }),
    }
}

/// Runs a unit (method) with a seed in a child process.
fn child(plan: &ReproductionPlan, unit: Unit, seed: u64) -> Result<(), String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new(program);
    command.args(std::env::args_os().skip(1)).env(UNIT, format!("{unit} {seed}"));
    let place = plan.place(unit, seed);
    std::fs::create_dir_all(&place).map_err(|error| error.to_string())?;
    let log = place.join("log");
    let file = std::fs::File::create(&log).map_err(|error| error.to_string())?;
    if !plan.quiet {
        report(&format!("{unit}, seed {seed}"));
    }
    let status = command.stderr(file).status().map_err(|error| error.to_string())?;
    if status.success() {
        return Ok(());
    }
    let text = std::fs::read_to_string(&log).unwrap_or_default();
    let error = text.lines().rev().find_map(|line| line.strip_prefix(ERROR));
    // A panic or an abort has no line with this prefix, so the last non-empty line is used as the reason.
    let last = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no message");
    Err(error.map_or_else(|| format!("{status}: {last}"), str::to_owned))
}

/// Results of the training runs so far, and reasons of failures.
#[derive(Default)]
struct UnitResults {
    results: Vec<(Unit, u64, Result<UnitResult, String>)>,
}

impl UnitResults {
    fn add(&mut self, unit: Unit, seed: u64, outcome: Result<UnitResult, String>) {
        self.results.push((unit, seed, outcome));
    }

    fn result(&self, unit: Unit, seed: u64) -> Option<&UnitResult> {
        let result = self.results.iter().find(|(own, of, _)| (*own, *of) == (unit, seed));
        result.and_then(|(_, _, outcome)| outcome.as_ref().ok())
    }

    /// Number of failed training runs.
    fn failures(&self) -> usize {
        self.results.iter().filter(|(_, _, outcome)| outcome.is_err()).count()
    }

    /// First failed unit (method) among those that this unit requires; `None` if none failed.
    fn missing(&self, unit: Unit, seed: u64, layers: usize) -> Option<Unit> {
        unit.needs(layers).into_iter().find(|needed| self.result(*needed, seed).is_none())
    }
}

/// Creates the result file from the result rows so far.
fn record(plan: &ReproductionPlan, data: &RunData, rows: Vec<RowRecord>) -> Result<ReproductionRecord> {
    let device = plan.run.device.open_in(plan.run.precision)?;
    let encoder = encoder(&plan.run, data, &device)?;
    Ok(Record::new(
        std::iter::once("reproduce".into()).chain(plan.flags.iter().cloned()).collect(),
        data.record.clone(),
        Reproduction {
            model: model_record(&encoder, data.train.labels.len()),
            rows,
            at_costs: None,
            promises: Vec::new(),
        },
        settings(plan, Unit::Full),
        this_machine(&device),
    ))
}

/// Result rows of a unit (method), summarised over all seeds.
fn rows_of(unit: Unit, plan: &ReproductionPlan, test: &EncodedDataset, units: &UnitResults) -> Result<Vec<RowRecord>> {
    let outcomes = units.results.iter().filter(|(own, _, _)| *own == unit);
    let mut failed = BTreeMap::new();
    let mut results = Vec::new();
    for (_, seed, outcome) in outcomes {
        match (outcome, units.result(unit.reference(), *seed)) {
            (Ok(result), Some(full)) => results.push((*seed, result, full)),
            (Ok(_), None) => drop(failed.insert(*seed, format!("{} failed", unit.reference()))),
            (Err(reason), _) => drop(failed.insert(*seed, reason.clone())),
        }
    }
    let truth: Vec<u32> = test.samples.iter().map(|sample| sample.label).collect();
    let classes = test.labels.len();
    let Some((_, first, _)) = results.first() else {
        let row = RowRecord {
            method: unit.to_string(),
            group: unit.group(),
            epochs: unit.epochs(plan.run.epochs),
            failed,
            ..RowRecord::default()
        };
        return Ok(if row.failed.is_empty() { Vec::new() } else { vec![row] });
    };
    let mut rows = Vec::new();
    for named in &first.rows {
        let same = |row: &&SeedRow| (&row.method, &row.setting) == (&named.method, &named.setting);
        let pairs: Vec<Pair<'_>> = results
            .iter()
            .filter_map(|(seed, result, full)| {
                Some(Pair { seed: *seed, row: result.rows.iter().find(same)?, full: full.rows.first()? })
            })
            .collect();
        rows.push(summary(&pairs, &truth, classes, failed.clone(), &mut ChaCha8Rng::seed_from_u64(0))?);
    }
    Ok(rows)
}
