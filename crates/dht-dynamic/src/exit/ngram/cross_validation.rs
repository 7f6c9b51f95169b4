//! Cross-validation that selects the C of an n-gram classifier.

use dht_transformer::EncodedDataset;
use rand::Rng;
use rand::seq::SliceRandom;
use rayon::prelude::*;

use super::class_scores::ClassScores;
use super::features::Corpus;
use super::settings::NgramSettings;
use crate::error::{Error, Result};
use crate::log_probabilities::LogProbabilities;

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

/// The out-of-fold log-probabilities for each C, the index of the best C, and the FLOPs.
pub(super) fn cross_validate<R: Rng + ?Sized>(
    corpus: &Corpus,
    labels: &[u32],
    classes: usize,
    settings: &NgramSettings,
    rng: &mut R,
) -> Result<(Vec<LogProbabilities>, usize, u64)> {
    let fold_of = folds(labels, settings.folds.min(labels.len()), rng);
    let folds = 0..settings.folds.min(labels.len());
    let of_fold = |fold: usize| {
        let (held_out, rows): (Vec<usize>, Vec<usize>) = (0..labels.len()).partition(|row| fold_of[*row] == fold);
        let columns = corpus.columns(&rows, settings.min_rows);
        let tolerance = CROSS_VALIDATION_TOLERANCE;
        let (fitted, flops) = ClassScores::fit(corpus, &columns, (&rows, labels), classes, &settings.c, tolerance)?;
        let features: Vec<_> = held_out.iter().map(|row| corpus.features(*row, &columns)).collect();
        let logs = |scores: &ClassScores| features.iter().map(|row| scores.log_probabilities(row)).collect::<Vec<_>>();
        let read: usize = features.iter().map(Vec::len).sum();
        let flops = flops + fitted.iter().map(|scores| scores.flops(read)).sum::<u64>();
        Ok((held_out, fitted.iter().map(logs).collect::<Vec<_>>(), flops))
    };
    let folds = folds.into_par_iter().map(of_fold).collect::<Result<Vec<_>>>()?;
    let mut tables = vec![vec![0.0; labels.len() * classes]; settings.c.len()];
    let flops = folds.iter().map(|(.., flops)| flops).sum();
    for (held_out, by_c, _) in folds {
        for (table, logs) in tables.iter_mut().zip(by_c) {
            for (row, logs) in held_out.iter().zip(logs) {
                table[row * classes..(row + 1) * classes].copy_from_slice(&logs);
            }
        }
    }
    let tables = tables.into_iter().map(|table| LogProbabilities::new(classes, table)).collect::<Result<Vec<_>>>()?;
    let losses: Vec<f64> = tables.iter().map(|table| table.mean_loss(labels)).collect();
    let chosen = (1..losses.len()).fold(0, |best, index| if losses[index] < losses[best] { index } else { best });
    Ok((tables, chosen, flops))
}

/// The fold of each row. The rows of each class are shuffled and distributed over the folds, so that all folds have
/// similar class fractions.
fn folds<R: Rng + ?Sized>(labels: &[u32], folds: usize, rng: &mut R) -> Vec<usize> {
    let mut rows: Vec<usize> = (0..labels.len()).collect();
    rows.shuffle(rng);
    // Stable: rows of one class stay shuffled.
    rows.sort_by_key(|row| labels[*row]);
    let mut fold_of = vec![0; labels.len()];
    rows.iter().enumerate().for_each(|(place, row)| fold_of[*row] = place % folds);
    fold_of
}
