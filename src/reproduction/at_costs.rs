//! Accuracy of each kind of model at fixed inference costs. A model runs with the confidence threshold whose cost on
//! validation rows is highest without exceeding the limit.

use dht_dynamic::evaluation::{Staged, Stages};
use dht_transformer::train::metrics::Confusion;
use rand::Rng;

use super::candidates::{Candidate, ModelKind, candidates, labels};
use super::files::DataSplit;
use super::options::SPEED_COSTS;
use super::units::Unit;
use super::worker::Worker;
use crate::error::Result;
use crate::record::{AtCosts, CellAtCost, Comparison, Difference, Encoders, Interval, KindAtCosts, Summary, packed};

/// Relative tolerance of a cost limit. For example, half of the layers count as half of the full model, although the
/// classifier adds to their cost.
const TOLERANCE: f64 = 1e-3;

/// Candidate models of one seed, with the labels for scoring.
pub(super) struct SeedCandidates {
    seed: u64,
    pub(super) candidates: Vec<Candidate>,
    validation_labels: Vec<u32>,
    pub(super) test_labels: Vec<u32>,
    classes: usize,
    /// FLOPs of the full model for the validation rows and for the test rows.
    pub(super) full_flops: [u64; 2],
    /// Class that the full model predicts for each test row.
    pub(super) full_labels: Vec<u32>,
    full: Vec<f64>,
}

/// Confidence threshold that a model uses at one inference cost, with its accuracy on validation rows.
pub(super) struct AtCost {
    pub(super) validation_accuracy: f64,
    threshold: f64,
}

impl SeedCandidates {
    pub(super) fn new(worker: &Worker<'_>) -> Result<Self> {
        let test_labels = labels(&worker.data.test);
        let full = worker.result_of(Unit::Full).unwrap_or_default();
        let full_labels = full.rows.into_iter().next().map_or(Vec::new(), |row| row.labels);
        Ok(Self {
            seed: worker.seed,
            candidates: candidates(worker)?,
            validation_labels: labels(&worker.data.validation),
            classes: worker.classes(),
            full_flops: [DataSplit::Validation, DataSplit::Test].map(|part| worker.full_flops(part)),
            full: right(&full_labels, &test_labels),
            full_labels,
            test_labels,
        })
    }

    /// Selects the threshold of a model: the one of highest cost within a share `cost` of the full model's FLOPs, on
    /// validation rows. `None` if all thresholds cost more.
    pub(super) fn at(&self, candidate: &Candidate, cost: f64) -> Option<AtCost> {
        let threshold = threshold_within(&candidate.validation, cost, self.full_flops[0])?;
        let right = right(&candidate.validation.at(threshold).labels, &self.validation_labels);
        Some(AtCost { validation_accuracy: mean(&right), threshold })
    }

    fn named(&self, kind: ModelKind, setting: &str) -> Option<&Candidate> {
        self.candidates.iter().find(|own| own.kind == kind && own.setting == setting)
    }
}

/// Threshold of highest cost within a share `cost` of the full model's FLOPs; `None` if all thresholds cost more.
pub(super) fn threshold_within(stages: &Stages, cost: f64, full_flops: u64) -> Option<f64> {
    stages.within(cost * (1.0 + TOLERANCE) * full_flops as f64, &stages.thresholds(usize::MAX))
}

