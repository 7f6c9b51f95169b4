//! Cross-validation that selects the C of an n-gram classifier.

use dht_transformer::EncodedDataset;
use rayon::prelude::*;

use super::class_scores::ClassScores;
use crate::error::{Error, Result};
use crate::log_probabilities::LogProbabilities;
use crate::logistic::{FeatureMatrix, FitSettings, Minimum, best_penalty};

/// Gradient tolerance of the cross-validation. Objectives are then within 5·10⁻⁵ nats of their minima, which suffices
/// to rank values of C.
const CROSS_VALIDATION_TOLERANCE: f64 = 1e-2;

/// Rejects texts on which no classifier can be fitted.
pub(super) fn check_texts(training: &EncodedDataset) -> Result<()> {
    for (field, got) in [("training rows", training.len()), ("classes", training.labels.len())] {
        if got < 2 {
            return Err(Error::argument(field, "at least 2", got));
        }
    }
    training.check_classes(training.labels.len())?;
    match training.samples.iter().find(|sample| !sample.targets.is_empty()) {
        Some(sample) => Err(Error::argument("targets", "none: single classes", format!("{:?}", sample.targets))),
        None => Ok(()),
    }
}

/// Result of a cross-validation.
pub(super) struct CrossValidation {
    /// The out-of-fold log-probabilities of each row, at the best C.
    pub(super) out_of_fold: LogProbabilities,
    /// The C with the smallest loss.
    pub(super) c: f64,
    /// Each C that was fitted with its mean out-of-fold loss, ascending.
    pub(super) losses: Vec<(f64, f64)>,
    pub(super) flops: u64,
}

/// The data and the last minimum of a fold.
struct Fold {
    features: FeatureMatrix,
    labels: Vec<u32>,
    /// Rows of the fold, and their features.
    held_out: (Vec<usize>, FeatureMatrix),
    start: Option<Minimum>,
}

/// Selects a C. `split` returns the features of the rows to fit and of the rows held out.
///
/// Each fit starts at the last minimum.
pub(super) fn cross_validate(
    labels: &[u32],
    classes: usize,
    fold_of: &[usize],
    c: &[f64],
    split: impl Fn(&[usize], &[usize]) -> Result<(FeatureMatrix, FeatureMatrix)> + Sync,
) -> Result<CrossValidation> {
    let folds = fold_of.iter().max().map_or(0, |last| last + 1);
    let data = |fold: usize| {
        let (held_out, rows): (Vec<usize>, Vec<usize>) = (0..labels.len()).partition(|row| fold_of[*row] == fold);
        let (features, of_held_out) = split(&rows, &held_out)?;
        let labels = rows.iter().map(|row| labels[*row]).collect();
        Ok(Fold { features, labels, held_out: (held_out, of_held_out), start: None })
    };
    let mut folds: Vec<Fold> = (0..folds).into_par_iter().map(data).collect::<Result<_>>()?;
    let (mut losses, mut flops) = (Vec::new(), 0);
    let evaluate = |at: usize| -> Result<(f64, LogProbabilities)> {
        let settings = FitSettings { c: c[at], tolerance: CROSS_VALIDATION_TOLERANCE };
        let of_fold = |fold: &mut Fold| {
            let (scores, minimum) =
                ClassScores::fit(&fold.features, &fold.labels, classes, settings, fold.start.take())?;
            let (held_out, features) = &fold.held_out;
            let of_fit = minimum.as_ref().map_or(0, |minimum| minimum.flops) + scores.flops_of(features);
            fold.start = minimum;
            Ok((held_out.clone(), scores.log_probabilities_of(features)?, of_fit))
        };
        let mut table = vec![0.0; labels.len() * classes];
        for (held_out, logs, of_fit) in folds.par_iter_mut().map(of_fold).collect::<Result<Vec<_>>>()? {
            flops += of_fit;
            for (row, logs) in held_out.iter().zip(logs.chunks_exact(classes)) {
                table[row * classes..(row + 1) * classes].copy_from_slice(logs);
            }
        }
        let table = LogProbabilities::new(classes, table)?;
        let loss = table.mean_loss(labels);
        losses.push((c[at], loss));
        Ok((loss, table))
    };
    let (at, out_of_fold) = best_penalty(c.len(), evaluate)?;
    losses.sort_by(|left, right| left.0.total_cmp(&right.0));
    Ok(CrossValidation { out_of_fold, c: c[at], losses, flops })
}
