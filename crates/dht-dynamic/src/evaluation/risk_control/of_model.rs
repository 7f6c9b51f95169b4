//! Selects the speed (exit threshold) of a model by risk control.

use dht_transformer::EncodedDataset;
use dht_transformer::train::metrics::LabelThresholds;

use super::control::{Calibration, Promise, Promised};
use crate::error::{Error, Result};
use crate::evaluation::stages::Stages;
use crate::log_probabilities::LogProbabilities;
use crate::model::DynamicModel;
use crate::outputs::truth_of;

/// Function that computes the predicted classes or labels from a table of log-probabilities.
type Decide<'a> = &'a dyn Fn(&LogProbabilities) -> Vec<u32>;

impl DynamicModel {
    /// Returns the model at the cheapest of the ascending `speeds` (exit thresholds) that keeps a [promise](Promise),
    /// which is a limit on a risk. Also returns the risk and cost at this speed. The full model, against which the risk
    /// is measured, is the last exit alone, not combined with the n-gram classifier. Each calibration text runs all
    /// layers once. The speeds must not depend on the calibration texts: use the speeds of the
    /// [report](crate::accelerate::Report::curve).
    ///
    /// # Errors
    /// * [`Error::SeenTexts`] if the [model was fitted on](Self::seen_texts) some of the calibration texts.
    /// * [`Error::Argument`] if the model's router has no [rule](crate::Router::rule) with a threshold.
    /// * Any error of [`Promise::control`] or of the encoder.
    pub fn with_promise(
        &self,
        promise: Promise,
        calibration: &EncodedDataset,
        speeds: &[f64],
        batch_size: usize,
    ) -> Result<(DynamicModel, Promised)> {
        self.promised(promise, calibration, (speeds, batch_size), &LogProbabilities::labels)
    }

    /// Returns the model at the cheapest speed that keeps a [promise](Promise), like
    /// [`with_promise`](Self::with_promise), for a multi-label model. Each label has its own threshold, and applies if
    /// its probability is at least this threshold.
    ///
    /// # Errors
    /// As [`with_promise`](Self::with_promise); [`Error::Transformer`] if the number of thresholds is not the
    /// number of labels.
    pub fn with_promise_for(
        &self,
        promise: Promise,
        calibration: &EncodedDataset,
        speeds: &[f64],
        batch_size: usize,
        thresholds: &LabelThresholds,
    ) -> Result<(DynamicModel, Promised)> {
        let labels = self.model().classes();
        thresholds.check(labels)?;
        let decide = |table: &LogProbabilities| {
            let of_row = |p: Vec<f32>| {
                let mut row = vec![0; labels];
                thresholds.applying(&p).into_iter().for_each(|label| row[label] = 1);
                row
            };
            table.probabilities().into_iter().flat_map(of_row).collect()
        };
        self.promised(promise, calibration, (speeds, batch_size), &decide)
    }

    fn promised(
        &self,
        promise: Promise,
        calibration: &EncodedDataset,
        (speeds, batch_size): (&[f64], usize),
        decide: Decide<'_>,
    ) -> Result<(DynamicModel, Promised)> {
        let seen = self.seen_texts().rows_of(calibration);
        if let Some(&first) = seen.first() {
            return Err(Error::SeenTexts { what: "calibration texts", rows: seen.len(), first, of: calibration.len() });
        }
        self.model().check_texts(calibration)?;
        if self.router().rule().is_none() {
            return Err(Error::argument("router", "one that follows a rule", "another"));
        }
        let exits = self.model().exit_log_probabilities(calibration, batch_size)?;
        let full = exits.last().map_or_else(Vec::new, decide);
        let tables = self.stacked(calibration, exits)?;
        let stages = Stages::of_answers(self, calibration, &tables)?.decided(&tables, decide);
        let labels = truth_of(calibration);
        let calibration = Calibration { stages: &stages, full: &full, labels: Some(&labels) };
        let promised = promise.control(calibration, speeds)?;
        Ok((self.with_speed(promised.threshold)?, promised))
    }
}
