//! Regression that computes the log-probabilities of an answer from features, for an n-gram classifier.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::logistic::{FeatureMatrix, FitSettings, LinearModel, Minimum, RowTargets, SmoothedTargets, Standardisation};
use crate::outputs::Outputs;

/// Fitted regression that gives log-probabilities of all classes, including classes without training rows, or of all
/// labels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClassScores {
    classes: usize,
    /// Classes with training rows, ascending. The regression has these classes only. With several labels, all labels are
    /// present: if no training row or every training row has a label, the other answer still gets a small probability.
    present: Vec<u32>,
    /// Number of training rows, from which the probability of an absent class is computed.
    rows: usize,
    /// Regression over the classes that are present; `None` if fewer than two classes have training rows.
    regression: Option<LinearModel>,
    /// True if the answer is a set of labels, false if it is one class.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    labels: bool,
}

impl ClassScores {
    /// Fits the regression to rows of features. `labels` holds one true answer for each decision of each row.
    ///
    /// The fit starts at zero, or at `start`, the minimum of a fit with another inverse penalty C. Also returns the
    /// minimum; `None` if fewer than two classes have rows.
    pub(super) fn fit(
        features: &FeatureMatrix,
        labels: &[u32],
        outputs: Outputs,
        settings: FitSettings,
        start: Option<Minimum>,
    ) -> Result<(Self, Option<Minimum>)> {
        let classes = match outputs {
            Outputs::Classes(classes) => classes,
            Outputs::Labels(classes) => {
                let rows = features.rows();
                let targets: Vec<f32> = labels.iter().map(|label| *label as f32).collect();
                let all: Vec<usize> = (0..rows).collect();
                let targets = SmoothedTargets::new(RowTargets::Labels(&targets), &all, classes);
                let (regression, minimum) = LinearModel::fit(features, targets.as_targets(), classes, settings, start)?;
                let present = (0..classes as u32).collect();
                return Ok((
                    Self { classes, present, rows, regression: Some(regression), labels: true },
                    Some(minimum),
                ));
            }
        };
        let mut present = labels.to_vec();
        present.sort_unstable();
        present.dedup();
        let rows = labels.len();
        if present.len() < 2 {
            return Ok((Self { classes, present, rows, regression: None, labels: false }, None));
        }
        let index = |label: &u32| present.partition_point(|class| class < label) as u32;
        let labels: Vec<u32> = labels.iter().map(index).collect();
        let (regression, minimum) =
            LinearModel::fit(features, RowTargets::Classes(&labels), present.len(), settings, start)?;
        Ok((Self { classes, present, rows, regression: Some(regression), labels: false }, Some(minimum)))
    }

    /// Converts a regression on standardised features to one that reads the raw features and gives equal results.
    pub(super) fn folded(self, standardisation: &Standardisation) -> Self {
        Self { regression: self.regression.map(|regression| regression.unscaled(standardisation)), ..self }
    }

    /// Outputs of the whole classifier: all classes, or all labels.
    pub(super) fn outputs(&self) -> Outputs {
        if self.labels { Outputs::Labels(self.classes) } else { Outputs::Classes(self.classes) }
    }

    /// Outputs of the regression: the classes that are present, or all labels.
    fn of_regression(&self) -> Outputs {
        if self.labels { Outputs::Labels(self.classes) } else { Outputs::Classes(self.present.len()) }
    }

    /// Returns whether a class is an output of the regression: it and at least one other class have training rows.
    pub(super) fn has_rows(&self, class: u32) -> bool {
        self.regression.is_some() && self.present.binary_search(&class).is_ok()
    }

    /// FLOPs of [`log_probabilities_of`](Self::log_probabilities_of) for a matrix.
    pub(super) fn flops_of(&self, features: &FeatureMatrix) -> u64 {
        if self.regression.is_some() { features.flops(self.present.len()) } else { 0 }
    }

    /// Computes the log-probabilities for one row of features. A class without training rows has the probability
    /// 1/(training rows + classes).
    pub(super) fn log_probabilities(&self, features: &[(u32, f32)]) -> Vec<f64> {
        let of_present = self.regression.as_ref().map_or_else(|| vec![0.0], |fitted| fitted.scores(features));
        self.of_all_classes(&self.of_regression().of_scores(of_present))
    }

    /// Computes the log-probabilities of each row of a matrix, row after row.
    pub(super) fn log_probabilities_of(&self, features: &FeatureMatrix) -> Result<Vec<f64>> {
        let of_present = match &self.regression {
            Some(fitted) => self.of_regression().of_scores(fitted.scores_of(features)?),
            None => vec![0.0; features.rows()],
        };
        let rows = of_present.chunks_exact(self.of_regression().width());
        Ok(rows.flat_map(|row| self.of_all_classes(row)).collect())
    }

    /// Adds the classes without training rows to the log-probabilities of the classes that are present.
    fn of_all_classes(&self, of_present: &[f64]) -> Vec<f64> {
        if self.labels {
            return of_present.to_vec();
        }
        let absent = 1.0 / (self.rows + self.classes) as f64;
        let present = (1.0 - absent * (self.classes - self.present.len()) as f64).ln();
        let mut logs = vec![absent.ln(); self.classes];
        for (class, log) in self.present.iter().zip(of_present) {
            logs[*class as usize] = log + present;
        }
        logs
    }

    /// Checks that the parts of a regression that was read from a file fit together.
    ///
    /// # Errors
    /// [`Error::State`] if the classes or the weights do not fit the number of classes and of features.
    pub(super) fn check(&self, features: usize) -> Result<()> {
        let ascending = self.present.is_sorted_by(|before, after| before < after);
        let classes = self.present.last().is_some_and(|last| (*last as usize) < self.classes);
        let fits = match &self.regression {
            None => self.present.len() == 1 && !self.labels,
            Some(regression) => regression.fits(self.present.len(), features),
        };
        let all = !self.labels || self.present.len() == self.classes;
        if ascending && classes && fits && all {
            return Ok(());
        }
        let expected = format!("weights for {} classes and {features} features", self.classes);
        Err(Error::state("scores", expected, "inconsistent"))
    }
}
