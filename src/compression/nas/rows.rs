//! Rows of the results table of architecture searches. For each row, an architecture is extracted, distilled and
//! scored: the last three steps of the report on differentiable search for BERT.

use std::collections::BTreeMap;

use dht_nas::{Architecture, NasCost, Part, extract, gradient_scores, magnitude_scores, random_scores};
use dht_transformer::TextClassifier;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::choices::SpaceChoice;
use super::difference::Judged;
use super::plan::NasPlan;
use super::search::{search, step_of};
use crate::compression::bench::{Bench, Trained};
use crate::error::Result;
use crate::experiment::rng;
use crate::record::{JudgedModel, KeptUnits, SearchedArchitecture, Summary};

/// Minimum number of random architectures in a baseline. Each seed has the same number.
const LEAST_DRAWS: u64 = 5;
/// Number of training texts from whose gradients the importance of units is computed.
const GRADIENT_TEXTS: usize = 256;
/// Number of the random stream for bootstrap resamples of score changes.
const RESAMPLED_CHANGES: u64 = 28;
/// Number of the random stream for bootstrap resamples of score differences.
const RESAMPLED: u64 = 29;
/// Number of the first random stream for random architectures. Each architecture has the next stream.
const DRAWN: u64 = 30;
/// Method of a row whose units were selected by a search.
pub(super) const SEARCH: &str = "search";
/// Baseline method: units selected at random.
const RANDOM: &str = "random";
/// Baseline method: units selected by the magnitude of the unpruned student's weights.
const MAGNITUDE: &str = "magnitude";
/// Baseline method: units selected by the gradients of the unpruned student.
const GRADIENT: &str = "gradient";
/// Baseline method: random units, as many in each part of each layer as the search has left. It measures the value of
/// selecting individual units.
const RANDOM_BY_LAYER: &str = "random by layer";

/// Stored result of distilling a student.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct StudentStep {
    pub(super) judged: JudgedModel,
    pub(super) best_step: u64,
    /// Validation score at the best optimiser step.
    pub(super) validation_score: f64,
    /// Predicted classes of the test rows.
    pub(super) labels: Vec<u32>,
}

impl StudentStep {
    fn new(trained: &Trained, judged: JudgedModel, labels: Vec<u32>) -> Self {
        Self { judged, best_step: trained.best_step, validation_score: trained.validation_score, labels }
    }

    /// Creates a function that returns whether a stored result is valid: it has a predicted class for each test row.
    fn fits(bench: &Bench) -> impl Fn(&Self) -> bool {
        let (rows, classes) = (bench.data.test.len(), bench.data.test.labels.len());
        move |stored| stored.labels.len() == rows && stored.labels.iter().all(|label| (*label as usize) < classes)
    }
}

/// Row of the results table, with the classes that its students predict for the test rows.
pub(super) struct Row {
    pub(super) record: SearchedArchitecture,
    labels: Vec<Vec<u32>>,
}

/// Name under which the result of an unpruned student is stored.
pub(super) fn unpruned_step(seed: u64) -> String {
    format!("unpruned.seed-{seed}")
}

/// Name under which the result of a student with a searched or baseline architecture is stored.
pub(super) fn student_step((space, target): (SpaceChoice, f64), method: &str, seed: u64) -> String {
    format!("{space}.{target}.{method}.seed-{seed}")
}

/// Distils the unpruned student, or returns the stored result.
pub(super) fn unpruned(bench: &Bench, seed: u64) -> Result<StudentStep> {
    bench.steps.once_valid(&unpruned_step(seed), StudentStep::fits(bench), |step| {
        let trained = bench.distilled(bench.general()?, step, seed)?;
        trained.model.save(step.model(), Some(&bench.data.tokenizer), &bench.data.train.labels)?;
        let (judged, labels) = bench.judged(&trained)?;
        Ok(StudentStep::new(&trained, judged, labels))
    })
}

/// Architecture of a row, the method that selected it, and the cost of the selection.
struct RowArchitecture<'a> {
    method: String,
    architecture: &'a Architecture,
    reached: f64,
    search_seconds: f64,
}

/// Builder of the rows of the results table.
pub(super) struct Rows<'a> {
    pub(super) bench: &'a Bench,
    pub(super) plan: &'a NasPlan,
    /// Unpruned students, by seed.
    pub(super) unpruned: &'a [StudentStep],
    /// Unpruned student that was distilled with the first seed.
    pub(super) whole: &'a TextClassifier,
}

