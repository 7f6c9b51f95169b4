//! What was fitted, how well each stage does, and what each speed costs.

use serde::Serialize;

use super::parts::Parts;
use crate::evaluation::{SpeedPoint, Stages};
use crate::exit::Stacker;
use crate::log_probabilities::LogProbabilities;

/// Bins of the expected calibration error.
const BINS: usize = 15;
/// The most points of the curve.
const POINTS: usize = 200;

/// How an accelerated model was made. Accuracies are those of the rows that C, stacking and speeds were chosen on.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// Rows with labels that exits and n-gram model were fitted on.
    pub rows: usize,
    /// Further rows that they were fitted on, with the classes that the classifier predicts.
    pub unlabelled_rows: usize,
    /// What the choices were made on.
    pub judged_on: JudgedOn,
    /// The accuracy of the classifier alone.
    pub own_accuracy: f64,
    /// The front exit, where there is one, and then each exit by depth.
    pub stages: Vec<StageReport>,
    /// From the most expensive to the cheapest speed.
    pub curve: Vec<SpeedPoint>,
    /// The speed of the cheapest point that [loses nothing](Stages::lossless) against the classifier alone, or 0 without one; of
    /// [another router](super::Accelerated::with_router), of the cheapest that is as accurate, or else of the first.
    pub speed: f64,
    /// The columns of the exits' side layers; `None` for linear exits.
    pub side: Option<usize>,
    /// FLOPs of everything: the encoder's pass over the texts, the fits, and the training of the side layers.
    pub flops: u64,
    /// Of those, of the convex fits of n-gram model, exits and stacking: of each value and gradient that L-BFGS asked for, two for
    /// each multiply-add, and of the answers by which a C is chosen.
    pub flops_of_fits: u64,
    /// Wall clock of everything.
    pub seconds: f64,
    /// Of those, of the encoder's pass.
    pub seconds_of_states: f64,
    /// Of those, of the exits' fits.
    pub seconds_of_exits: f64,
    /// Of those, of the side layers' training.
    pub seconds_of_side: f64,
}

/// The rows that C, stacking and speeds were chosen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum JudgedOn {
    /// Texts that nothing else was fitted on: so many.
    HeldOut(usize),
    /// All texts, each with answers of models that have not seen it: so many texts.
    CrossFit(usize),
    /// Nothing yet.
    #[default]
    Nothing,
}

/// One stage.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct StageReport {
    /// Its depth; 0 for the front exit.
    pub depth: usize,
    /// The C that was chosen for its linear fit, from which a side layer's training starts; `None` for the classifier itself.
    pub c: Option<f64>,
    /// Its accuracy alone.
    pub accuracy: f64,
    /// The weights that stack the n-gram classifier on it.
    pub stacker: Option<Stacker>,
    /// Its accuracy with the n-gram classifier stacked on it; without one, alone.
    pub stacked_accuracy: f64,
    /// The expected calibration error of those probabilities.
    pub calibration_error: f64,
}

impl Report {
    pub(super) fn new(parts: &Parts) -> Self {
        let judged_on = match &parts.held_out {
            Some(held_out) => JudgedOn::HeldOut(held_out.len()),
            None => JudgedOn::CrossFit(parts.training.len()),
        };
        let unlabelled_rows = parts.training.len() - parts.labelled;
        Self { rows: parts.labelled, unlabelled_rows, judged_on, ..Self::default() }
    }

    pub(super) fn front(&mut self, c: f64, answers: &LogProbabilities, labels: &[u32]) {
        self.exit(0, Some(c), answers, None, answers, labels);
    }

    pub(super) fn exit(
        &mut self,
        depth: usize,
        c: Option<f64>,
        alone: &LogProbabilities,
        stacker: Option<Stacker>,
        stacked: &LogProbabilities,
        labels: &[u32],
    ) {
        self.stages.push(StageReport {
            depth,
            c,
            accuracy: alone.accuracy(labels),
            stacker,
            stacked_accuracy: stacked.accuracy(labels),
            calibration_error: stacked.calibration_error(labels, BINS),
        });
    }

    /// The curve of thresholds, and the cheapest of them that loses nothing.
    pub(super) fn of_thresholds(&mut self, stages: &Stages, labels: &[u32], full_flops: u64) {
        let thresholds = stages.thresholds(POINTS);
        let point = |speed: &f64| {
            let at = stages.at(*speed);
            let right = at.labels.iter().zip(labels).filter(|(found, label)| found == label).count();
            let accuracy = right as f64 / labels.len().max(1) as f64;
            SpeedPoint { speed: *speed, flops_ratio: at.flops as f64 / full_flops.max(1) as f64, accuracy }
        };
        self.curve = thresholds.iter().map(point).collect();
        self.speed = stages.lossless(labels, self.own_accuracy, &thresholds);
    }

    /// The curve of any router, and the cheapest of its speeds that is as accurate as the classifier alone.
    pub(super) fn of_curve(&mut self, curve: Vec<SpeedPoint>) {
        let lossless = curve.iter().rev().find(|point| point.accuracy >= self.own_accuracy);
        self.speed = lossless.or(curve.first()).map_or(0.0, |point| point.speed);
        self.curve = curve;
    }

    /// The point of the curve that costs most within a share of the full model's FLOPs; `None` where all cost more.
    pub fn within(&self, flops_ratio: f64) -> Option<SpeedPoint> {
        self.curve.iter().find(|point| point.flops_ratio <= flops_ratio).copied()
    }
}
