//! Risk control: the cheapest threshold that keeps a risk below a limit.

use super::p_value::Losses;
use super::risk::Risk;
use crate::error::{Error, Result};
use crate::evaluation::stages::Stages;
use crate::outputs::{Outputs, f1};

/// Type of the guarantee.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Guarantee {
    /// The bound holds with at least this probability over the random draw of the calibration texts. The probability
    /// lies between 0 and 1, both excluded.
    Confidence(f64),
    /// The bound holds on average over draws of the calibration texts. The loss of a text is made monotone: its loss at
    /// a threshold is the largest of its losses at this and all lower thresholds.
    Expectation,
    /// The mean loss of the calibration texts plus this number of its standard errors, 0 or more, is at most the limit. By
    /// the normal approximation, 1 corresponds to a confidence of .84. One more text counts, with a loss of .12, since a few
    /// texts without a loss prove little. Needs the fewest texts; the bound is not exact.
    StandardErrors(f64),
}

/// Promise: an upper limit on a risk, with the type of its guarantee.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Promise {
    /// Bounded risk.
    pub risk: Risk,
    /// Limit, above 0 and below 1; .01 is one percentage point.
    pub most: f64,
    /// Type of the guarantee.
    pub guarantee: Guarantee,
}

/// Answers to calibration texts.
#[derive(Debug, Clone, Copy)]
pub struct Calibration<'a> {
    /// Stages of the dynamic model.
    pub stages: &'a Stages,
    /// Class that the full model predicts for each text; for several labels 0 or 1 for each label, text after text.
    pub full: &'a [u32],
    /// Labels of the texts, where the risk needs them, in the same form.
    pub labels: Option<&'a [u32]>,
}

/// Threshold that keeps a [promise](Promise), with its cost on the calibration texts.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Promised {
    /// Threshold, for [`DynamicModel::set_speed`](crate::DynamicModel::set_speed).
    pub threshold: f64,
    /// Risk of the calibration texts at this threshold.
    pub observed: f64,
    /// Smallest limit that holds at this threshold, with the same guarantee.
    pub bound: f64,
    /// FLOPs of the calibration texts at this threshold.
    pub flops: u64,
    /// Number of calibration texts.
    pub rows: usize,
}

impl Promise {
    /// Selects the cheapest of `thresholds` that keeps the promise. Thresholds ascend, so the most expensive is first. They
    /// must not depend on the calibration texts; the thresholds of a [report](crate::accelerate::Report::curve) come from
    /// other texts.
    ///
    /// # Errors
    /// * [`Error::Argument`] for a limit or a confidence out of range, thresholds that do not ascend, missing labels where
    ///   the risk needs them, and lists whose length is not the number of calibration texts.
    /// * [`Error::Promise`] if the promise cannot be proved even at the most expensive threshold. The error has the number
    ///   of texts that would suffice, and the limit that these texts prove.
    pub fn control(self, calibration: Calibration<'_>, thresholds: &[f64]) -> Result<Promised> {
        check(self, &calibration, thresholds)?;
        let Calibration { stages, full, labels } = calibration;
        let rows = stages.rows();
        let mut worst = vec![f64::NEG_INFINITY; rows];
        let mut kept: Option<(f64, Vec<f64>, f64, u64)> = None;
        for &threshold in thresholds {
            let at = stages.at(threshold);
            let losses = match self.risk {
                Risk::Regret => stages.regrets(&at.stages),
                risk => losses_of(risk, stages.outputs(), &at.labels, full, labels),
            };
            let observed = Losses::new(&losses).mean();
            worst.iter_mut().zip(&losses).for_each(|(worst, loss)| *worst = worst.max(*loss));
            let counted = match self.guarantee {
                Guarantee::Confidence(_) | Guarantee::StandardErrors(_) => losses,
                Guarantee::Expectation => worst.clone(),
            };
            if !keeps(Losses::new(&counted), self) {
                if kept.is_none() {
                    let (own, most) = (Losses::new(&counted), self.most);
                    return Err(Error::Promise { most, rows, needed: rows_needed(own, self), least: bound(own, self) });
                }
                break;
            }
            kept = Some((threshold, counted, observed, at.flops));
        }
        let Some((threshold, counted, observed, flops)) = kept else {
            return Err(Error::argument("thresholds", "at least one, ascending", "none"));
        };
        Ok(Promised { threshold, observed, bound: bound(Losses::new(&counted), self), flops, rows })
    }