impl Rows<'_> {
    /// Builds the rows for one search space and target cost: the searched architecture and, if requested, its
    /// baselines.
    pub(super) fn of_cell(
        &self,
        space: SpaceChoice,
        target: f64,
    ) -> Result<(SearchedArchitecture, Vec<SearchedArchitecture>)> {
        let step = search(self.bench, self.plan, space, target)?;
        let chosen = RowArchitecture {
            method: SEARCH.into(),
            architecture: &step.architecture,
            reached: step.reached,
            search_seconds: step.seconds,
        };
        let mut searched = self.row((space, target), &chosen, 0..self.plan.seeds)?;
        let test = &self.bench.data.test;
        let truth: Vec<u32> = test.samples.iter().map(|sample| sample.label).collect();
        let judged = Judged { judge: self.bench.judge, classes: test.labels.len(), truth: &truth };
        let whole: Vec<Vec<u32>> = self.unpruned.iter().map(|student| student.labels.clone()).collect();
        let mut changes = rng(&self.bench.plan.run, RESAMPLED_CHANGES);
        searched.record.change = judged.difference(&searched.labels, &whole, &mut changes)?;
        if !self.plan.beside {
            return Ok((searched.record, Vec::new()));
        }
        // The baselines have the ratio that the search reached. It is increased slightly, so that rounding does not
        // exclude the smallest sizes.
        let settings = self.plan.settings(space, target);
        let cost = NasCost::of_model(self.whole, settings.measure, &settings.space)?;
        let ratio = (step.reached * (1.0 + 1e-9)).min(1.0);
        let draws = LEAST_DRAWS.next_multiple_of(self.plan.seeds);
        let mut beside = vec![
            self.drawn((space, target), RANDOM, draws, |rng| {
                Ok(Architecture::chosen(&cost, &random_scores(&cost, rng), ratio)?)
            })?,
            self.drawn((space, target), RANDOM_BY_LAYER, self.plan.seeds, |rng| {
                Ok((step.architecture.shuffled(rng), step.reached))
            })?,
        ];
        // The texts are evenly spaced, since a file may be sorted.
        let (texts, count) = (self.bench.data.train.len(), self.bench.data.train.len().min(GRADIENT_TEXTS));
        let rows: Vec<usize> = (0..count).map(|at| at * texts / count).collect();
        let scores = |method: &str| match method {
            MAGNITUDE => magnitude_scores(self.whole, &cost),
            _ => gradient_scores(self.whole, &cost, &self.bench.data.train, &rows),
        };
        for method in [MAGNITUDE, GRADIENT] {
            let name = format!("choice.{space}.{target}.{method}");
            let (architecture, reached): (Architecture, f64) =
                self.bench.steps.once(&name, |_| Ok(Architecture::chosen(&cost, &scores(method)?, ratio)?))?;
            let chosen =
                RowArchitecture { method: method.into(), architecture: &architecture, reached, search_seconds: 0.0 };
            beside.push(self.row((space, target), &chosen, 0..self.plan.seeds)?);
        }
        let mut rng = rng(&self.bench.plan.run, RESAMPLED);
        let mut rows = Vec::new();
        for Row { mut record, labels } in beside {
            record.change = judged.difference(&labels, &whole, &mut changes)?;
            record.difference = judged.difference(&searched.labels, &labels, &mut rng)?;
            rows.push(record);
        }
        Ok((searched.record, rows))
    }

    /// Builds the row of a baseline with `count` random architectures. Each is distilled once, with the seeds in turn.
    fn drawn(
        &self,
        search: (SpaceChoice, f64),
        method: &str,
        count: u64,
        draw: impl Fn(&mut ChaCha8Rng) -> Result<(Architecture, f64)>,
    ) -> Result<Row> {
        let mut draws = Vec::new();
        for number in 0..count {
            let (architecture, reached) = draw(&mut rng(&self.bench.plan.run, DRAWN + number))?;
            let method = format!("{}-{number}", method.replace(' ', "-"));
            let chosen = RowArchitecture { method, architecture: &architecture, reached, search_seconds: 0.0 };
            let seed = number % self.plan.seeds;
            draws.push(self.row(search, &chosen, seed..seed + 1)?);
        }
        let labels = draws.iter().flat_map(|draw| draw.labels.clone()).collect();
        let draws: Vec<SearchedArchitecture> = draws.into_iter().map(|draw| draw.record).collect();
        let mean = |of: &dyn Fn(&SearchedArchitecture) -> f64| Summary::new(&draws.iter().map(of).collect::<Vec<_>>());
        let score = mean(&|draw| draw.score);
        let record = SearchedArchitecture {
            method: method.into(),
            reached_ratio: mean(&|draw| draw.reached_ratio).mean,
            score: score.mean,
            score_sd: score.sd,
            accuracy: mean(&|draw| draw.accuracy).mean,
            macro_f1: mean(&|draw| draw.macro_f1).mean,
            unpruned_score: mean(&|draw| draw.unpruned_score).mean,
            seeds: (0..count).collect(),
            best_steps: draws.iter().flat_map(|draw| draw.best_steps.clone()).collect(),
            validation_scores: draws.iter().flat_map(|draw| draw.validation_scores.clone()).collect(),
            flops_ratio: mean(&|draw| draw.flops_ratio).mean,
            wall_ratio: mean(&|draw| draw.wall_ratio).mean,
            parameters_ratio: mean(&|draw| draw.parameters_ratio).mean,
            train_seconds: mean(&|draw| draw.train_seconds).mean,
            kept: Vec::new(),
            ..draws[0].clone()
        };
        Ok(Row { record, labels })
    }

    /// Builds the row of one architecture, which is extracted and distilled once for each seed.
    fn row(
        &self,
        (space, target): (SpaceChoice, f64),
        chosen: &RowArchitecture<'_>,
        seeds: std::ops::Range<u64>,
    ) -> Result<Row> {
        let mut students = Vec::new();
        for seed in seeds.clone() {
            students.push(self.student((space, target), chosen, seed)?);
        }
        let of = |of: &dyn Fn(&JudgedModel) -> f64| {
            Summary::new(&students.iter().map(|student| of(&student.judged)).collect::<Vec<_>>())
        };
        let unpruned: Vec<f64> =
            self.unpruned[seeds.start as usize..seeds.end as usize].iter().map(|it| it.judged.score).collect();
        let (score, first, whole) = (of(&|judged| judged.score), &students[0].judged, &self.unpruned[0].judged);
        let record = SearchedArchitecture {
            space: space.to_string(),
            method: chosen.method.clone(),
            target_ratio: target,
            reached_ratio: chosen.reached,
            score: score.mean,
            score_sd: score.sd,
            accuracy: of(&|judged| judged.accuracy).mean,
            macro_f1: of(&|judged| judged.macro_f1).mean,
            unpruned_score: Summary::new(&unpruned).mean,
            seeds: seeds.collect(),
            best_steps: students.iter().map(|student| student.best_step).collect(),
            validation_scores: students.iter().map(|student| student.validation_score).collect(),
            flops_ratio: first.flops as f64 / whole.flops as f64,
            wall_ratio: of(&|judged| judged.wall_ratio).mean,
            parameters_ratio: first.size.parameters as f64 / whole.size.parameters as f64,
            search_seconds: chosen.search_seconds,
            train_seconds: first.train_seconds,
            kept: remaining_units(chosen.architecture, space),
            difference: None,
            change: None,
        };
        Ok(Row { record, labels: students.into_iter().map(|student| student.labels).collect() })
    }

    fn student(
        &self,
        (space, target): (SpaceChoice, f64),
        chosen: &RowArchitecture<'_>,
        seed: u64,
    ) -> Result<StudentStep> {
        let bench = self.bench;
        let name = student_step((space, target), &chosen.method, seed);
        bench.steps.once_valid(&name, StudentStep::fits(bench), |step| {
            // As in the report, the architecture is extracted from the general student. With `carry`, distillation
            // continues from the searched weights.
            let student = match (self.plan.carry, chosen.method == SEARCH) {
                (false, _) => extract(&bench.general()?, chosen.architecture)?,
                (true, true) => TextClassifier::load(bench.steps.model(&step_of(space, target)), &bench.device)?,
                (true, false) => extract(self.whole, chosen.architecture)?,
            };
            let trained = bench.distilled(student, step, seed)?;
            if chosen.method == SEARCH {
                trained.model.save(step.model(), Some(&bench.data.tokenizer), &bench.data.train.labels)?;
            }
            let (mut judged, labels) = bench.judged(&trained)?;
            judged.wall_ratio = bench.wall_ratios([self.whole, &trained.model])?[1];
            Ok(StudentStep::new(&trained, judged, labels))
        })
    }
}

/// Lists the units that remain in each layer, for the parts of the student that were searched.
fn remaining_units(architecture: &Architecture, space: SpaceChoice) -> Vec<KeptUnits> {
    let searched = |part: &Part| match part {
        Part::QueryInputs | Part::KeyInputs | Part::ValueInputs => space.0.inputs,
        Part::QueryKeyOutputs | Part::ValueOutputs => space.0.outputs,
        Part::Neurons => space.0.neurons,
        Part::Heads => space.0.heads,
    };
    let of_layer = |layer: usize| {
        let share = |part: Part| {
            let (remaining, all) = architecture.count(layer, part);
            (part.name().to_owned(), remaining as f64 / all.max(1) as f64)
        };
        let shares: BTreeMap<String, f64> = Part::ALL.into_iter().filter(searched).map(share).collect();
        KeptUnits { shares, heads: architecture.kept(layer, Part::Heads) }
    };
    (0..architecture.layers()).map(of_layer).collect()
}
