//! Report of an acceleration: the fits, the accuracy of each stage, and the cost of each speed.

use std::time::Instant;

use serde::Serialize;

use super::texts::FitTexts;
use crate::evaluation::{SpeedPoint, Stages};
use crate::exit::{NgramFit, Stacker};
use crate::log_probabilities::LogProbabilities;

/// The number of bins of the expected calibration error.
const BINS: usize = 15;
/// The maximum number of points of the curve.
const POINTS: usize = 200;

/// Report of an acceleration. Accuracies are measured on the rows on which C, stacking and speeds were chosen. For several
/// labels they are micro F1.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// Labelled rows that exits and n-gram model were fitted on.
    pub rows: usize,
    /// Unlabelled rows that exits and n-gram model were fitted on, with the classes that the classifier predicts.
    pub unlabelled_rows: usize,
    /// The rows on which C, stacking and speeds were chosen.
    pub judged_on: ScoredOn,
    /// The accuracy of the classifier alone.
    pub own_accuracy: f64,
    /// The n-gram exit, if there is one, followed by the exits in the order of their depths.
    pub stages: Vec<StageReport>,
    /// The curve, from the most expensive to the cheapest speed.
    pub curve: Vec<SpeedPoint>,
    /// The default speed: the cheapest at which the mean [regret](crate::evaluation::Risk::Regret) against all layers is
    /// at most three tenths of a point, with one standard error; 0, where no exit is computed, if there is none. For
    /// [another router](crate::accelerate::Accelerated::with_router), the first of its speeds if there is none.
    pub speed: f64,
    /// The number of columns of the exits' side layers; `None` for linear exits.
    pub side: Option<usize>,
    /// FLOPs in total: the encoder's pass over the texts, the fits, and the training of the side layers.
    pub flops: u64,
    /// FLOPs of the convex fits of n-gram model, exits and stacking, included in `flops`. They cover each value and
    /// gradient that L-BFGS requests, two FLOPs for each multiply-add, and the answers by which a C is selected.
    pub flops_of_fits: u64,
    /// Wall-clock seconds in total.
    pub seconds: f64,
    /// Seconds of the encoder's pass, included in `seconds`.
    pub seconds_of_states: f64,
    /// Seconds of the exits' fits, included in `seconds`.
    pub seconds_of_exits: f64,
    /// Seconds of the side layers' training, included in `seconds`.
    pub seconds_of_side: f64,
}

/// The rows on which C, stacking and speeds were chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ScoredOn {
    /// Number of held-out texts, on which nothing else was fitted.
    HeldOut(usize),
    /// Number of cross-fitted texts: all texts, each answered by models that were fitted without it.
    CrossFit(usize),
    /// No rows yet.
    #[default]
    Nothing,
}

/// Scores of one stage.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct StageReport {
    /// The depth of the stage; 0 for the n-gram exit.
    pub depth: usize,
    /// The C selected for the stage's linear fit, the start of a side layer's training; `None` for the classifier
    /// itself.
    pub c: Option<f64>,
    /// The accuracy of the stage alone.
    pub accuracy: f64,
    /// The weights of the n-gram classifier and of the stage in their [sum](Stacker).
    pub stacker: Option<Stacker>,
    /// The accuracy with the n-gram classifier [stacked](Stacker) on the stage; without an n-gram classifier, that of
    /// the stage alone.
    pub stacked_accuracy: f64,
    /// The expected calibration error of the stacked probabilities.
    pub calibration_error: f64,
}

impl Report {
    pub(crate) fn new(texts: &FitTexts) -> Self {
        let judged_on = match &texts.held_out {
            Some(held_out) => ScoredOn::HeldOut(held_out.len()),
            None => ScoredOn::CrossFit(texts.training.len()),
        };
        let unlabelled_rows = texts.training.len() - texts.labelled;
        Self { rows: texts.labelled, unlabelled_rows, judged_on, ..Self::default() }
    }

    /// Adds the FLOPs of convex fits.
    pub(crate) fn add_fits(&mut self, flops: u64) {
        self.flops += flops;
        self.flops_of_fits += flops;
    }

    /// Report of an n-gram exit that answers every text, with the only point of its curve.
    pub(crate) fn of_front(fit: &NgramFit, judged: &LogProbabilities, labels: &[u32], point: SpeedPoint) -> Self {
        let mut own = Self {
            rows: fit.out_of_fold.len(),
            judged_on: ScoredOn::HeldOut(judged.len()),
            own_accuracy: point.accuracy,
            curve: vec![point],
            speed: point.speed,
            flops: fit.flops,
            flops_of_fits: fit.flops,
            ..Self::default()
        };
        own.front(fit.c, judged, labels);
        own
    }

    /// Adds the n-gram exit, which is the first stage.
    pub(super) fn front(&mut self, c: f64, answers: &LogProbabilities, labels: &[u32]) {
        self.stages.push(StageReport { c: Some(c), ..StageReport::new(0, answers, answers, labels) });
    }

    /// Computes the curve of accuracy against cost over thresholds.
    pub(super) fn of_thresholds(&mut self, stages: &Stages, labels: &[u32], full_flops: &[u64]) {
        let point = |speed: f64| {
            let at = stages.at(speed);
            let score = stages.outputs().score(&at.labels, labels);
            SpeedPoint::of_texts(speed, score, &stages.row_flops(speed, &at), full_flops)
        };
        self.curve = stages.thresholds(POINTS).into_iter().map(point).collect();
    }

    /// The most expensive point of the curve that [costs at most](SpeedPoint::costs_at_most) this share of the full
    /// model's FLOPs; `None` where all cost more.
    pub fn within(&self, flops_ratio: f64) -> Option<SpeedPoint> {
        self.curve.iter().find(|point| point.costs_at_most(flops_ratio)).copied()
    }
}

impl StageReport {
    /// Scores of a stage's answers, alone and stacked.
    pub(super) fn new(depth: usize, alone: &LogProbabilities, stacked: &LogProbabilities, labels: &[u32]) -> Self {
        Self {
            depth,
            c: None,
            accuracy: alone.score(labels),
            stacker: None,
            stacked_accuracy: stacked.score(labels),
            calibration_error: stacked.calibration_error(labels, BINS),
        }
    }
}

/// Stopwatch for the seconds of successive steps.
pub(crate) struct Lap(Instant);

impl Lap {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// Seconds since the start or the last call.
    pub(crate) fn seconds(&mut self) -> f64 {
        std::mem::replace(&mut self.0, Instant::now()).elapsed().as_secs_f64()
    }
}
