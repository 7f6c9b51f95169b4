//! Calibrates the speed: selects the exit threshold of a model for a budget of FLOPs.

use dht_transformer::EncodedDataset;
use serde::{Deserialize, Serialize};

use super::evaluation::evaluate;
use crate::error::{Error, Result};
use crate::model::DynamicModel;
use crate::prediction::Predictor;

/// Largest speed. It counts as infinite, so that only the cost matters: as an exit threshold, it is above any
/// uncertainty. For the bandits of `dht-search`, it is a price of 10,000 nats of loss for the full model's computation,
/// which outweighs any loss.
const LARGEST: f64 = 1e4;
/// First speed that the search tries if the model's own speed is 0.
const START: f64 = 0.1;
/// Factor between successive speeds while the search brackets the target cost. It is used until a speed between 0 and
/// [`LARGEST`] has been measured on each side of the target.
const STRIDE: f64 = 4.0;
/// Ratio of the two bracketing speeds at which the search ends. The cost may jump between them, so that the target is
/// not reached exactly.
const CLOSE: f64 = 1.001;
/// Smallest speed that the search tries. Below it, a speed counts as 0.
const SMALLEST: f64 = 1e-6;

/// Speed (exit threshold) of a model with early exits, and its measured cost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Speed {
    /// Value for [`DynamicModel::with_speed`]. For an accelerated model, it is the threshold of the [routing
    /// rule](crate::router::LeavingRule). For the bandits of `dht-search`, it is the price of computation: the loss in
    /// nats that equals the cost of the full model.
    pub speed: f64,
    /// FLOPs of encoder, exits and routers on the measured texts, divided by the full model's FLOPs.
    pub flops_ratio: f64,
}

impl Speed {
    /// Permitted deviation from the target cost in a calibration: half a per cent of the full model's FLOPs.
    pub const TOLERANCE: f64 = 0.005;
}

/// Cost and accuracy of a model with early exits at one speed (exit threshold), measured on a set of texts.
///
/// # Examples
/// ```
/// use dht_dynamic::evaluation::SpeedPoint;
///
/// // Two texts stop early, two run the full model.
/// let point = SpeedPoint::of_texts(0.3, 0.92, &[10, 10, 100, 100], &[100; 4]);
/// assert!((point.flops_ratio - 0.55).abs() < 1e-12);
/// assert!(!point.costs_at_most(0.55)); // the ratio has a standard error
/// assert!(point.costs_at_most(0.75));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpeedPoint {
    /// Speed (exit threshold), for [`DynamicModel::with_speed`].
    pub speed: f64,
    /// FLOPs at this speed, divided by the full model's FLOPs.
    pub flops_ratio: f64,
    /// Standard error of `flops_ratio` over the random draw of the texts. It can be large: if the mean cost is small,
    /// most of it comes from the few texts that run all layers. 0 if the error is unknown, as in files of earlier
    /// versions.
    #[serde(default)]
    pub flops_error: f64,
    /// Accuracy at this speed; micro F1 for a multi-label model.
    pub accuracy: f64,
}

/// Safety margin on a measured cost, in standard errors. The value was selected on 600 held-out rows, with budgets from
/// .05 to .5 of the full model's FLOPs. With half a standard error, unseen rows cost .89 of the budget on average and
/// at most 1.19; without a margin, .93 and 1.29.
const ERRORS: f64 = 0.5;

impl SpeedPoint {
    /// Computes cost and standard error at one speed from the FLOPs of each text, at this speed and in the full model.
    pub fn of_texts(speed: f64, accuracy: f64, flops: &[u64], full_flops: &[u64]) -> Self {
        let sum = |flops: &[u64]| flops.iter().sum::<u64>() as f64;
        let (rows, full) = (flops.len() as f64, sum(full_flops).max(1.0));
        let flops_ratio = sum(flops) / full;
        // The linearised variance of a ratio of sums.
        let squares: f64 =
            flops.iter().zip(full_flops).map(|(own, full)| (*own as f64 - flops_ratio * *full as f64).powi(2)).sum();
        let flops_error = (squares * rows / (rows - 1.0).max(1.0)).sqrt() / full;
        Self { speed, flops_ratio, flops_error, accuracy }
    }