fn right(predictions: &[u32], labels: &[u32]) -> Vec<f64> {
    predictions.iter().zip(labels).map(|(prediction, label)| f64::from(u8::from(prediction == label))).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// Model that runs within one inference cost, with its results for each seed.
struct SelectedModel {
    kind: ModelKind,
    setting: String,
    /// Accuracy on validation rows, averaged over seeds.
    validation_accuracy: f64,
    test_accuracy: f64,
    seeds: Vec<u64>,
    /// Test predictions and their cost, by seed.
    test: Vec<Staged>,
    /// Correctness of each test prediction, by seed.
    right: Vec<Vec<f64>>,
}

impl SelectedModel {
    fn new(seeds: &[SeedCandidates], kind: ModelKind, setting: &str, cost: f64) -> Option<Self> {
        let (mut validation, mut own, mut test, mut rights) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for seed in seeds {
            let Some(candidate) = seed.named(kind, setting) else { continue };
            let at = seed.at(candidate, cost)?;
            let staged = candidate.test.at(at.threshold);
            validation.push(at.validation_accuracy);
            own.push(seed.seed);
            rights.push(right(&staged.labels, &seed.test_labels));
            test.push(staged);
        }
        (!own.is_empty()).then(|| Self {
            kind,
            setting: setting.into(),
            validation_accuracy: mean(&validation),
            test_accuracy: mean(&rights.iter().map(|right| mean(right)).collect::<Vec<_>>()),
            seeds: own,
            test,
            right: rights,
        })
    }

    /// Returns this model at another cost limit: for each seed, the cost of `other` on the test rows. If its lowest
    /// cost is higher, it runs at its lowest cost. Costs do not depend on labels, so that the test labels are not used.
    fn at_the_cost_of(&self, other: &Self, seeds: &[SeedCandidates]) -> Self {
        let (mut test, mut rights) = (Vec::new(), Vec::new());
        for own in &self.seeds {
            let seed = seeds.iter().find(|seed| seed.seed == *own);
            let candidate = seed.and_then(|seed| Some((seed, seed.named(self.kind, &self.setting)?)));
            let most = other.seeds.iter().position(|seed| seed == own).map(|at| other.test[at].flops as f64);
            let (Some((seed, candidate)), Some(most)) = (candidate, most) else { continue };
            let stages = &candidate.test;
            let staged = stages.at(stages.within(most, &stages.thresholds(usize::MAX)).unwrap_or(1.0));
            rights.push(right(&staged.labels, &seed.test_labels));
            test.push(staged);
        }
        Self { setting: self.setting.clone(), seeds: self.seeds.clone(), test, right: rights, ..*self }
    }

    /// FLOPs for the test rows divided by the full model's, averaged over seeds.
    fn flops_ratio(&self, seeds: &[SeedCandidates]) -> f64 {
        let ratio = |(own, staged): (&u64, &Staged)| {
            let seed = seeds.iter().find(|seed| seed.seed == *own)?;
            Some(staged.flops as f64 / seed.full_flops[1] as f64)
        };
        mean(&self.seeds.iter().zip(&self.test).filter_map(ratio).collect::<Vec<_>>())
    }

    fn name(&self) -> String {
        if self.setting.is_empty() { self.kind.name().into() } else { format!("{} {}", self.kind.name(), self.setting) }
    }
}

/// All models that can run within a cost limit.
fn all_at(seeds: &[SeedCandidates], cost: f64) -> Vec<SelectedModel> {
    let mut names: Vec<(ModelKind, &str)> = Vec::new();
    for candidate in seeds.iter().flat_map(|seed| &seed.candidates) {
        let name = (candidate.kind, candidate.setting.as_str());
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.into_iter().filter_map(|(kind, setting)| SelectedModel::new(seeds, kind, setting, cost)).collect()
}

/// Model with the highest `value`; the first of several equal models.
fn best<'a>(
    models: impl Iterator<Item = &'a SelectedModel>,
    value: fn(&SelectedModel) -> f64,
) -> Option<&'a SelectedModel> {
    models.reduce(|best, model| if value(model) > value(best) { model } else { best })
}

