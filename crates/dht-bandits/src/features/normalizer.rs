//! Standardisation of contexts by their running mean and variance.

use serde::{Deserialize, Serialize};

use crate::clock::{check_decay, read_decay};
use crate::error::{Error, Result};
use crate::saved_state::{StateHeader, check_header, header_reader, serde_by_state};
use crate::validate::{
    LARGEST, LARGEST_SUM, check_bounded, check_context, check_finite, check_length, check_parameter, check_part,
    check_sum, check_within,
};

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NormalizerOptions {
    floor: f64,
    clip: Option<f64>,
    #[serde(alias = "forget", deserialize_with = "read_decay")]
    decay: f64,
    // Absent in states of formats 1 to 3, and then 0, so that their scaling does not change.
    #[serde(default)]
    relative_floor: f64,
}

/// Threshold below which a standard deviation counts as zero, as a fraction of the mean's magnitude. If all values of a
/// dimension are equal, rounding errors are about a thousandth of this fraction.
const RELATIVE_FLOOR: f64 = 1e-12;

/// Normalizer: standardises each dimension of a stream of contexts to mean 0 and variance 1 by running statistics, z =
/// (x − μ)/σ.
///
/// The statistics are updated by the method of Welford (1962) in the weighted form of West (1979), and merged by the
/// method of Chan, Golub & LeVeque (1979). σ² is the variance of the observed contexts: the sum of squared deviations
/// divided by the sum of weights.
///
/// # Contract
/// A model that has learned from contexts with one scaling is meaningless for contexts with another:
///
/// 1. Update a policy with the context that it received for its choice. A [`Decision`](crate::Decision) stores this
///    context.
/// 2. Do not mix scalings in one model: observe some contexts, call [`freeze`](Self::freeze), then let the policy
///    learn. If the scaling must change, create new policies and call `expire_decisions`.
/// 3. A normalizer that is never frozen violates rule 2 a little in each round, and less as its statistics converge.
///    This works, but less well.
///
/// A frozen normalizer ignores new observations. A constant dimension becomes 0: append an intercept column after
/// normalising, not before. A dimension counts as constant if its standard deviation is at most 1e-12·|μ|, which
/// rounding alone can cause, or below 1e-162, where the square underflows.
///
/// ```
/// use dht_bandits::Normalizer;
///
/// let mut normalizer = Normalizer::new(2)?;
/// normalizer.observe(&[1.0, 5.0])?;
/// normalizer.observe(&[3.0, 5.0])?;
/// normalizer.freeze();
/// assert_eq!(normalizer.normalise(&[3.0, 7.0])?, [1.0, 0.0]); // the second dimension never varied
/// # Ok::<(), dht_bandits::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Normalizer {
    options: NormalizerOptions,
    weight: f64,
    mean: Vec<f64>,
    // Weighted sum of squared deviations from the mean.
    squares: Vec<f64>,
    frozen: bool,
}

impl Normalizer {
    /// Creates a normalizer without observations, which returns 0 for every value. By default it has no absolute
    /// threshold of standard deviations, no bound on normalised values, and no decay.
    ///
    /// # Errors
    /// Fails if the dimension is zero or above 16,777,216.
    pub fn new(dimension: usize) -> Result<Self> {
        Self::with_options(
            dimension,
            NormalizerOptions { floor: 0.0, clip: None, decay: 1.0, relative_floor: RELATIVE_FLOOR },
        )
    }

    fn with_options(dimension: usize, options: NormalizerOptions) -> Result<Self> {
        check_length("dimension", dimension)?;
        check_parameter("floor", options.floor, options.floor >= 0.0, "at least 0")?;
        check_parameter("relative floor", options.relative_floor, options.relative_floor >= 0.0, "at least 0")?;
        if let Some(clip) = options.clip {
            check_parameter("clip", clip, clip > 0.0, "positive")?;
        }
        check_decay(options.decay)?;
        Ok(Self { options, weight: 0.0, mean: vec![0.0; dimension], squares: vec![0.0; dimension], frozen: false })
    }

    /// Sets an absolute threshold of standard deviations, 0 by default. A dimension whose standard deviation is at or
    /// below the threshold counts as constant, and its normalised values are 0.
    ///
    /// # Errors
    /// Fails if the threshold is below 0.
    pub fn with_floor(self, floor: f64) -> Result<Self> {
        check_parameter("floor", floor, floor >= 0.0, "at least 0")?;
        Ok(Self { options: NormalizerOptions { floor, ..self.options }, ..self })
    }

    /// Limits normalised values to [−clip, clip].
    ///
    /// # Errors
    /// Fails if the bound is not positive.
    pub fn with_clip(self, clip: f64) -> Result<Self> {
        check_parameter("clip", clip, clip > 0.0, "positive")?;
        Ok(Self { options: NormalizerOptions { clip: Some(clip), ..self.options }, ..self })
    }

    /// Sets the decay γ of old contexts: each new context multiplies the weights of earlier contexts by γ.
    ///
    /// # Errors
    /// Fails if the decay is outside [1e-100, 1].
    pub fn with_decay(self, decay: f64) -> Result<Self> {
        check_decay(decay)?;
        Ok(Self { options: NormalizerOptions { decay, ..self.options }, ..self })
    }

