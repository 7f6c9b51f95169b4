//! Risk control: selects the cheapest exit threshold whose risk stays below a limit.

use super::p_value::Losses;
use super::risk::Risk;
use crate::error::{Error, Result};
use crate::evaluation::stages::Stages;
use crate::outputs::{Outputs, f1};

/// Statistical guarantee that a risk stays below its limit: with a confidence, in expectation, or approximate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Guarantee {
    /// Guarantee with a confidence between 0 and 1. Over the random draw of the calibration texts, the limit holds with
    /// at least this probability.
    Confidence(f64),
    /// Guarantee in expectation: averaged over draws of the calibration texts, the risk is within the limit. The loss
    /// of each text is first made monotone, by taking the largest loss at the threshold and all lower thresholds.
    Expectation,
    /// Approximate guarantee: the mean loss of the calibration texts plus this number of standard errors (0 or more) is
    /// within the limit. By the normal approximation, 1 standard error corresponds to a confidence of .84. An imaginary
    /// text with a loss of .12 is added, since a few texts without a loss prove little. Of all guarantees, this one
    /// requires the fewest texts, but it is not exact.
    StandardErrors(f64),
}

/// Upper limit on a risk, such as the loss of accuracy by early exits, with the statistical guarantee that the limit
/// must have.
///
/// # Examples
/// Cheapest threshold at which at most a tenth of the predictions differ from the full model's, with a confidence of 90
/// %:
///
/// ```
/// use dht_dynamic::evaluation::{Calibration, Guarantee, Promise, Risk, Stages};
/// use dht_dynamic::{LogProbabilities, router::LeavingRule};
///
/// // 200 texts; both stages predict the same class.
/// let table = |p: f64| LogProbabilities::new(2, [p.ln(), (1.0 - p).ln()].repeat(200));
/// let flops = vec![vec![10; 200], vec![100; 200]];
/// let stages = Stages::new(&[table(0.8)?, table(0.99)?], flops, LeavingRule::Confidence)?;
///
/// let promise = Promise { risk: Risk::Disagreement, most: 0.1, guarantee: Guarantee::Confidence(0.9) };
/// let calibration = Calibration { stages: &stages, full: &[0; 200], labels: None };
/// let promised = promise.control(calibration, &[0.0, 0.3])?;
/// assert_eq!((promised.threshold, promised.flops), (0.3, 2_000));
/// assert!(promised.bound <= 0.1);
/// # Ok::<(), dht_dynamic::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Promise {
    /// Risk to bound, such as the loss of accuracy.
    pub risk: Risk,
    /// Upper limit of the risk, above 0 and below 1; .01 is one percentage point.
    pub most: f64,
    /// Statistical guarantee with which the limit must hold.
    pub guarantee: Guarantee,
}

/// Predictions for the calibration texts: with early exits and by the full model, with the labels.
#[derive(Debug, Clone, Copy)]
pub struct Calibration<'a> {
    /// Predictions of the model with early exits at each stage (n-gram classifier or exit).
    pub stages: &'a Stages,
    /// Class that the full model predicts for each text. For a multi-label model, a 0 or 1 for each label of the first
    /// text, then of the second text, and so on.
    pub full: &'a [u32],
    /// Labels of the texts in the same form as `full`; required if the risk is [`Risk::AccuracyLoss`].
    pub labels: Option<&'a [u32]>,
}

/// Exit threshold that keeps a [promise](Promise), which is a limit on a risk. Also the risk and the cost on the
/// calibration texts.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Promised {
    /// Exit threshold, for [`DynamicModel::set_speed`](crate::DynamicModel::set_speed).
    pub threshold: f64,
    /// Risk at this threshold, measured on the calibration texts.
    pub observed: f64,
    /// Smallest upper limit of the risk that the calibration texts prove at this threshold, with the same guarantee.
    pub bound: f64,
    /// Total FLOPs of the calibration texts at this threshold.
    pub flops: u64,
    /// Number of calibration texts.
    pub rows: usize,
}

