//! The regressions of an n-gram classifier: features → ln p of each class.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::logistic::{FeatureMatrix, FitSettings, LinearModel, Minimum, RowTargets, Standardisation};

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
    regression: Option<LinearModel>,
}

impl ClassScores {
    /// Fits rows of features to their labels. The fit starts at zero, or at the minimum of another C. Also returns the
    /// minimum; `None` where only one class has rows.
    pub(super) fn fit(
        features: &FeatureMatrix,
        labels: &[u32],
        classes: usize,
        settings: FitSettings,
        start: Option<Minimum>,
    ) -> Result<(Self, Option<Minimum>)> {
        let mut present = labels.to_vec();
        present.sort_unstable();
        present.dedup();
        let rows = labels.len();
        if present.len() < 2 {
            return Ok((Self { classes, present, rows, regression: None }, None));
        }
        let index = |label: &u32| present.partition_point(|class| class < label) as u32;
        let labels: Vec<u32> = labels.iter().map(index).collect();
        let (regression, minimum) =
            LinearModel::fit(features, RowTargets::Classes(&labels), present.len(), settings, start)?;
        Ok((Self { classes, present, rows, regression: Some(regression) }, Some(minimum)))
    }

    /// Scores for features that are not standardised, with equal results.
    pub(super) fn folded(self, standardisation: &Standardisation) -> Self {
        Self { regression: self.regression.map(|regression| regression.unscaled(standardisation)), ..self }
    }

    pub(super) fn classes(&self) -> usize {
        self.classes
    }

    /// Returns whether a class has training rows, among several.
    pub(super) fn has_rows(&self, class: u32) -> bool {
        self.regression.is_some() && self.present.binary_search(&class).is_ok()
    }

    /// FLOPs of the log-probabilities of a matrix's rows.
    pub(super) fn flops_of(&self, features: &FeatureMatrix) -> u64 {
        if self.regression.is_some() { features.flops(self.present.len()) } else { 0 }
    }

    /// The log-probabilities of a row of features. Each class without training rows has the probability 1/(rows +
    /// classes).
    pub(super) fn log_probabilities(&self, features: &[(u32, f32)]) -> Vec<f64> {
        let of_present =
            self.regression.as_ref().map_or_else(|| vec![0.0], |fitted| fitted.log_probabilities(features));
        self.of_all_classes(&of_present)
    }

    /// The log-probabilities of each row of a matrix, row after row.
    pub(super) fn log_probabilities_of(&self, features: &FeatureMatrix) -> Result<Vec<f64>> {
        let of_present = match &self.regression {
            Some(fitted) => fitted.log_probabilities_of(features)?,
            None => vec![0.0; features.rows()],
        };
        Ok(of_present.chunks_exact(self.present.len()).flat_map(|row| self.of_all_classes(row)).collect())
    }

    fn of_all_classes(&self, of_present: &[f64]) -> Vec<f64> {
        let absent = 1.0 / (self.rows + self.classes) as f64;
        let present = (1.0 - absent * (self.classes - self.present.len()) as f64).ln();
        let mut logs = vec![absent.ln(); self.classes];
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
        let expected = format!("weights of {} classes and {features} features", self.classes);
        Err(Error::state("scores", expected, "others"))
    }
}
