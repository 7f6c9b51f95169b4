//! The regression of an n-gram classifier: features → ln p of each class.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::features::{Columns, Corpus};
use crate::error::{Error, Result};
use crate::logistic::{FeatureMatrix, FitSettings, LogisticRegression, RowTargets};

/// Class scores of an n-gram classifier: log-probabilities of all classes, including classes without training rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClassScores {
    classes: usize,
    /// The classes with training rows, ascending. The regression has these classes only.
    present: Vec<u32>,
    /// The number of training rows.
    rows: usize,
    /// The regression; `None` where only one class has training rows.
    regression: Option<LogisticRegression>,
}

impl ClassScores {
    /// Fits the rows for each C in turn, each fit starting at the previous optimum. Also returns the FLOPs.
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
                LogisticRegression::fit(&features, RowTargets::Classes(&labels), present.len(), settings, start)?;
            fitted.push(scores(Some(regression)));
            flops += minimum.flops;
            start = Some(minimum);
        }
        Ok((fitted, flops))
    }

    pub(super) fn classes(&self) -> usize {
        self.classes
    }

    /// FLOPs of the log-probabilities of rows with this total number of features.
    pub(super) fn flops(&self, features: usize) -> u64 {
        2 * (features * self.present.len()) as u64
    }

    /// The log-probabilities of a row of features. Each class without training rows has the probability 1/(rows +
    /// classes).
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

    /// Rejects stored parts that do not fit together.
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
        Err(Error::state("scores", expected, "others"))
    }
}