impl Promise {
    /// Selects the cheapest of `thresholds` at which the risk is proven to be within the limit. Thresholds ascend, so
    /// the most expensive is first. They must not depend on the calibration texts. The speeds of a
    /// [report](crate::accelerate::Report::curve) are suitable, since they come from other texts.
    ///
    /// # Errors
    /// * [`Error::Argument`] if the limit or the confidence is out of range, or the thresholds do not ascend.
    /// * [`Error::Argument`] if labels that the risk requires are missing, or if `full` or `labels` has the wrong
    ///   length.
    /// * [`Error::Promise`] if the limit cannot be proven even at the most expensive threshold. The error has the
    ///   number of texts that would suffice, and the limit that the calibration texts prove.
    pub fn control(self, calibration: Calibration<'_>, thresholds: &[f64]) -> Result<Promised> {
        check(self, &calibration, thresholds)?;
        let Calibration { stages, full, labels } = calibration;
        let rows = stages.rows();
        let mut worst = vec![f64::NEG_INFINITY; rows];
        let mut accepted: Option<(f64, Vec<f64>, f64, u64)> = None;
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
                if accepted.is_none() {
                    let (own, most) = (Losses::new(&counted), self.most);
                    return Err(Error::Promise { most, rows, needed: rows_needed(own, self), least: bound(own, self) });
                }
                break;
            }
            accepted = Some((threshold, counted, observed, at.flops));
        }
        let Some((threshold, counted, observed, flops)) = accepted else {
            return Err(Error::argument("thresholds", "at least one, ascending", "none"));
        };
        Ok(Promised { threshold, observed, bound: bound(Losses::new(&counted), self), flops, rows })
    }

    /// Returns whether `losses`, one for each calibration text, prove that the risk is within this promise's limit.
    pub(crate) fn holds_for(self, losses: &[f64]) -> bool {
        keeps(Losses::new(losses), self)
    }
}

/// Computes the loss of each text for a risk. For the loss of accuracy, it is the full model's score minus the score of
/// `answers`. Otherwise it is 1 if `answers` differ from the full model's predictions, and 0 if they agree.
fn losses_of(risk: Risk, outputs: Outputs, answers: &[u32], full: &[u32], labels: Option<&[u32]>) -> Vec<f64> {
    let texts = |answers: &'_ [u32]| answers.chunks_exact(outputs.decisions()).map(<[u32]>::to_vec).collect::<Vec<_>>();
    let score = |answer: &[u32], truth: &[u32]| match outputs {
        Outputs::Classes(_) => f64::from(u8::from(answer == truth)),
        Outputs::Labels(_) => f1(answer, truth).unwrap_or(1.0),
    };
    let (answers, full) = (texts(answers), texts(full));
    match (risk, labels) {
        (Risk::AccuracyLoss, Some(labels)) => {
            let rows = answers.iter().zip(&full).zip(texts(labels));
            rows.map(|((answer, full), truth)| score(full, &truth) - score(answer, &truth)).collect()
        }
        _ => answers.iter().zip(&full).map(|(answer, full)| f64::from(u8::from(answer != full))).collect(),
    }
}

/// Returns whether the losses of the calibration texts prove that the risk is within the limit of `promise`.
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

/// Smallest upper limit of the risk that the losses prove, with the guarantee of `promise`.
fn bound(losses: Losses<'_>, promise: Promise) -> f64 {
    match promise.guarantee {
        Guarantee::Confidence(confidence) => losses.upper_bound(promise.risk, 1.0 - confidence),
        Guarantee::Expectation => losses.conformal(),
        Guarantee::StandardErrors(errors) => losses.with_errors(errors),
    }
}

/// Number of texts that would prove the promise, if further texts have losses like the present ones. `None` if the
/// observed risk is above the limit or too close to it.
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