    /// Returns a normalizer with the same options and no observations.
    pub(crate) fn blank(&self) -> Self {
        let zeros = vec![0.0; self.dimension()];
        Self { options: self.options, weight: 0.0, mean: zeros.clone(), squares: zeros, frozen: false }
    }

    /// Length of a context.
    pub fn dimension(&self) -> usize {
        self.mean.len()
    }

    /// Number of observed contexts; with a decay, the sum of their weights.
    pub fn weight(&self) -> f64 {
        self.weight
    }

    /// Running mean of each dimension.
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// Running standard deviation of a dimension, or 0 if the dimension counts as constant. `None` if the dimension
    /// does not exist.
    pub fn deviation(&self, dimension: usize) -> Option<f64> {
        (dimension < self.dimension()).then(|| self.deviation_of(dimension))
    }

    fn deviation_of(&self, dimension: usize) -> f64 {
        let NormalizerOptions { floor, relative_floor, .. } = self.options;
        let deviation = if self.weight > 0.0 { (self.squares[dimension] / self.weight).sqrt() } else { 0.0 };
        if deviation > floor.max(relative_floor * self.mean[dimension].abs()) { deviation } else { 0.0 }
    }

    /// Stops updating the statistics, so that all later contexts are scaled in the same way.
    pub fn freeze(&mut self) {
        self.frozen = true;
    }

    /// Returns whether the statistics are frozen.
    pub fn is_frozen(&self) -> bool {
        self.frozen
    }

    /// Adds a context to the statistics, unless they are frozen. After an error the normalizer is unchanged.
    ///
    /// # Errors
    /// * Fails if the context has the wrong length, or a value that is not finite or beyond ±1e100.
    /// * Fails if the statistics would leave the range in which a saved normalizer can be loaded.
    pub fn observe(&mut self, context: &[f64]) -> Result<()> {
        self.observe_by(context, |mean, gap, earlier, weight| (mean + gap / weight, gap * gap * (earlier / weight)))
    }

    /// Adds a context to the variance around the current mean, and leaves the mean unchanged. Used if a policy has
    /// already learned from contexts centred by this mean.
    ///
    /// # Errors
    /// Fails as [`observe`](Self::observe) does.
    pub(crate) fn observe_about_mean(&mut self, context: &[f64]) -> Result<()> {
        self.observe_by(context, |mean, gap, _, _| (mean, gap * gap))
    }

    /// Adds a context to the statistics, unless they are frozen. `moved` returns the new mean of a dimension and the
    /// increment of its sum of squared deviations. Its arguments are the old mean, the value minus the old mean, the
    /// weight of the earlier contexts, and the weight of all contexts.
    #[inline]
    fn observe_by(&mut self, context: &[f64], moved: impl Fn(f64, f64, f64, f64) -> (f64, f64)) -> Result<()> {
        check_finite("context", context, self.dimension())?;
        check_context(context)?;
        if self.frozen {
            return Ok(());
        }
        let decay = self.options.decay;
        let earlier = self.weight * decay;
        let weight = earlier + 1.0;
        let moved = |mean: f64, squares: f64, value: f64| {
            let (mean, added) = moved(mean, value - mean, earlier, weight);
            (mean, squares * decay + added)
        };
        let dimensions = self.mean.iter().zip(&self.squares).zip(context);
        check_statistics(weight, dimensions.map(|((mean, squares), value)| moved(*mean, *squares, *value)))?;
        for ((mean, squares), &value) in self.mean.iter_mut().zip(&mut self.squares).zip(context) {
            (*mean, *squares) = moved(*mean, *squares, value);
        }
        self.weight = weight;
        Ok(())
    }

