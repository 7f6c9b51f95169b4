//! Report on the fit of early exits: the accuracy of each exit, and accuracy and cost at each speed (exit threshold).

use std::time::Instant;

use serde::Serialize;

use super::texts::FitTexts;
use crate::evaluation::{SpeedPoint, Stages};
use crate::exit::{NgramFit, Stacker};
use crate::log_probabilities::LogProbabilities;

/// Number of probability bins in the expected calibration error.
const BINS: usize = 15;
/// Maximum number of points on the accuracy-cost curve.
const POINTS: usize = 200;

/// Report on a fitted model with early exits: the cost of the fits, the accuracy of each stage, and accuracy and cost
/// at each speed (exit threshold).
///
/// Accuracies are measured on the rows on which the inverse penalty C, the stacking weights and the speeds were
/// selected. For multi-label tasks, accuracies are micro F1.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// Number of labelled rows that the exits and the n-gram classifier were fitted on.
    pub rows: usize,
    /// Number of unlabelled rows that the exits and the n-gram classifier were fitted on. The classifier's predictions
    /// serve as their labels.
    pub unlabelled_rows: usize,
    /// Rows on which accuracies were measured, and on which the inverse penalty C, the stacking weights and the speeds
    /// were selected.
    pub judged_on: ScoredOn,
    /// Accuracy of the original classifier with all layers, without early exits and without stacking.
    pub own_accuracy: f64,
    /// Scores of the n-gram classifier, if there is one, followed by those of the exits in the order of their depths.
    pub stages: Vec<StageReport>,
    /// Accuracy and cost at each speed (exit threshold), from the most expensive to the cheapest.
    pub curve: Vec<SpeedPoint>,
    /// Default speed, the exit threshold that the model is set to. It is the cheapest speed at which the mean
    /// [regret](crate::evaluation::Risk::Regret) against the model with all layers, plus one standard error, is at most
    /// 0.3 percentage points. For [numbers](crate::accelerate::AccelerateSettings::levels), the same limit applies to
    /// the loss of R². With [class weights](crate::accelerate::AccelerateSettings::class_weights), it applies to the
    /// weighted accuracy. If no speed keeps this limit, the default is 0: every text runs all layers, and no exit is
    /// computed. For [another router](crate::accelerate::Accelerated::with_router), the default is then the first of
    /// the router's speeds.
    pub speed: f64,
    /// Variance of the scored rows' numbers, if the model predicts
    /// [numbers](crate::accelerate::AccelerateSettings::levels). It is the unit of the squared errors by which the
    /// default speed is selected. If it is 0, no loss can be measured, and the default speed is 0. `None` for classes
    /// and for independent labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number_variance: Option<f64>,
    /// Width of the exits' side layers, in columns; `None` for linear exits.
    pub side: Option<usize>,
    /// Total FLOPs: the encoder's pass over the texts, the fits, and the training of the side layers.
    pub flops: u64,
    /// FLOPs of the convex fits (n-gram classifier, exits and stacking weights), included in `flops`. A multiply-add
    /// counts as two FLOPs. The number counts each value and gradient that L-BFGS requests, and the predictions by
    /// which the inverse penalty C is selected.
    pub flops_of_fits: u64,
    /// Total wall-clock seconds.
    pub seconds: f64,
    /// Seconds of the encoder's pass over the texts, included in `seconds`.
    pub seconds_of_states: f64,
    /// Seconds of fitting the linear exits, included in `seconds`.
    pub seconds_of_exits: f64,
    /// Seconds of training the side layers, included in `seconds`.
    pub seconds_of_side: f64,
}

/// Rows on which the accuracies of a report are measured, and hyperparameters are selected: held-out or cross-fitted
/// rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ScoredOn {
    /// Number of held-out texts, which were not used to fit anything.
    HeldOut(usize),
    /// Number of cross-fitted texts: all texts, each predicted by models that were fitted without it.
    CrossFit(usize),
    /// Nothing has been scored yet.
    #[default]
    Nothing,
}

