//! Example `nas`: runs architecture searches, and writes results, figures and a table.

use std::path::Path;

use dht_cli::report;
use dht_nas::Latency;
use dht_transformer::TextClassifier;
use dht_transformer::storage::write_atomically;

use super::arguments::NasArguments;
use super::choices::{CostChoice, SearchSettingsChoice, SpaceChoice};
use super::plan::NasPlan;
use super::rows::{Rows, SEARCH, StudentStep, student_step, unpruned, unpruned_step};
use crate::compression::arguments::CompressionPlan;
use crate::compression::bench::Bench;
use crate::compression::limits::elsewhere;
use crate::compression::steps::Output;
use crate::error::Result;
use crate::experiment::{print, rng};
use crate::figures::kept_units_figure;
use crate::record::{ArchitectureSearchRecord, ArchitectureSearches, JudgedModel, Record, Summary, this_machine};
use crate::tables::architecture_search_text;

/// Number of the random stream for the weights of the model copies whose predictions are timed.
const TIMED_COPIES: u64 = 24;
const TIMED_TEXTS: usize = 32;
/// Number of optimiser steps between two evaluations in the report on differentiable search for BERT. It is inferred:
/// the best steps that the report prints, counted from 0, are all one less than a multiple of it.
const REPORTED_STEPS: usize = 50;
/// Minimum number of training rows for a search that alternates between weights and gates.
const ALTERNATING_ROWS: usize = 2;

/// Runs the example `nas`: architecture searches for all requested search spaces and target costs. The result file is
/// updated after each search.
///
/// # Errors
/// Errors of the flags, the data, the teacher and the output directory: [`Error::OtherSteps`](crate::Error::OtherSteps)
/// if the directory has stored results of another command.
pub fn nas(arguments: &NasArguments) -> Result<ArchitectureSearchRecord> {
    let mut common = CompressionPlan::new(&arguments.common)?;
    if arguments.settings == SearchSettingsChoice::Report {
        common = common.evaluated_by_default(REPORTED_STEPS);
    }
    let plan = NasPlan::new(arguments, &common)?;
    elsewhere("out", &arguments.out, &common.run)?;
    let is_record = |path: &Path| ArchitectureSearchRecord::load(path).is_ok();
    let figures: Vec<String> = plan.searches.iter().map(|(space, target)| figure_of(*space, *target)).collect();
    Output { out: &arguments.out, record: common.record.as_deref(), is_record, figures: &figures }.check()?;
    let least = if arguments.alternating { ALTERNATING_ROWS } else { 1 };
    let bench = Bench::open(common, &arguments.out, &plan.steps, least)?;
    let plan = match arguments.cost {
        CostChoice::Latency => {
            let latency = latency(&bench)?;
            if !bench.plan.run.quiet {
                let wrong = 100.0 * latency.error;
                report(&format!("seconds of narrower copies are fitted with a mean error of {wrong:.1} %"));
            }
            plan.with_latency(latency)?
        }
        _ => plan,
    };
    let mut whole = Vec::new();
    for seed in 0..plan.seeds {
        whole.push(unpruned(&bench, seed)?);
    }
    let student = TextClassifier::load(bench.steps.model(&unpruned_step(0)), &bench.device)?;
    let ratios = bench.steps.once("clock", |_| bench.wall_ratios([&bench.teacher, &student]))?;
    let mut settings = bench.settings();
    settings.insert("search_epochs".into(), plan.search_epochs.into());
    for (space, target) in plan.searches.iter().take(1) {
        settings.insert("search".into(), serde_json::to_value(plan.settings(*space, *target)).unwrap_or_default());
    }
    let mut record = Record::new(
        plan.command.clone(),
        bench.data.record.clone(),
        ArchitectureSearches {
            metric: bench.judge.name().into(),
            majority_score: bench.judge.best_constant(&bench.data.test)?,
            teacher: bench.judged_teacher,
            unpruned: over_seeds(&whole, ratios[1]),
            searches: Vec::new(),
            beside: Vec::new(),
        },
        settings,
        this_machine(&bench.device),
    );
    let rows = Rows { bench: &bench, plan: &plan, unpruned: &whole, whole: &student };
    for (space, target) in &plan.searches {
        let (searched, beside) = rows.of_cell(*space, *target)?;
        let figure = bench.steps.out().join(figure_of(*space, *target));
        let svg = kept_units_figure(&searched, record.measure())?;
        write_atomically(&figure, |file| file.write_all(svg.as_bytes()))?;
        record.searches.push(searched);
        record.beside.extend(beside);
        for path in std::iter::once(bench.steps.record()).chain(bench.plan.record.clone()) {
            record.save(path)?;
        }
    }
    print(std::io::stdout(), &architecture_search_text(&record))?;
    let model = bench.steps.model(&student_step(plan.searches[0], SEARCH, 0));
    if !bench.plan.run.quiet && model.is_dir() {
        report(&format!("models that were found: a directory each, as {}", model.display()));
    }
    Ok(record)
}

/// File name of the figure of one search, by search space and target cost.
fn figure_of(space: SpaceChoice, target: f64) -> String {
    format!("kept.{space}.{target}.svg")
}

/// Measures the prediction time of the general student as a function of its layer sizes. A run measures it once.
fn latency(bench: &Bench) -> Result<Latency> {
    bench.steps.once("latency", |_| {
        let (rng, tokens) = (&mut rng(&bench.plan.run, TIMED_COPIES), bench.plan.run.max_length);
        Ok(Latency::measure(&bench.general()?, TIMED_TEXTS, tokens, rng)?)
    })
}

/// Averages the test scores of unpruned students that were distilled with different seeds.
fn over_seeds(students: &[StudentStep], wall_ratio: f64) -> JudgedModel {
    let of = |of: &dyn Fn(&JudgedModel) -> f64| {
        Summary::new(&students.iter().map(|student| of(&student.judged)).collect::<Vec<_>>())
    };
    let score = of(&|judged| judged.score);
    JudgedModel {
        score: score.mean,
        score_sd: score.sd,
        accuracy: of(&|judged| judged.accuracy).mean,
        macro_f1: of(&|judged| judged.macro_f1).mean,
        wall_ratio,
        ..students[0].judged
    }
}
