//! Test of the accelerated model's risk guarantees: calibration texts are drawn repeatedly from the test texts, and the
//! true risk is compared with the guaranteed limit.

use dht_dynamic::Error as DynamicError;
use dht_dynamic::evaluation::{Calibration, Guarantee, Promise, Risk, Stages};
use rand::{Rng, RngExt};

use super::at_costs::SeedCandidates;
use super::candidates::{Candidate, ModelKind};
use crate::error::Result;
use crate::record::PromiseTrial;

const LIMITS: [f64; 3] = [0.005, 0.01, 0.02];
const ROWS: [usize; 3] = [600, 2_000, 8_000];
const CONFIDENCE: f64 = 0.95;
const DRAWS: usize = 200;
/// Maximum number of candidate thresholds; they are taken from the predictions for validation rows.
const THRESHOLDS: usize = 100;

/// Population of texts on which risk guarantees are tested: all test rows, with the predictions of one seed's
/// accelerated model.
struct World<'a> {
    stages: Stages,
    full: &'a [u32],
    labels: &'a [u32],
    full_flops: f64,
    thresholds: Vec<f64>,
}

impl<'a> World<'a> {
    /// Creates the population. For the risk of disagreement, the full model's answers are those of the last exit.
    fn new(seed: &'a SeedCandidates, candidate: &Candidate, risk: Risk) -> Result<Self> {
        let stages = candidate.test.clone();
        let stages = match risk {
            Risk::Disagreement => stages.with_last_answers(seed.full_labels.clone())?,
            Risk::AccuracyLoss | Risk::Regret => stages,
        };
        Ok(Self {
            stages,
            full: &seed.full_labels,
            labels: &seed.test_labels,
            full_flops: seed.full_flops[1] as f64,
            thresholds: candidate.validation.thresholds(THRESHOLDS),
        })
    }

    /// True risk and cost of a threshold on the whole population.
    fn truth(&self, risk: Risk, threshold: f64) -> (f64, f64) {
        let at = self.stages.at(threshold);
        let share = |labels: &[u32], expected: &[u32]| {
            labels.iter().zip(expected).filter(|(label, expected)| label == expected).count() as f64
                / labels.len() as f64
        };
        let lost = match risk {
            Risk::AccuracyLoss | Risk::Regret => share(self.full, self.labels) - share(&at.labels, self.labels),
            Risk::Disagreement => 1.0 - share(&at.labels, self.full),
        };
        (lost, at.flops as f64 / self.full_flops)
    }
}

/// Tests all risk guarantees on random sets of calibration texts, with each seed's model in turn; empty without an
/// accelerated model.
pub(super) fn promises<R: Rng + ?Sized>(seeds: &[SeedCandidates], rng: &mut R) -> Result<Vec<PromiseTrial>> {
    let mut trials = Vec::new();
    for (risk, name) in [(Risk::AccuracyLoss, "accuracy lost"), (Risk::Disagreement, "answers that differ")] {
        let mut worlds = Vec::new();
        for seed in seeds {
            if let Some(candidate) = seed.candidates.iter().find(|own| own.kind == ModelKind::Accelerated) {
                worlds.push(World::new(seed, candidate, risk)?);
            }
        }
        if worlds.is_empty() {
            return Ok(Vec::new());
        }
        for most in LIMITS {
            for rows in ROWS {
                let promise = Promise { risk, most, guarantee: Guarantee::Confidence(CONFIDENCE) };
                trials.push(trial(promise, name, rows, &worlds, rng)?);
            }
        }
    }
    Ok(trials)
}

fn trial<R: Rng + ?Sized>(
    promise: Promise,
    name: &str,
    rows: usize,
    worlds: &[World<'_>],
    rng: &mut R,
) -> Result<PromiseTrial> {
    let (mut made, mut kept, mut cost, mut lost) = (0, 0, 0.0, 0.0);
    for draw in 0..DRAWS {
        let world = &worlds[draw % worlds.len()];
        let all = world.labels.len();
        let drawn: Vec<usize> = (0..rows).map(|_| rng.random_range(0..all)).collect();
        let pick = |labels: &[u32]| -> Vec<u32> { drawn.iter().map(|row| labels[*row]).collect() };
        let (stages, full, labels) = (world.stages.select(&drawn), pick(world.full), pick(world.labels));
        let calibration = Calibration { stages: &stages, full: &full, labels: Some(&labels) };
        match promise.control(calibration, &world.thresholds) {
            Ok(calibrated) => {
                let (risk, flops_ratio) = world.truth(promise.risk, calibrated.threshold);
                made += 1;
                kept += usize::from(risk <= promise.most);
                cost += flops_ratio;
                lost += risk;
            }
            Err(DynamicError::Promise { .. }) => {
                kept += 1;
                cost += 1.0;
            }
            Err(error) => return Err(error.into()),
        }
    }
    let mean = |sum: f64| sum / DRAWS as f64;
    Ok(PromiseTrial {
        risk: name.into(),
        most: promise.most,
        confidence: CONFIDENCE,
        rows,
        draws: DRAWS,
        made: mean(made as f64),
        kept: mean(kept as f64),
        flops_ratio: mean(cost),
        lost: mean(lost),
    })
}
