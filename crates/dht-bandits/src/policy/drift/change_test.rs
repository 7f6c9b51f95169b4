//! Change tests: settings and state.

use super::adwin::Adwin;
use super::page_hinkley::PageHinkley;
use crate::error::Result;
use crate::saved_state::serde_tagged_in_texts;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

/// Test for changes of the mean of a stream. [`PageHinkley`](Self::PageHinkley) is quick and small;
/// [`Adwin`](Self::Adwin) needs no threshold in units of the values.
///
/// In settings: `{ test = "adwin", delta = 0.002, range = 1.0 }` in text formats. Binary formats store the name of the
/// test instead of a tag.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum ChangeTest {
    /// Page–Hinkley test (Page 1954, "Continuous inspection schemes"; Hinkley 1971). With x̄_t the mean so far and m_t =
    /// Σ_{i≤t} (x_i − x̄_i − δ), the mean has increased when m_t − min_i m_i > λ. Decreases are not detected. O(1).
    ///
    /// δ is the tolerated change, and λ the threshold that limits false alarms, both in units of the values.
    PageHinkley {
        /// Tolerance δ, at least 0.
        tolerance: f64,
        /// Threshold λ, positive.
        threshold: f64,
    },
    /// ADWIN (Bifet & Gavaldà 2007, "Learning from time-changing data with adaptive windowing"). Its window grows while its
    /// mean stays the same. The older part is dropped when the means of two parts, of n₀ and n₁ values, differ by more than
    /// ε = √(2σ² ln(2/δ′)/m) + 2R ln(2/δ′)/(3m) with 1/m = 1/n₀ + 1/n₁, δ′ = δ/ln n and R the range of the values.
    ///
    /// The window is stored as O(log n) buckets of 1, 2, 4 … values, at most five of each size. Their boundaries are the
    /// possible cuts, which are tested at every 8th value. Memory and time are O(log n).
    /// Values may exceed the range, up to ±1e60, but false alarms are then more frequent than δ.
    Adwin {
        /// Approximate false-alarm probability δ, in (0, 1).
        delta: f64,
        /// Largest difference R of two values, positive and at most 1e50.
        range: f64,
    },
}

serde_tagged_in_texts!(ChangeTest as "ChangeTest", tag "test": {
    PageHinkley { tolerance: f64, threshold: f64 },
    Adwin { delta: f64, range: f64 },
});

/// State of a [`ChangeTest`] on a stream of values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ChangeDetector(Test);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Test {
    PageHinkley(PageHinkley),
    Adwin(Adwin),
}

impl ChangeDetector {
    /// Creates a detector that has seen no values.
    ///
    /// # Errors
    /// A setting of the test out of its range.
    pub(crate) fn new(test: ChangeTest) -> Result<Self> {
        Ok(Self(match test {
            ChangeTest::PageHinkley { tolerance, threshold } => {
                Test::PageHinkley(PageHinkley::new(tolerance, threshold)?)
            }
            ChangeTest::Adwin { delta, range } => Test::Adwin(Adwin::new(delta, range)?),
        }))
    }

    /// Adds a value, and returns the detected change of the mean: `Greater` if it has increased. After a change the test
    /// continues with later values.
    ///
    /// # Errors
    /// A value that is not finite or beyond the detector's range. The detector is unchanged then.
    pub(crate) fn push(&mut self, value: f64) -> Result<Option<Ordering>> {
        match &mut self.0 {
            Test::PageHinkley(test) => test.push(value),
            Test::Adwin(test) => test.push(value),
        }
    }

    /// Number of values since the last detected change.
    pub(crate) fn window(&self) -> usize {
        match &self.0 {
            Test::PageHinkley(test) => test.window(),
            Test::Adwin(test) => test.window(),
        }
    }

    /// Mean of these values; 0 if there are none.
    pub(crate) fn mean(&self) -> f64 {
        match &self.0 {
            Test::PageHinkley(test) => test.mean(),
            Test::Adwin(test) => test.mean(),
        }
    }

    /// Forgets all values.
    pub(crate) fn reset(&mut self) {
        match &mut self.0 {
            Test::PageHinkley(test) => test.reset(),
            Test::Adwin(test) => test.reset(),
        }
    }

    /// Returns whether both are the same test, whatever values they have seen.
    pub(crate) fn tests_as(&self, other: &Self) -> bool {
        let [mut ours, mut theirs] = [self, other].map(Self::clone);
        ours.reset();
        theirs.reset();
        ours == theirs
    }
}

#[cfg(test)]
#[path = "detector_tests.rs"]
mod tests;