/// Accuracies of all kinds of models at fixed costs; `None` if the accelerated model has not run.
pub(super) fn at_costs<R: Rng + ?Sized>(seeds: &[SeedCandidates], rng: &mut R) -> Result<Option<AtCosts>> {
    let by_cost: Vec<Vec<SelectedModel>> = SPEED_COSTS.into_iter().map(|cost| all_at(seeds, cost)).collect();
    let mut rows = Vec::new();
    for kind in ModelKind::ALL {
        // Settings with fewer seeds than others of the same kind are left out.
        let of_kind = |all: &'_ [SelectedModel]| {
            all.iter().filter(|model| model.kind == kind).map(|model| model.seeds.len()).max()
        };
        let Some(most) = by_cost.iter().filter_map(|all| of_kind(all)).max() else { continue };
        let mut cells = Vec::new();
        let mut own = Vec::new();
        for (cost, all) in SPEED_COSTS.into_iter().zip(&by_cost) {
            let models = all.iter().filter(|model| model.kind == kind && model.seeds.len() == most);
            let chosen = best(models, |model| model.validation_accuracy);
            own = chosen.map_or(own, |chosen| chosen.seeds.clone());
            cells.extend(chosen.map(|chosen| cell(seeds, chosen, cost)).transpose()?);
        }
        rows.push(KindAtCosts { kind: kind.name().into(), encoders: kind.encoders(), seeds: own, cells });
    }
    let ours = |all: &'_ [SelectedModel]| all.iter().position(|model| model.kind == ModelKind::Accelerated);
    let against = |pair: &dyn Fn(&SelectedModel, &[SelectedModel]) -> Option<Pair>| -> Vec<Option<Pair>> {
        by_cost.iter().map(|all| pair(&all[ours(all)?], all)).collect()
    };
    let comparisons: Vec<Comparison> = [
        (
            "the best with one encoder",
            against(&|ours, all| Pair::with_best(ours, all, &[Encoders::None, Encoders::One], seeds)),
        ),
        ("the best with two encoders", against(&|ours, all| Pair::with_best(ours, all, &[Encoders::Two], seeds))),
        ("the full model", against(&|ours, _| Some(Pair::with_full(ours, seeds)))),
        ("its own depths dealt at random", against(&|ours, _| Some(Pair::with_random(ours, seeds)))),
    ]
    .into_iter()
    .filter_map(|(name, pairs)| comparison(name, &pairs, rng))
    .collect();
    Ok((!comparisons.is_empty()).then(|| AtCosts { costs: SPEED_COSTS.into(), rows, comparisons }))
}

fn cell(seeds: &[SeedCandidates], chosen: &SelectedModel, cost: f64) -> Result<CellAtCost> {
    let mut macro_f1 = Vec::new();
    for (own, staged) in chosen.seeds.iter().zip(&chosen.test) {
        let Some(seed) = seeds.iter().find(|seed| seed.seed == *own) else { continue };
        let of = |labels: &[u32]| -> Vec<usize> { labels.iter().map(|label| *label as usize).collect() };
        let confusion = Confusion::from_labels(seed.classes, &of(&seed.test_labels), &of(&staged.labels))?;
        macro_f1.push(confusion.macro_f1());
    }
    let accuracies: Vec<f64> = chosen.right.iter().map(|right| mean(right)).collect();
    Ok(CellAtCost {
        cost,
        setting: chosen.setting.clone(),
        accuracy: Summary::new(&accuracies),
        macro_f1: Summary::new(&macro_f1),
        flops_ratio: chosen.flops_ratio(seeds),
        right: chosen.seeds.iter().copied().zip(chosen.right.iter().map(|right| bits(right))).collect(),
    })
}

/// Packs the correctness of each prediction (1 or 0) into bits.
fn bits(right: &[f64]) -> String {
    packed(&right.iter().map(|right| *right > 0.5).collect::<Vec<_>>())
}

/// Comparison of this project's model with another at one cost.
struct Pair {
    rival: String,
    /// Difference in correctness by seed and test row: 1 if only this project's model is correct, −1 if only the other
    /// model is, otherwise 0.
    differences: Vec<Vec<f64>>,
    best_on_test: f64,
    /// FLOPs for the test rows, divided by the full model's, if the models are compared at the competitor's cost.
    flops_ratio: Option<f64>,
}

impl Pair {
    /// Compares this project's model with the best competitor of the same seeds, at the competitor's cost on the test
    /// rows. (Two models within one limit on validation rows may differ in cost on test rows.)
    fn with_best(
        ours: &SelectedModel,
        all: &[SelectedModel],
        kinds: &[Encoders],
        seeds: &[SeedCandidates],
    ) -> Option<Self> {
        let rivals = || {
            let same = |model: &&SelectedModel| ours.seeds.iter().all(|seed| model.seeds.contains(seed));
            all.iter().filter(|model| kinds.contains(&model.kind.encoders())).filter(same)
        };
        let chosen = best(rivals(), |model| model.validation_accuracy)?;
        let on_test = best(rivals(), |model| model.test_accuracy)?;
        let rows = |model: &SelectedModel, seed: u64| {
            let at = model.seeds.iter().position(|own| *own == seed);
            at.map_or(Vec::new(), |at| model.right[at].clone())
        };
        let new = |model: &SelectedModel| {
            let pair = Self::new(&ours.at_the_cost_of(model, seeds), model.name(), |seed| rows(model, seed));
            Self { flops_ratio: Some(model.flops_ratio(seeds)), ..pair }
        };
        Some(Self { best_on_test: new(on_test).mean(), ..new(chosen) })
    }