/// Accuracy and calibration of one stage of a model (the n-gram classifier or an exit), alone and stacked with the
/// n-gram classifier.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct StageReport {
    /// Number of layers that run before this stage; 0 for the n-gram classifier.
    pub depth: usize,
    /// Inverse penalty C that was selected for the linear fit at this stage. The training of a side layer starts from
    /// this fit. `None` for the last exit if it is the classifier itself.
    pub c: Option<f64>,
    /// Accuracy of this exit (or the n-gram classifier) alone, not combined with the n-gram classifier.
    pub accuracy: f64,
    /// Weights by which the log-probabilities of the n-gram classifier and of this exit are combined; `None` if they
    /// are not combined.
    pub stacker: Option<Stacker>,
    /// Accuracy of this exit combined ([stacked](Stacker)) with the n-gram classifier. Without an n-gram classifier,
    /// the accuracy of the exit alone.
    pub stacked_accuracy: f64,
    /// Expected calibration error of the exit's probabilities, combined with the n-gram classifier. With [class
    /// weights](crate::accelerate::AccelerateSettings::class_weights), each row counts by the weight of its class.
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

    pub(crate) fn add_fits(&mut self, flops: u64) {
        self.flops += flops;
        self.flops_of_fits += flops;
    }

    /// Creates the report on a model in which the n-gram classifier answers every text. `point` has its accuracy and
    /// cost.
    pub(crate) fn of_front(
        fit: &NgramFit,
        judged: &LogProbabilities,
        judged_on: ScoredOn,
        labels: &[u32],
        class_weights: Option<&[f32]>,
        point: SpeedPoint,
    ) -> Self {
        let mut own = Self {
            rows: fit.out_of_fold.len(),
            judged_on,
            own_accuracy: point.accuracy,
            curve: vec![point],
            speed: point.speed,
            flops: fit.flops,
            flops_of_fits: fit.flops,
            ..Self::default()
        };
        own.front(fit.c, judged, labels, class_weights);
        own
    }

    /// Adds the n-gram classifier to the report, as the first exit. `answers` are its predictions and `labels` the true
    /// labels.
    pub(super) fn front(&mut self, c: f64, answers: &LogProbabilities, labels: &[u32], class_weights: Option<&[f32]>) {
        self.stages.push(StageReport { c: Some(c), ..StageReport::new(0, answers, answers, labels, class_weights) });
    }

    /// Computes the curve of accuracy and cost, one point for each exit threshold.
    pub(super) fn of_thresholds(&mut self, stages: &Stages, labels: &[u32], full_flops: &[u64]) {
        let point = |speed: f64| {
            let at = stages.at(speed);
            let score = stages.outputs().score(&at.labels, labels);
            SpeedPoint::of_texts(speed, score, &stages.row_flops(speed, &at), full_flops)
        };
        self.curve = stages.thresholds(POINTS).into_iter().map(point).collect();
    }

    /// Most expensive point of the curve that [costs at most](SpeedPoint::costs_at_most) `flops_ratio` times the full
    /// model's FLOPs; `None` if all points cost more.
    pub fn within(&self, flops_ratio: f64) -> Option<SpeedPoint> {
        self.curve.iter().find(|point| point.costs_at_most(flops_ratio)).copied()
    }
}

impl StageReport {
    /// Scores the predictions of an exit, alone and combined (stacked) with those of the n-gram classifier.
    pub(super) fn new(
        depth: usize,
        alone: &LogProbabilities,
        stacked: &LogProbabilities,
        labels: &[u32],
        class_weights: Option<&[f32]>,
    ) -> Self {
        Self {
            depth,
            c: None,
            accuracy: alone.score(labels),
            stacker: None,
            stacked_accuracy: stacked.score(labels),
            calibration_error: stacked.weighted_calibration_error(labels, BINS, class_weights),
        }
    }
}

pub(crate) struct Lap(Instant);

impl Lap {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// Returns the seconds since the previous call, or since the start in the first call.
    pub(crate) fn seconds(&mut self) -> f64 {
        std::mem::replace(&mut self.0, Instant::now()).elapsed().as_secs_f64()
    }
}