    /// Returns whether the losses of some texts prove this promise.
    pub(crate) fn holds_for(self, losses: &[f64]) -> bool {
        keeps(Losses::new(losses), self)
    }
}

/// Loss of each text that is counted by its answers.
fn losses_of(risk: Risk, outputs: Outputs, found: &[u32], full: &[u32], labels: Option<&[u32]>) -> Vec<f64> {
    let texts = |answers: &'_ [u32]| answers.chunks_exact(outputs.decisions()).map(<[u32]>::to_vec).collect::<Vec<_>>();
    let score = |found: &[u32], truth: &[u32]| match outputs {
        Outputs::Classes(_) => f64::from(u8::from(found == truth)),
        Outputs::Labels(_) => f1(found, truth).unwrap_or(1.0),
    };
    let (found, full) = (texts(found), texts(full));
    match (risk, labels) {
        (Risk::AccuracyLoss, Some(labels)) => {
            let rows = found.iter().zip(&full).zip(texts(labels));
            rows.map(|((found, full), truth)| score(full, &truth) - score(found, &truth)).collect()
        }
        _ => found.iter().zip(&full).map(|(found, full)| f64::from(u8::from(found != full))).collect(),
    }
}

/// Returns whether the losses prove a promise.
fn keeps(losses: Losses<'_>, promise: Promise) -> bool {
    match promise.guarantee {
        Guarantee::Confidence(confidence) => {
            let delta = 1.0 - confidence;
            losses.mean() < promise.most && losses.p_value(promise.risk, promise.most, delta) <= delta
        }
        Guarantee::Expectation => losses.conformal() <= promise.most,
        Guarantee::StandardErrors(errors) => losses.with_errors(errors) <= promise.most,
    }
}

/// Smallest limit that these losses prove.
fn bound(losses: Losses<'_>, promise: Promise) -> f64 {
    match promise.guarantee {
        Guarantee::Confidence(confidence) => losses.upper_bound(promise.risk, 1.0 - confidence),
        Guarantee::Expectation => losses.conformal(),
        Guarantee::StandardErrors(errors) => losses.with_errors(errors),
    }
}

/// Number of texts with the same distribution of losses that would prove the promise. `None` if the observed risk
/// is not below the limit, or too close to it.
fn rows_needed(losses: Losses<'_>, promise: Promise) -> Option<usize> {
    const MOST: usize = 2_000_000;
    let enough_are = |rows: usize| keeps(losses.repeated(rows), promise);
    let mut enough = losses.rows().max(1);
    while !enough_are(enough) {
        enough *= 2;
        if enough > MOST {
            return None;
        }
    }
    let mut too_few = enough / 2;
    while enough - too_few > 1 + enough / 100 {
        let middle = usize::midpoint(too_few, enough);
        if enough_are(middle) { enough = middle } else { too_few = middle }
    }
    Some(enough)
}

fn check(promise: Promise, calibration: &Calibration<'_>, thresholds: &[f64]) -> Result<()> {
    let open = |field, value: f64| match value > 0.0 && value < 1.0 {
        true => Ok(()),
        false => Err(Error::argument(field, "above 0 and below 1", value)),
    };
    open("most", promise.most)?;
    match promise.guarantee {
        Guarantee::Confidence(confidence) => open("confidence", confidence)?,
        Guarantee::StandardErrors(errors) if !(errors.is_finite() && errors >= 0.0) => {
            return Err(Error::argument("standard errors", "a finite number, at least 0", errors));
        }
        Guarantee::Expectation | Guarantee::StandardErrors(_) => {}
    }
    if thresholds.is_empty() || !thresholds.is_sorted() {
        let got = if thresholds.is_empty() { "none" } else { "in another order" };
        return Err(Error::argument("thresholds", "at least one, ascending", got));
    }
    let rows = calibration.stages.rows() * calibration.stages.outputs().decisions();
    let lengths = [("full", Some(calibration.full.len())), ("labels", calibration.labels.map(<[u32]>::len))];
    for (field, got) in lengths {
        match got {
            Some(got) if got != rows => return Err(Error::argument(field, format!("{rows}, one a text"), got)),
            None if promise.risk == Risk::AccuracyLoss => {
                return Err(Error::argument(field, "one for each text, since accuracy is promised", "none"));
            }
            _ => {}
        }
    }
    Ok(())
}
