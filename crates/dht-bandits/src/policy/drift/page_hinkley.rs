//! Page–Hinkley change test.

use super::{Change, ChangeDetector};
use crate::error::{Error, Result};
use crate::validate::{LARGEST, LARGEST_SUM, check_bounded, check_parameter};
use serde::{Deserialize, Serialize};

/// Page–Hinkley test (Page 1954, "Continuous inspection schemes"; Hinkley 1971). With x̄_t the mean so far and m_t =
/// Σ_{i≤t} (x_i − x̄_i − δ), the mean has increased when m_t − min_i m_i > λ. Decreases are not detected. O(1).
///
/// δ is the tolerated change, and λ the threshold that limits false alarms, both in units of the values.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Saved")]
pub struct PageHinkley {
    tolerance: f64,
    threshold: f64,
    count: f64,
    mean: f64,
    sum: f64,
    least: f64,
}

/// Serialised form, unchecked.
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

/// Largest number of values in a loaded state.
const MOST_VALUES: f64 = 9_007_199_254_740_992.0;

impl TryFrom<Saved> for PageHinkley {
    type Error = Error;

    fn try_from(saved: Saved) -> Result<Self> {
        let Saved { tolerance, threshold, count, mean, sum, least } = saved;
        // Values are bounded, and so are their mean and sums of them.
        let bounded = mean.abs() <= LARGEST && sum.abs() <= LARGEST_SUM && least.abs() <= LARGEST_SUM;
        let sound = (0.0..=MOST_VALUES).contains(&count) && least <= sum && bounded;
        if !sound {
            let problem = "sums that no stream of values has".to_owned();
            return Err(Error::InvalidState { what: "change test", index: 0, problem });
        }
        Ok(Self { count, mean, sum, least, ..Self::new(tolerance, threshold)? })
    }
}

impl PageHinkley {
    /// Creates a test with δ = `tolerance` and λ = `threshold`.
    ///
    /// # Errors
    /// A tolerance that is negative; a threshold that is not positive; one of them beyond 1e100.
    pub fn new(tolerance: f64, threshold: f64) -> Result<Self> {
        check_parameter("tolerance", tolerance, (0.0..=LARGEST).contains(&tolerance), "from 0 to 1e100")?;
        check_parameter("threshold", threshold, threshold > 0.0 && threshold <= LARGEST, "positive, at most 1e100")?;
        Ok(Self { tolerance, threshold, count: 0.0, mean: 0.0, sum: 0.0, least: 0.0 })
    }
}

impl ChangeDetector for PageHinkley {
    fn push(&mut self, value: f64) -> Result<Change> {
        check_bounded("value", value)?;
        self.count += 1.0;
        self.mean += (value - self.mean) / self.count;
        self.sum += value - self.mean - self.tolerance;
        self.least = self.least.min(self.sum);
        if self.sum - self.least > self.threshold {
            self.reset();
            return Ok(Change::Increase);
        }
        Ok(Change::None)
    }

    fn reset(&mut self) {
        (self.count, self.mean, self.sum, self.least) = (0.0, 0.0, 0.0, 0.0);
    }
}