    /// Returns whether similar texts are expected to cost at most `flops_ratio` times the full model's FLOPs: the
    /// measured cost plus half a standard error must be within this limit.
    pub fn costs_at_most(&self, flops_ratio: f64) -> bool {
        self.flops_ratio + ERRORS * self.flops_error <= flops_ratio
    }
}

/// Cost of a model on a set of texts, as a function of the model's speed (exit threshold). A speed is measured when it
/// is first requested. Measurements are stored, so that several budgets share them.
///
/// # Examples
/// ```
/// # use candle_core::Device;
/// # use dht_dynamic::router::LeavingRule;
/// # use dht_dynamic::transformer::{BertConfig, Dataset, Encoder, Example, TextTokenizer};
/// # use dht_dynamic::{DynamicModel, ExitModel, ExitSettings};
/// # use rand::SeedableRng;
/// use dht_dynamic::SpeedCurve;
///
/// # let examples = [("good food", 1), ("bad food", 0), ("good film", 1), ("bad film", 0)];
/// # let examples = examples.map(|(text, label)| Example::new(text, label)).to_vec();
/// # let data = Dataset::from_examples("reviews", vec!["bad".into(), "good".into()], examples)?;
/// # let tokenizer = TextTokenizer::train(["good bad food film"], 50)?;
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
/// # let config = BertConfig::small(2, 6, 24, tokenizer.vocabulary_size())?;
/// # let encoder = Encoder::random(&config, &Device::Cpu, &mut rng)?;
/// # let exits = ExitModel::new(encoder, ExitSettings::linear(vec![1, 2]), 2, &mut rng)?;
/// # let model = DynamicModel::new(exits, LeavingRule::Confidence)?;
/// let texts = tokenizer.encode_all(&data, 16)?;
/// let mut curve = SpeedCurve::new(&model, &texts, 8)?;
/// let (least, most) = curve.range();
/// assert!(least < most);
/// assert_eq!(curve.budgets(3).len(), 3);
/// assert!(curve.calibrate(2.0 * most).is_err()); // no speed costs as much
/// # Ok::<(), dht_dynamic::Error>(())
/// ```
#[derive(Debug)]
pub struct SpeedCurve<'a> {
    model: &'a DynamicModel,
    texts: &'a EncodedDataset,
    batch_size: usize,
    full_flops: f64,
    /// Measured speeds in ascending order. The first is speed 0, at which every text runs all layers, and the last is
    /// [`LARGEST`].
    measured: Vec<Speed>,
}

impl<'a> SpeedCurve<'a> {
    /// Measures the most expensive and the cheapest speed, in two passes over the texts: speed 0, at which every text
    /// runs all layers, and speed 10,000, at which a router takes the cheapest route.
    ///
    /// # Errors
    /// * [`Error::Argument`] if there are no texts, or if the model's speed cannot be changed.
    /// * Any error of the encoder.
    pub fn new(model: &'a DynamicModel, texts: &'a EncodedDataset, batch_size: usize) -> Result<Self> {
        if texts.is_empty() {
            return Err(Error::argument("texts", "at least one", 0));
        }
        let full_flops = model.full_flops_of(texts) as f64;
        let mut curve = Self { model, texts, batch_size, full_flops, measured: Vec::new() };
        for speed in [0.0, LARGEST] {
            curve.measure(speed)?;
        }
        Ok(curve)
    }

    /// Minimum and maximum cost of the model on the texts, relative to the full model's FLOPs.
    pub fn range(&self) -> (f64, f64) {
        (self.measured[self.measured.len() - 1].flops_ratio, self.measured[0].flops_ratio)
    }

