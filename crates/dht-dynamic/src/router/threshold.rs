//! Router that stops a text at the first exit where its uncertainty is below a threshold. It has no parameters to
//! learn.

use std::sync::Arc;

use super::decisions::Notes;
use super::exit_rule::ExitRule;
use super::router::{ExitView, Router};
use super::rule::LeavingRule;
use crate::error::{Error, Result};

/// Router that stops a text at the first exit whose prediction has an uncertainty below the threshold. The n-gram
/// classifier counts as an exit.
///
/// With a threshold of 0, every text runs to the last exit, and no earlier exit after a layer is computed. With a
/// threshold above 1, every text stops at the first exit.
///
/// [`Router::flops`] is 0, since the uncertainty needs no matrix products. The FLOPs of the exits are counted
/// separately.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Threshold {
    rule: LeavingRule,
    threshold: f64,
}

impl Threshold {
    /// Creates a router with a threshold on the uncertainty that the rule measures.
    ///
    /// # Errors
    /// [`Error::Argument`] if the threshold is negative or not finite, or if the rule is [`LeavingRule::Patience`].
    pub fn new(rule: LeavingRule, threshold: f64) -> Result<Self> {
        match rule {
            LeavingRule::Confidence | LeavingRule::Entropy => {}
            LeavingRule::Patience => {
                return Err(Error::argument("rule", "confidence or entropy, of one exit", "patience"));
            }
        }
        if !(threshold.is_finite() && threshold >= 0.0) {
            return Err(Error::argument("threshold", "a finite number, at least 0", threshold));
        }
        Ok(Self { rule, threshold })
    }
}

impl ExitRule for Threshold {
    fn reads(&self, exit: usize, last: usize) -> bool {
        exit < last && self.threshold > 0.0
    }

    fn leaves(&self, view: &ExitView<'_>, _: &mut [Notes]) -> Result<Vec<bool>> {
        if self.threshold == 0.0 {
            return Ok(vec![false; view.members.len()]);
        }
        let answers = view.needed_answers()?;
        let uncertainty = |logs| self.rule.uncertainty(answers.outputs(), logs);
        Ok(answers.rows().map(|logs| uncertainty(logs) < self.threshold).collect())
    }

    fn speed(&self) -> Option<f64> {
        Some(self.threshold)
    }

    fn at_speed(&self, speed: f64) -> Result<Arc<dyn Router>> {
        match speed.is_finite() && speed >= 0.0 {
            true => Ok(Arc::new(Self { threshold: speed, ..*self })),
            false => Err(Error::argument("speed", "a finite number, at least 0", speed)),
        }
    }

    fn rule(&self) -> Option<LeavingRule> {
        Some(self.rule)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outputs::Outputs;

    #[test]
    fn the_measures_of_known_probabilities() {
        let logs = [0.5_f64, 0.25, 0.25].map(f64::ln);
        let entropy = LeavingRule::Entropy.uncertainty(3.into(), &logs);
        assert!((entropy - 1.5 * 2_f64.ln() / 3_f64.ln()).abs() < 1e-12, "{entropy}");
        assert!((LeavingRule::Confidence.uncertainty(3.into(), &logs) - 0.5).abs() < 1e-12);
        for rule in [LeavingRule::Entropy, LeavingRule::Confidence] {
            let sure = rule.uncertainty(2.into(), &[0.0, -1e3]);
            assert!((0.0..1e-12).contains(&sure), "nothing is below a threshold of 0: {sure}");
        }
        // For two labels with probabilities .9 and .2, the likeliest set has the probability .9·.8.
        let (labels, logs) = (Outputs::Labels(2), [0.1_f64, 0.9, 0.8, 0.2].map(f64::ln));
        let confidence = LeavingRule::Confidence.uncertainty(labels, &logs);
        assert!((confidence - (1.0 - 0.72)).abs() < 1e-12, "{confidence}");
        let of = |p: f64| -(p * p.ln() + (1.0 - p) * (1.0 - p).ln()) / 2_f64.ln();
        let entropy = LeavingRule::Entropy.uncertainty(labels, &logs);
        assert!((entropy - f64::midpoint(of(0.9), of(0.2))).abs() < 1e-12, "{entropy}");
    }
}
