//! Page–Hinkley test for an increase in the mean of a stream of values.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::validate::{LARGEST, LARGEST_SUM, check_bounded, check_parameter};

/// State of [`ChangeTest::PageHinkley`](super::ChangeTest::PageHinkley).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Saved")]
pub(super) struct PageHinkley {
    tolerance: f64,
    threshold: f64,
    count: f64,
    mean: f64,
    sum: f64,
    least: f64,
}

/// Serialised form of the test before validation.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    tolerance: f64,
    threshold: f64,
    count: f64,
    mean: f64,
    sum: f64,
    least: f64,
}

/// Largest accepted number of values in a loaded state.
const MOST_VALUES: f64 = 9_007_199_254_740_992.0;

impl TryFrom<Saved> for PageHinkley {
    type Error = Error;

    fn try_from(saved: Saved) -> Result<Self> {
        let Saved { tolerance, threshold, count, mean, sum, least } = saved;
        // Values are bounded, and so are their mean and sums of them.
        let bounded = mean.abs() <= LARGEST && sum.abs() <= LARGEST_SUM && least.abs() <= LARGEST_SUM;
        let sound = (0.0..=MOST_VALUES).contains(&count) && least <= sum && bounded;
        if !sound {
            let problem = "the sums cannot result from a stream of values".to_owned();
            return Err(Error::InvalidState { what: "change test", index: 0, problem });
        }
        Ok(Self { count, mean, sum, least, ..Self::new(tolerance, threshold)? })
    }
}

impl PageHinkley {
    /// Creates a test with the tolerance δ = `tolerance` and the threshold λ = `threshold`.
    ///
    /// # Errors
    /// Fails if the tolerance is negative, if the threshold is not positive, or if one of them exceeds 1e100.
    pub(super) fn new(tolerance: f64, threshold: f64) -> Result<Self> {
        check_parameter("tolerance", tolerance, (0.0..=LARGEST).contains(&tolerance), "from 0 to 1e100")?;
        check_parameter("threshold", threshold, threshold > 0.0 && threshold <= LARGEST, "positive, at most 1e100")?;
        Ok(Self { tolerance, threshold, count: 0.0, mean: 0.0, sum: 0.0, least: 0.0 })
    }
}

impl PageHinkley {
    /// Number of values since the last detected change.
    pub(super) fn window(&self) -> usize {
        self.count as usize
    }

    /// Mean of the values since the last detected change; 0 if there are none.
    pub(super) fn mean(&self) -> f64 {
        self.mean
    }

    /// Adds a value. Returns the direction of a change if the test detects one.
    pub(super) fn push(&mut self, value: f64) -> Result<Option<Ordering>> {
        check_bounded("value", value)?;
        self.count += 1.0;
        self.mean += (value - self.mean) / self.count;
        self.sum += value - self.mean - self.tolerance;
        self.least = self.least.min(self.sum);
        if self.sum - self.least > self.threshold {
            self.reset();
            return Ok(Some(Ordering::Greater));
        }
        Ok(None)
    }

    pub(super) fn reset(&mut self) {
        (self.count, self.mean, self.sum, self.least) = (0.0, 0.0, 0.0, 0.0);
    }
}
