//! Cross-validation for an n-gram classifier. It selects the inverse penalty C.

use dht_transformer::EncodedDataset;
use rayon::prelude::*;

use super::class_scores::ClassScores;
use crate::error::{Error, Result};
use crate::log_probabilities::LogProbabilities;
use crate::logistic::{FeatureMatrix, FitSettings, Minimum, best_penalty};
use crate::outputs::{Outputs, row_weights};

/// Gradient norm at which fits during cross-validation stop. Objectives are then within 5·10⁻⁵ nats of their minima,
/// which is precise enough to rank the candidates for C (inverse penalty).
const CROSS_VALIDATION_TOLERANCE: f64 = 1e-2;

/// Rejects training texts to which no classifier can be fitted.
///
/// # Errors
/// * [`Error::Argument`] if there are fewer than two texts.
/// * [`Error::Transformer`] if there are too few classes or labels, or if the targets of a text do not match them.
pub(super) fn check_texts(training: &EncodedDataset) -> Result<()> {
    if training.len() < 2 {
        return Err(Error::argument("training rows", "at least 2", training.len()));
    }
    let outputs = Outputs::of_texts(training);
    outputs.task().check(outputs.count())?;
    Ok(outputs.task().check_targets(training, outputs.count())?)
}

/// Result of cross-validation, which selects the inverse penalty C.
pub(super) struct CrossValidation {
    /// Out-of-fold log-probabilities of each row, with the selected inverse penalty C.
    pub(super) out_of_fold: LogProbabilities,
    /// Inverse penalty C with the smallest out-of-fold loss.
    pub(super) c: f64,
    /// Candidates for the inverse penalty C, ascending, each with its mean out-of-fold loss in nats.
    pub(super) losses: Vec<(f64, f64)>,
    /// FLOPs of all fits and of the out-of-fold predictions.
    pub(super) flops: u64,
}

/// Fold of a cross-validation: its rows, and the minimum of its last fit as a start for the next.
struct Fold {
    features: FeatureMatrix,
    /// True labels of the rows to fit, concatenated.
    labels: Vec<u32>,
    /// [Weights](row_weights) of the rows to fit; `None` for equal weights.
    row_weights: Option<Vec<f64>>,
    /// Indices of the fold's held-out rows, and their features.
    held_out: (Vec<usize>, FeatureMatrix),
    /// Minimum for the previous inverse penalty C, from which the next fit starts.
    start: Option<Minimum>,
}

/// Selects the inverse penalty C with the smallest out-of-fold loss, weighted by class. For each fold, `split` returns
/// two feature matrices: rows to fit on, and held-out rows.
///
/// Within a fold, the fit for each C starts at the minimum for the previous C.
pub(super) fn cross_validate(
    labels: &[u32],
    class_weights: Option<&[f32]>,
    outputs: Outputs,
    fold_of: &[usize],
    c: &[f64],
    split: impl Fn(&[usize], &[usize]) -> Result<(FeatureMatrix, FeatureMatrix)> + Sync,
) -> Result<CrossValidation> {
    let (decisions, width) = (outputs.decisions(), outputs.width());
    let folds = fold_of.iter().max().map_or(0, |last| last + 1);
    let data = |fold: usize| {
        let (held_out, rows): (Vec<usize>, Vec<usize>) = (0..fold_of.len()).partition(|row| fold_of[*row] == fold);
        let (features, of_held_out) = split(&rows, &held_out)?;
        let labels: Vec<u32> =
            rows.iter().flat_map(|row| &labels[row * decisions..(row + 1) * decisions]).copied().collect();
        let row_weights = row_weights(&labels, class_weights);
        Ok(Fold { features, labels, row_weights, held_out: (held_out, of_held_out), start: None })
    };
    let mut folds: Vec<Fold> = (0..folds).into_par_iter().map(data).collect::<Result<_>>()?;
    let (mut losses, mut flops) = (Vec::new(), 0);
    let evaluate = |at: usize| -> Result<(f64, LogProbabilities)> {
        let of_fold = |fold: &mut Fold| {
            let row_weights = fold.row_weights.as_deref();
            let settings = FitSettings { c: c[at], tolerance: CROSS_VALIDATION_TOLERANCE, row_weights };
            let (scores, minimum) =
                ClassScores::fit(&fold.features, &fold.labels, outputs, settings, fold.start.take())?;
            let (held_out, features) = &fold.held_out;
            let of_fit = minimum.as_ref().map_or(0, |minimum| minimum.flops) + scores.flops_of(features);
            fold.start = minimum;
            Ok((held_out.clone(), scores.log_probabilities_of(features)?, of_fit))
        };
        let mut table = vec![0.0; fold_of.len() * width];
        for (held_out, logs, of_fit) in folds.par_iter_mut().map(of_fold).collect::<Result<Vec<_>>>()? {
            flops += of_fit;
            for (row, logs) in held_out.iter().zip(logs.chunks_exact(width)) {
                table[row * width..(row + 1) * width].copy_from_slice(logs);
            }
        }
        let table = LogProbabilities::of(outputs, table)?;
        let loss = table.weighted_loss(labels, class_weights);
        losses.push((c[at], loss));
        Ok((loss, table))
    };
    let (at, out_of_fold) = best_penalty(c.len(), evaluate)?;
    losses.sort_by(|left, right| left.0.total_cmp(&right.0));
    Ok(CrossValidation { out_of_fold, c: c[at], losses, flops })
}