    /// Returns `count` evenly spaced budgets from the minimum to the maximum of the [`range`](Self::range), cheapest
    /// first.
    pub fn budgets(&self, count: usize) -> Vec<f64> {
        let (least, most) = self.range();
        let last = count.saturating_sub(1).max(1) as f64;
        (0..count).map(|index| (least + (most - least) * index as f64 / last).clamp(least, most)).collect()
    }

    /// All measurements so far, in ascending order of speed.
    pub fn measured(&self) -> &[Speed] {
        &self.measured
    }

    /// Selects a speed whose FLOPs ratio is within [`Speed::TOLERANCE`] of the target. If many texts change their exits
    /// at the same speed, the ratio may jump over the target. Then the speed with the nearest ratio below the target is
    /// selected.
    ///
    /// The search alternates bisection and linear interpolation in the logarithm of the speed, and takes three to six
    /// passes over the texts. The FLOPs ratio of a speed is also the cost of measuring it, relative to a pass of the
    /// full model.
    ///
    /// # Errors
    /// [`Error::Budget`] if the target is outside the [`range`](Self::range) or not a number; errors of the encoder.
    pub fn calibrate(&mut self, target: f64) -> Result<Speed> {
        let (least, most) = self.range();
        if !(least..=most).contains(&target) {
            return Err(Error::Budget { target, least, most });
        }
        let mut step = 0_usize;
        loop {
            let near = |point: &&Speed| point.speed < LARGEST && (point.flops_ratio - target).abs() <= Speed::TOLERANCE;
            let distance = |point: &Speed| (point.flops_ratio - target).abs();
            let nearest = self.measured.iter().filter(near).min_by(|a, b| distance(a).total_cmp(&distance(b)));
            if let Some(point) = nearest {
                return Ok(*point);
            }
            // The first adjacent pair with the target between them; the two ends bracket every target in range.
            let above = self.measured.windows(2).position(|pair| pair[1].flops_ratio <= target).unwrap_or(0);
            let (costly, cheap) = (self.measured[above], self.measured[above + 1]);
            match self.between(costly, cheap, target, step) {
                Some(speed) => self.measure(speed)?,
                None => return Ok(cheap),
            }
            step += 1;
        }
    }

    /// Selects the next speed to measure, between the measured speeds of `costly` and `cheap`. Returns `None` if these
    /// two are too close.
    fn between(&self, costly: Speed, cheap: Speed, target: f64, step: usize) -> Option<f64> {
        let (low, high) = (costly.speed, cheap.speed);
        let speed = match (low < SMALLEST, high >= LARGEST) {
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
        (speed > low.max(SMALLEST) && speed < high).then_some(speed)
    }

    fn measure(&mut self, speed: f64) -> Result<()> {
        let evaluation = evaluate(&self.model.with_speed(speed)?, self.texts, self.batch_size)?;
        let flops_ratio = (evaluation.flops + evaluation.routing_flops) as f64 / self.full_flops;
        let index = self.measured.partition_point(|point| point.speed < speed);
        self.measured.insert(index, Speed { speed, flops_ratio });
        Ok(())
    }
}

/// Selects the speed (exit threshold) at which a model's inference costs `target_flops_ratio` times the full model's
/// FLOPs. Encoder, exits and routers are counted. Returns the speed with its measured cost: see
/// [`SpeedCurve::calibrate`]. The texts should be held out from training. The model itself does not change; set the
/// speed with [`with_speed`](DynamicModel::with_speed).
///
/// # Errors
/// Any error of [`SpeedCurve::new`] or [`SpeedCurve::calibrate`].
pub fn calibrate(
    model: &DynamicModel,
    texts: &EncodedDataset,
    target_flops_ratio: f64,
    batch_size: usize,
) -> Result<Speed> {
    SpeedCurve::new(model, texts, batch_size)?.calibrate(target_flops_ratio)
}
