//! Logistic regression of an n-gram classifier, from features to log-probabilities of classes or labels.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::logistic::{FeatureMatrix, FitSettings, LinearModel, Minimum, RowTargets, SmoothedTargets, Standardisation};
use crate::outputs::Outputs;

/// Fitted logistic regression that predicts log-probabilities of all classes or labels. Classes without training rows
/// get a fixed, small probability.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClassScores {
    classes: usize,
    /// Classes with training rows, ascending. The regression has an output for these classes only. In multi-label
    /// tasks, all labels are listed: if no row or every row has a label, smoothing keeps its probability off 0 and 1.
    present: Vec<u32>,
    /// Number of training rows. The probability of classes without training rows depends on it.
    rows: usize,
    /// Regression over the classes in `present`; `None` if fewer than two classes have training rows.
    regression: Option<LinearModel>,
    /// True for multi-label tasks, false if each text has one class.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    labels: bool,
}

impl ClassScores {
    /// Fits the regression to rows of features. `labels` has the class index of each row, or a 0 or 1 for each row and
    /// label.
    ///
    /// The row weights of `settings` apply to classes only. The optimiser starts at `start`, the minimum for another
    /// inverse penalty C, or at zero. Also returns the new minimum, or `None` if fewer than two classes have rows.
    pub(super) fn fit(
        features: &FeatureMatrix,
        labels: &[u32],
        outputs: Outputs,
        settings: FitSettings<'_>,
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

    /// Converts a regression on standardised features to an equivalent regression on raw features.
    pub(super) fn folded(self, standardisation: &Standardisation) -> Self {
        Self { regression: self.regression.map(|regression| regression.unscaled(standardisation)), ..self }
    }

    /// Type and number of the outputs, including classes without training rows.
    pub(super) fn outputs(&self) -> Outputs {
        if self.labels { Outputs::Labels(self.classes) } else { Outputs::Classes(self.classes) }
    }

    /// Type and number of the regression's outputs, without the classes that have no training rows.
    fn of_regression(&self) -> Outputs {
        if self.labels { Outputs::Labels(self.classes) } else { Outputs::Classes(self.present.len()) }
    }

    /// Returns whether the regression has an output for `class`. This requires training rows of this class and of
    /// another class.
    pub(super) fn has_rows(&self, class: u32) -> bool {
        self.regression.is_some() && self.present.binary_search(&class).is_ok()
    }

    /// FLOPs of [`log_probabilities_of`](Self::log_probabilities_of) for a feature matrix.
    pub(super) fn flops_of(&self, features: &FeatureMatrix) -> u64 {
        if self.regression.is_some() { features.flops(self.present.len()) } else { 0 }
    }

    /// Computes the log-probabilities for one row of features. Each class without training rows gets the probability
    /// 1/(training rows + classes).
    pub(super) fn log_probabilities(&self, features: &[(u32, f32)]) -> Vec<f64> {
        let of_present = self.regression.as_ref().map_or_else(|| vec![0.0], |fitted| fitted.scores(features));
        self.of_all_classes(&self.of_regression().of_scores(of_present))
    }

    /// Computes the log-probabilities for all rows of a feature matrix, concatenated.
    pub(super) fn log_probabilities_of(&self, features: &FeatureMatrix) -> Result<Vec<f64>> {
        let of_present = match &self.regression {
            Some(fitted) => self.of_regression().of_scores(fitted.scores_of(features)?),
            None => vec![0.0; features.rows()],
        };
        let rows = of_present.chunks_exact(self.of_regression().width());
        Ok(rows.flat_map(|row| self.of_all_classes(row)).collect())
    }

    /// Extends log-probabilities of the classes with training rows to all classes.
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

    /// Checks that a regression read from a file is consistent, for `features` features.
    ///
    /// # Errors
    /// [`Error::State`] if the number of classes or of weights is wrong.
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
