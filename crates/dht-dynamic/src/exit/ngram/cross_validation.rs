//! The regression of an n-gram classifier, and the choice of its C.

use dht_transformer::EncodedDataset;
use rand::Rng;
use rand::seq::SliceRandom;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::features::{Columns, Corpus};
use super::settings::NgramSettings;
use crate::error::{Error, Result};
use crate::log_probabilities::LogProbabilities;
use crate::logistic::{FeatureMatrix, FitSettings, LogisticRegression, Targets};

/// Objectives within 5·10⁻⁵ nats of their minima tell values of C apart.
const CROSS_VALIDATION_TOLERANCE: f64 = 1e-2;

/// Refuses texts that no classifier can be fitted on.
pub(super) fn check_texts(training: &EncodedDataset) -> Result<()> {
    for (field, got) in [("training rows", training.len()), ("classes", training.labels.len())] {
        if got < 2 {
            return Err(Error::setting(field, "at least 2", got));
        }
    }
    training.check_classes(training.labels.len())?;
    match training.samples.iter().find(|sample| !sample.targets.is_empty()) {
        Some(sample) => Err(Error::setting("targets", "none: single classes", format!("{:?}", sample.targets))),
        None => Ok(()),
    }
}

/// Log-probabilities of all classes, of which some had training rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClassScores {
    classes: usize,
    /// The classes with training rows, ascending; the regression's classes.
    present: Vec<u32>,
    /// The number of training rows.
    rows: usize,
    /// None where only one class has training rows.
    regression: Option<LogisticRegression>,
}

impl ClassScores {
    /// Fits rows for each C in turn, each from where the one before ended. Also gives the FLOPs.
    pub(super) fn fit(
        corpus: &Corpus,
        columns: &Columns,
        (rows, labels): (&[usize], &[u32]),
        classes: usize,
        c: &[f64],
        tolerance: f64,
    ) -> Result<(Vec<Self>, u64)> {
        let mut present: Vec<u32> = rows.iter().map(|row| labels[*row]).collect();
        present.sort_unstable();
        present.dedup();
        let scores = |regression| Self { classes, present: present.clone(), rows: rows.len(), regression };
        if present.len() < 2 {
            return Ok((c.iter().map(|_| scores(None)).collect(), 0));
        }
        let features: Vec<Vec<(u32, f32)>> = rows.par_iter().map(|row| corpus.features(*row, columns)).collect();
        let features = FeatureMatrix::sparse(columns.len(), features.iter().map(Vec::as_slice));
        let index = |row: &usize| present.partition_point(|class| *class < labels[*row]) as u32;
        let labels: Vec<u32> = rows.iter().map(index).collect();
        let (mut fitted, mut start, mut flops) = (Vec::with_capacity(c.len()), None, 0);
        for c in c {
            let settings = FitSettings { c: *c, tolerance };
            let (regression, minimum) =
                LogisticRegression::fit(&features, Targets::Classes(&labels), present.len(), settings, start)?;
            fitted.push(scores(Some(regression)));
            flops += minimum.flops;
            start = Some(minimum);
        }
        Ok((fitted, flops))
    }

    pub(super) fn classes(&self) -> usize {
        self.classes
    }

    /// FLOPs of the log-probabilities of rows of so many features in all.
    fn flops(&self, features: usize) -> u64 {
        2 * (features * self.present.len()) as u64
    }

    /// Of a row of features. Classes without training rows share a probability of 1/(rows + classes) each.
    pub(super) fn log_probabilities(&self, features: &[(u32, f32)]) -> Vec<f64> {
        let absent = 1.0 / (self.rows + self.classes) as f64;
        let present = (1.0 - absent * (self.classes - self.present.len()) as f64).ln();
        let mut logs = vec![absent.ln(); self.classes];
        let of_present =
            self.regression.as_ref().map_or_else(|| vec![0.0], |fitted| fitted.log_probabilities(features));
        for (class, log) in self.present.iter().zip(of_present) {
            logs[*class as usize] = log + present;
        }
        logs
    }

    /// Refuses stored parts that do not fit together.
    pub(super) fn check(&self, features: usize) -> Result<()> {
        let ascending = self.present.is_sorted_by(|before, after| before < after);
        let classes = self.present.last().is_some_and(|last| (*last as usize) < self.classes);
        let fits = match &self.regression {
            None => self.present.len() == 1,
            Some(regression) => regression.fits(self.present.len(), features),
        };
        if ascending && classes && fits {
            return Ok(());
        }
        let expected = format!("weights of {} classes and {features} n-grams", self.classes);
        Err(Error::setting("scores", expected, "others"))
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

/// The fold of each row: rows are shuffled and dealt out class by class, so that folds have like shares of each class.
fn folds<R: Rng + ?Sized>(labels: &[u32], folds: usize, rng: &mut R) -> Vec<usize> {
    let mut rows: Vec<usize> = (0..labels.len()).collect();
    rows.shuffle(rng);
    // Stable: rows of one class stay shuffled.
    rows.sort_by_key(|row| labels[*row]);
    let mut fold_of = vec![0; labels.len()];
    rows.iter().enumerate().for_each(|(place, row)| fold_of[*row] = place % folds);
    fold_of
}