    fn with_full(ours: &SelectedModel, seeds: &[SeedCandidates]) -> Self {
        let full = |seed| seeds.iter().find(|own| own.seed == seed).map_or(Vec::new(), |own| own.full.clone());
        Self::new(ours, "full".into(), full)
    }

    /// Compares this project's model with a random assignment of rows to its stages, which keeps the number of rows at
    /// each stage. The result is the expectation over all assignments.
    fn with_random(ours: &SelectedModel, seeds: &[SeedCandidates]) -> Self {
        let random = |seed| {
            let own = seeds.iter().find(|own| own.seed == seed);
            let stages = own.and_then(|own| Some((own, own.named(ours.kind, &ours.setting)?)));
            let staged = ours.seeds.iter().position(|own| *own == seed).map(|at| &ours.test[at]);
            match (stages, staged) {
                (Some((own, model)), Some(staged)) => expected(&model.test, staged, &own.test_labels),
                _ => Vec::new(),
            }
        };
        Self::new(ours, "random".into(), random)
    }

    fn new(ours: &SelectedModel, rival: String, other: impl Fn(u64) -> Vec<f64>) -> Self {
        let of_seed = |(seed, right): (&u64, &Vec<f64>)| {
            right.iter().zip(other(*seed)).map(|(own, other)| own - other).collect::<Vec<f64>>()
        };
        let differences = ours.seeds.iter().zip(&ours.right).map(of_seed).collect();
        let pair = Self { rival, differences, best_on_test: 0.0, flops_ratio: None };
        Self { best_on_test: pair.mean(), ..pair }
    }

    fn mean(&self) -> f64 {
        mean(&self.differences.iter().map(|rows| mean(rows)).collect::<Vec<_>>())
    }
}

/// Probability of a correct answer for each row if its stage is drawn at random, with the stage frequencies of
/// `staged`.
fn expected(stages: &Stages, staged: &Staged, labels: &[u32]) -> Vec<f64> {
    let mut rows = vec![0.0; labels.len()];
    for stage in 0..stages.count() {
        let share = staged.stages.iter().filter(|own| **own == stage).count() as f64 / labels.len().max(1) as f64;
        let at = stages.leaving_at(vec![stage; labels.len()]);
        rows.iter_mut().zip(right(&at.labels, labels)).for_each(|(row, right)| *row += share * right);
    }
    rows
}

/// Compares this project's model with a group of competitors: an interval of the difference for each cost. `None` if no
/// pair of models can be compared.
fn comparison<R: Rng + ?Sized>(against: &str, pairs: &[Option<Pair>], rng: &mut R) -> Option<Comparison> {
    pairs.iter().flatten().next()?;
    let mut difference = |cost: f64, pair: &Pair| Difference {
        cost,
        rival: pair.rival.clone(),
        interval: Interval::of_paired(&pair.differences, rng),
        best_on_test: pair.best_on_test,
        flops_ratio: pair.flops_ratio,
    };
    let of_cost = |(cost, pair): (f64, &Option<Pair>)| Some(difference(cost, pair.as_ref()?));
    let differences = SPEED_COSTS.into_iter().zip(pairs).filter_map(of_cost).collect();
    let within: Vec<&Pair> = SPEED_COSTS
        .iter()
        .zip(pairs)
        .filter(|(cost, _)| Comparison::MEAN_OF.contains(*cost))
        .filter_map(|(_, pair)| pair.as_ref())
        .collect();
    let mean = (!within.is_empty()).then(|| {
        let seeds = 0..within.iter().map(|pair| pair.differences.len()).min().unwrap_or_default();
        let of_seed = |seed: usize| {
            let texts = 0..within[0].differences[seed].len();
            let of_text = |text: usize| within.iter().map(|pair| pair.differences[seed][text]).sum::<f64>();
            texts.map(|text| of_text(text) / within.len() as f64).collect()
        };
        Interval::of_paired(&seeds.map(of_seed).collect::<Vec<Vec<f64>>>(), rng)
    });
    Some(Comparison { against: against.into(), differences, mean })
}

#[cfg(test)]
mod tests;
