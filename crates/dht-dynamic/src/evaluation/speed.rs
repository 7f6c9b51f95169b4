//! Calibration of the speed: selects the price of cost λ, or a threshold, for a budget of FLOPs.

use dht_transformer::EncodedDataset;
use serde::{Deserialize, Serialize};

use super::evaluation::evaluate;
use crate::error::{Error, Result};
use crate::prediction::WithSpeed;

/// A speed at which only the cost matters. As λ, it equates one nat with a ten-thousandth of the model's cost; as a
/// threshold, it exceeds any entropy.
const LARGEST: f64 = 1e4;
/// The λ at which the search starts if the model's own λ is not above 0.
const START: f64 = 0.1;
/// The factor by which λ changes while only values on one side of the target are known.
const STRIDE: f64 = 4.0;
/// Two values of λ that differ by less than this factor count as equal; the FLOPs ratio may jump between them.
const CLOSE: f64 = 1.001;
/// A smaller λ counts as 0.
const SMALLEST: f64 = 1e-6;

/// A speed and its cost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Speed {
    /// λ or the router's threshold, for [`WithSpeed::with_speed`].
    pub lambda: f64,
    /// FLOPs of encoder, classifiers and bandits divided by the full model's FLOPs, on the texts on which λ was
    /// calibrated.
    pub flops_ratio: f64,
}

impl Speed {
    /// Tolerance of the FLOPs ratio of a calibrated λ, as a share of the full model: half a per cent.
    pub const TOLERANCE: f64 = 0.005;
}

/// Cost and accuracy of a speed on some texts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpeedPoint {
    /// The speed, for [`WithSpeed::with_speed`].
    pub speed: f64,
    /// FLOPs divided by the full model's FLOPs.
    pub flops_ratio: f64,
    /// The accuracy.
    pub accuracy: f64,
}

/// Cost of a model on some texts as a function of the speed. A speed is measured when it is first requested, and the
/// result is stored, so that several budgets share their passes.
#[derive(Debug)]
pub struct SpeedCurve<'a, M> {
    model: &'a M,
    texts: &'a EncodedDataset,
    batch_size: usize,
    full_flops: f64,
    /// The measurements by λ, ascending; the first is λ = 0, the last [`LARGEST`].
    measured: Vec<Speed>,
}

impl<'a, M: WithSpeed> SpeedCurve<'a, M> {
    /// Measures both ends, in two passes: λ = 0, and a λ so large that only the cost matters.
    ///
    /// # Errors
    /// [`Error::Argument`] for no texts, and for a model whose training rewards already included the cost; errors of
    /// the encoder.
    pub fn new(model: &'a M, texts: &'a EncodedDataset, batch_size: usize) -> Result<Self> {
        if texts.is_empty() {
            return Err(Error::argument("texts", "at least one", 0));
        }
        let full_flops = model.full_flops_of(texts) as f64;
        let mut curve = Self { model, texts, batch_size, full_flops, measured: Vec::new() };
        for lambda in [0.0, LARGEST] {
            curve.measure(lambda)?;
        }
        Ok(curve)
    }

    /// The minimum and maximum FLOPs ratio of the model on these texts.
    pub fn range(&self) -> (f64, f64) {
        (self.measured[self.measured.len() - 1].flops_ratio, self.measured[0].flops_ratio)
    }

    /// `count` budgets at equal distances over the [`range`](Self::range), both ends included, cheapest first.
    pub fn budgets(&self, count: usize) -> Vec<f64> {
        let (least, most) = self.range();
        let last = count.saturating_sub(1).max(1) as f64;
        (0..count).map(|index| (least + (most - least) * index as f64 / last).clamp(least, most)).collect()
    }

    /// All measurements, by λ.
    pub fn measured(&self) -> &[Speed] {
        &self.measured
    }

    /// Selects the λ whose FLOPs ratio is within [`Speed::TOLERANCE`] of the target. There is no such λ if many
    /// texts change their routes at the same λ. The nearest known ratio below the target is selected then, so that the
    /// budget holds.
    ///
    /// The search alternates bisection and linear interpolation in the logarithm of λ. It takes three to six passes;
    /// each costs the ratio that it measures.
    ///
    /// # Errors
    /// [`Error::Budget`] with the [`range`](Self::range) for a target that is outside this range or not a number;
    /// errors of the encoder.
    pub fn calibrate(&mut self, target: f64) -> Result<Speed> {
        let (least, most) = self.range();
        if !(least..=most).contains(&target) {
            return Err(Error::Budget { target, least, most });
        }
        let mut step = 0_usize;
        loop {
            let near =
                |speed: &&Speed| speed.lambda < LARGEST && (speed.flops_ratio - target).abs() <= Speed::TOLERANCE;
            let distance = |speed: &Speed| (speed.flops_ratio - target).abs();
            let nearest = self.measured.iter().filter(near).min_by(|a, b| distance(a).total_cmp(&distance(b)));
            if let Some(speed) = nearest {
                return Ok(*speed);
            }
            // The first adjacent pair with the target between them; the two ends bracket every target in range.
            let above = self.measured.windows(2).position(|pair| pair[1].flops_ratio <= target).unwrap_or(0);
            let (costly, cheap) = (self.measured[above], self.measured[above + 1]);
            match self.between(costly, cheap, target, step) {
                Some(lambda) => self.measure(lambda)?,
                None => return Ok(cheap),
            }
            step += 1;
        }
    }

    /// The next λ to try between two values; `None` if they are too close.
    fn between(&self, costly: Speed, cheap: Speed, target: f64, step: usize) -> Option<f64> {
        let (low, high) = (costly.lambda, cheap.lambda);
        let lambda = match (low < SMALLEST, high >= LARGEST) {
            (true, true) => self.model.speed().filter(|own| (SMALLEST..LARGEST).contains(own)).unwrap_or(START),
            (true, false) => high / STRIDE,
            (false, true) => low * STRIDE,
            (false, false) if high / low < CLOSE => return None,
            (false, false) => {
                let line = (costly.flops_ratio - target) / (costly.flops_ratio - cheap.flops_ratio);
                // Interpolation alone converges slowly on curves, so every other step bisects.
                let share = if step.is_multiple_of(2) { line.clamp(0.1, 0.9) } else { 0.5 };
                low * (high / low).powf(share)
            }
        };
        (lambda > low.max(SMALLEST) && lambda < high).then_some(lambda)
    }

    fn measure(&mut self, lambda: f64) -> Result<()> {
        let evaluation = evaluate(&self.model.with_speed(lambda)?, self.texts, self.batch_size)?;
        let flops_ratio = (evaluation.flops + evaluation.bandit_flops) as f64 / self.full_flops;
        let index = self.measured.partition_point(|speed| speed.lambda < lambda);
        self.measured.insert(index, Speed { lambda, flops_ratio });
        Ok(())
    }
}

/// Selects the λ at which a model costs `target_flops_ratio` of the full model's inference FLOPs (encoder, exits and
/// routers) on texts like these. Returns λ with the measured ratio: see [`SpeedCurve::calibrate`]. The model itself
/// does not change; set the speed with [`with_speed`](WithSpeed::with_speed). Calibrate on held-out texts.
///
/// # Errors
/// As [`SpeedCurve::new`] and [`SpeedCurve::calibrate`].
pub fn calibrate<M: WithSpeed>(
    model: &M,
    texts: &EncodedDataset,
    target_flops_ratio: f64,
    batch_size: usize,
) -> Result<Speed> {
    SpeedCurve::new(model, texts, batch_size)?.calibrate(target_flops_ratio)
}
