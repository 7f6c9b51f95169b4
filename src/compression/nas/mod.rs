//! The report's five steps, for several spaces and targets, and its table.

mod arguments;
mod difference;
mod rows;
mod search;

use dht_search::nas::Latency;
use dht_transformer::TextClassifier;
use dht_transformer::storage::write_atomically;

use super::arguments::CompressionPlan;
use super::bench::Bench;
use crate::error::Result;
use crate::experiment::{print, rng};
use crate::figures::kept_units_figure;
use crate::record::{ArchitectureSearchRecord, JudgedModel, Summary, this_machine};
use crate::tables::architecture_search_text;
use arguments::NasPlan;
use rows::{Rows, StudentStep, unpruned, unpruned_step};

pub use arguments::{CostChoice, NasArguments, RelaxationChoice, SearchSettingsChoice, SpaceChoice};

const RECORD: &str = "record.json";
/// The stream of random numbers of the copies that are timed.
const TIMED_COPIES: u64 = 24;
const TIMED_TEXTS: usize = 32;
/// Rows that alternating needs: one trains weights, one gates.
const ALTERNATING_ROWS: usize = 2;

/// Runs what these flags ask for; the record is written anew after each search.
///
/// # Errors
/// All errors of the flags, the data, the teacher and the output directory: [`Error::OtherSteps`](crate::Error::OtherSteps) where it
/// has the steps of another command.
pub fn nas(arguments: &NasArguments) -> Result<ArchitectureSearchRecord> {
    let common = CompressionPlan::new(&arguments.common)?;
    let plan = NasPlan::new(arguments, &common)?;
    let least = if arguments.alternating { ALTERNATING_ROWS } else { 1 };
    let bench = Bench::open(common, &arguments.out, &plan.steps, least)?;
    let plan = match arguments.cost {
        CostChoice::Latency => plan.with_latency(latency(&bench)?)?,
        _ => plan,
    };
    let mut whole = Vec::new();
    for seed in 0..plan.seeds {
        whole.push(unpruned(&bench, seed)?);
    }
    let student = TextClassifier::load(bench.steps.model(&unpruned_step(0)), &bench.device)?;
    let ratios = bench.steps.once("clock", |_| bench.wall_ratios(&[&bench.teacher, &student]))?;
    let mut settings = bench.settings();
    settings.insert("search_epochs".into(), plan.search_epochs.into());
    for (space, target) in plan.searches.iter().take(1) {
        settings.insert("search".into(), serde_json::to_value(plan.settings(*space, *target)).unwrap_or_default());
    }
    let mut record = ArchitectureSearchRecord {
        schema: ArchitectureSearchRecord::SCHEMA,
        command: plan.command.clone(),
        data: bench.data.record.clone(),
        metric: bench.judge.name().into(),
        majority_score: bench.judge.best_constant(&bench.data.test)?,
        teacher: bench.judged_teacher,
        unpruned: over_seeds(&whole, ratios[1]),
        searches: Vec::new(),
        beside: Vec::new(),
        settings,
        machine: this_machine(&bench.device),
    };
    let rows = Rows { bench: &bench, plan: &plan, unpruned: &whole, whole: &student };
    for (space, target) in &plan.searches {
        let (searched, beside) = rows.of(*space, *target)?;
        let figure = bench.steps.out().join(format!("kept.{space}.{target}.svg"));
        let svg = kept_units_figure(&searched)?;
        write_atomically(&figure, |file| file.write_all(svg.as_bytes()))?;
        record.searches.push(searched);
        record.beside.extend(beside);
        for path in std::iter::once(bench.steps.out().join(RECORD)).chain(bench.plan.record.clone()) {
            record.save(path)?;
        }
    }
    print(std::io::stdout(), &architecture_search_text(&record))?;
    Ok(record)
}

/// The seconds of the general student's parts, measured once a run.
fn latency(bench: &Bench) -> Result<Latency> {
    bench.steps.once("latency", |_| {
        let texts = (TIMED_TEXTS, bench.plan.run.max_length);
        Ok(Latency::measure(&bench.general()?, texts, &mut rng(&bench.plan.run, TIMED_COPIES))?)
    })
}

/// The unpruned student; scores are means over seeds.
fn over_seeds(students: &[StudentStep], wall_ratio: f64) -> JudgedModel {
    let of = |of: &dyn Fn(&JudgedModel) -> f64| {
        Summary::of(&students.iter().map(|student| of(&student.judged)).collect::<Vec<_>>())
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