    /// Adds the statistics of another normalizer, which may be frozen (Chan, Golub & LeVeque 1979, equation 2.1). After
    /// an error this normalizer is unchanged.
    ///
    /// # Errors
    /// * Fails if the dimensions differ, or if `decay`, `floor` or `clip` differ (a missing clip counts as infinite).
    /// * Fails if only one normalizer was loaded from a state of format 1 to 3. These formats had no threshold of
    ///   standard deviations relative to the mean.
    /// * Fails if the statistics would leave the range in which a saved normalizer can be loaded.
    /// * Fails if this normalizer is frozen.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        let clip = |normalizer: &Self| normalizer.options.clip.unwrap_or(f64::INFINITY);
        for (what, ours, theirs) in [
            ("dimension", self.dimension() as f64, other.dimension() as f64),
            ("decay", self.options.decay, other.options.decay),
            ("floor", self.options.floor, other.options.floor),
            ("relative floor", self.options.relative_floor, other.options.relative_floor),
            ("clip", clip(self), clip(other)),
        ] {
            if ours != theirs {
                return Err(Error::Unlike { what, ours, theirs });
            }
        }
        if self.frozen {
            let theirs = f64::from(u8::from(other.frozen));
            return Err(Error::Unlike { what: "frozen (1 is yes)", ours: 1.0, theirs });
        }
        if other.weight == 0.0 {
            return Ok(());
        }
        let weight = self.weight + other.weight;
        let mut merged = self.clone();
        for index in 0..self.dimension() {
            let gap = other.mean[index] - self.mean[index];
            merged.mean[index] += gap * (other.weight / weight);
            merged.squares[index] += other.squares[index] + gap * gap * (self.weight * other.weight / weight);
        }
        merged.weight = weight;
        merged.check()?;
        *self = merged;
        Ok(())
    }

    /// Checks that means and variances are in the range in which a saved normalizer can be loaded.
    fn check(&self) -> Result<()> {
        check_statistics(self.weight, self.mean.iter().copied().zip(self.squares.iter().copied()))
    }

    /// Standardises a context by the current statistics, and returns the result.
    ///
    /// # Errors
    /// Fails if the context has the wrong length or is not finite.
    pub fn normalise(&self, context: &[f64]) -> Result<Vec<f64>> {
        let mut normalised = context.to_vec();
        self.normalise_in_place(&mut normalised)?;
        Ok(normalised)
    }

    /// Standardises a context in place by the current statistics. After an error the context is unchanged.
    ///
    /// # Errors
    /// Fails if the context has the wrong length, or a value that is not finite.
    pub fn normalise_in_place(&self, context: &mut [f64]) -> Result<()> {
        check_finite("context", context, self.dimension())?;
        let clip = self.options.clip.unwrap_or(f64::MAX);
        for (index, value) in context.iter_mut().enumerate() {
            let deviation = self.deviation_of(index);
            let centred = *value - self.mean[index];
            *value = if deviation > 0.0 { (centred / deviation).clamp(-clip, clip) } else { 0.0 };
        }
        Ok(())
    }
}

/// Largest accepted mean of a dimension. Values are within ±1e100, and rounding may move their mean slightly beyond
/// this.
const LARGEST_MEAN: f64 = 10.0 * LARGEST;

/// Checks the total weight, and each dimension's mean and sum of squared deviations. Fails if no contexts within ±1e100
/// could have them, or if a variance overflows. A normalizer stores only statistics that pass, so that every saved
/// normalizer can be loaded.
fn check_statistics(weight: f64, dimensions: impl Iterator<Item = (f64, f64)> + Clone) -> Result<()> {
    check_bounded("weight", weight)?;
    let fits = |(mean, squares): (f64, f64)| {
        (mean.abs() <= LARGEST_MEAN) & (squares <= LARGEST_SUM) & (squares <= LARGEST_SUM * weight)
    };
    // All values are checked in one pass without a branch, which vectorises. The fault is searched for only if there is
    // one.
    if dimensions.clone().fold(true, |all, dimension| all & fits(dimension)) {
        return Ok(());
    }
    dimensions.filter(|dimension| !fits(*dimension)).try_for_each(|(mean, squares)| {
        check_within("mean", mean, LARGEST_MEAN)?;
        check_sum("sum of squares", squares)?;
        Err(Error::TooLarge { what: "variance", value: squares / weight, limit: LARGEST_SUM })
    })
}

header_reader!("running-norm");

/// Saved state of a [`Normalizer`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NormalizerState {
    /// Type and format version of the state.
    #[serde(deserialize_with = "read_header")]
    pub header: StateHeader,
    options: NormalizerOptions,
    weight: f64,
    mean: Vec<f64>,
    squares: Vec<f64>,
    frozen: bool,
}

impl Normalizer {
    /// Returns the state of this normalizer, to be saved.
    pub fn state(&self) -> NormalizerState {
        NormalizerState {
            header: StateHeader::new("running-norm"),
            options: self.options,
            weight: self.weight,
            mean: self.mean.clone(),
            squares: self.squares.clone(),
            frozen: self.frozen,
        }
    }

    /// Restores a normalizer from a saved state.
    ///
    /// # Errors
    /// Fails if the state is of another type, has a newer version, or is inconsistent.
    pub fn from_state(state: &NormalizerState) -> Result<Self> {
        check_header(&state.header, "running-norm")?;
        let empty = Self::with_options(state.mean.len(), state.options)?;
        check_part("mean of the normalizer", 0, &state.mean, empty.dimension(), false)?;
        check_part("squares of the normalizer", 0, &state.squares, empty.dimension(), false)?;
        let problem = if let Some(index) = state.squares.iter().position(|squares| *squares < 0.0) {
            format!("squares {index} is {}, expected at least 0", state.squares[index])
        } else if state.weight == 0.0 && state.mean.iter().chain(&state.squares).any(|value| *value != 0.0) {
            "the weight is 0, but mean or squares are not".to_owned()
        } else if !(state.weight == 0.0 || state.weight >= 1e-100) {
            format!("weight is {}, expected 0, or 1e-100 to 1e100", state.weight)
        } else {
            let (mean, squares) = (state.mean.clone(), state.squares.clone());
            let normalizer = Self { weight: state.weight, mean, squares, frozen: state.frozen, ..empty };
            normalizer.check()?;
            return Ok(normalizer);
        };
        Err(Error::InvalidState { what: "normalizer", index: 0, problem })
    }
}

serde_by_state!([] Normalizer as NormalizerState);
