//! Risk control of a dynamic model.

use dht_transformer::EncodedDataset;

use super::control::{Calibration, Promise, Promised};
use crate::error::{Error, Result};
use crate::evaluation::stages::Stages;
use crate::model::DynamicModel;

impl DynamicModel {
    /// Returns the model at the cheapest of `speeds` (ascending) that keeps a [promise](Promise) against its own
    /// last exit without stacking. Each calibration text runs all layers once. The speeds must not depend on the
    /// calibration texts: use the speeds of the [report](crate::accelerate::Report::curve).
    ///
    /// # Errors
    /// [`Error::SeenTexts`] where the [model was fitted on](Self::seen_texts) some of the calibration texts;
    /// [`Error::Argument`] for a model whose router follows no [rule](crate::Router::rule); as [`Promise::control`]; errors of
    /// the encoder.
    pub fn with_promise(
        &self,
        promise: Promise,
        calibration: &EncodedDataset,
        speeds: &[f64],
        batch_size: usize,
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
        let full = exits.last().map_or_else(Vec::new, |last| last.labels());
        let tables = self.stacked(calibration, exits)?;
        let stages = Stages::of_answers(self, calibration, &tables)?;
        let labels: Vec<u32> = calibration.samples.iter().map(|sample| sample.label).collect();
        let calibration = Calibration { stages: &stages, full: &full, labels: Some(&labels) };
        let promised = promise.control(calibration, speeds)?;
        Ok((self.with_speed(promised.threshold)?, promised))
    }
}
