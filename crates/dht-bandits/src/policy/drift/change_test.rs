//! Change tests, which detect that the mean of a stream of values has changed: settings and state.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::adwin::Adwin;
use super::page_hinkley::PageHinkley;
use crate::error::Result;
use crate::saved_state::serde_tagged_in_texts;

/// Test that detects a change in the mean of a stream of values. [`PageHinkley`](Self::PageHinkley) is fast and needs
/// little memory; [`Adwin`](Self::Adwin) needs no threshold in the unit of the values.
///
/// In text formats a test is written as `{ test = "adwin", delta = 0.002, range = 1.0 }`. Binary formats store the name
/// of the test instead of the key `test`.
///
/// ```
/// use dht_bandits::policy::ChangeTest;
///
/// let test: ChangeTest = serde_json::from_str(r#"{"test": "adwin", "delta": 0.002, "range": 1.0}"#)?;
/// assert_eq!(test, ChangeTest::Adwin { delta: 0.002, range: 1.0 });
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum ChangeTest {
    /// Page–Hinkley test (Page 1954, "Continuous inspection schemes"; Hinkley 1971). Let x̄_t be the mean of the values
    /// x_1 to x_t and m_t = Σ_{i≤t} (x_i − x̄_i − δ). The test detects an increase of the mean when m_t − min_i m_i >
    /// λ. It does not detect decreases. Memory and time are O(1).
    ///
    /// δ is the tolerated change, and λ is the threshold that limits false alarms. Both have the unit of the values.
    PageHinkley {
        /// Tolerated change δ of the mean, at least 0.
        tolerance: f64,
        /// Detection threshold λ, positive.
        threshold: f64,
    },
    /// ADWIN test (Bifet & Gavaldà 2007, "Learning from time-changing data with adaptive windowing"). Its window grows
    /// while the mean stays the same. Each test cuts the window into an older part of n₀ values and a newer part of n₁
    /// values. The older part is dropped when the two means differ by more than ε = √(2σ² ln(2/δ′)/m) + 2R
    /// ln(2/δ′)/(3m). Here 1/m = 1/n₀ + 1/n₁ and δ′ = δ/ln n, σ² is the variance of the n values in the window, and R
    /// is their range.
    ///
    /// The window is stored as O(log n) buckets of 1, 2, 4, … values, at most five of each size. Their boundaries are
    /// the possible cuts, which are tested after every 8th value. Memory and time are O(log n). Values may exceed the
    /// range, up to ±1e60, but false alarms are then more frequent than δ.
    Adwin {
        /// Approximate false-alarm probability δ, in (0, 1).
        delta: f64,
        /// Largest possible difference R of two values, positive and at most 1e50.
        range: f64,
    },
}

serde_tagged_in_texts!(ChangeTest as "ChangeTest", tag "test": {
    PageHinkley { tolerance: f64, threshold: f64 },
    Adwin { delta: f64, range: f64 },
});

/// State of a [`ChangeTest`] that runs on a stream of values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ChangeDetector(Test);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Test {
    PageHinkley(PageHinkley),
    Adwin(Adwin),
}

impl ChangeDetector {
    /// Creates a detector without values.
    ///
    /// # Errors
    /// Fails if a setting of the test is out of its range.
    pub(crate) fn new(test: ChangeTest) -> Result<Self> {
        Ok(Self(match test {
            ChangeTest::PageHinkley { tolerance, threshold } => {
                Test::PageHinkley(PageHinkley::new(tolerance, threshold)?)
            }
            ChangeTest::Adwin { delta, range } => Test::Adwin(Adwin::new(delta, range)?),
        }))
    }

    /// Adds a value. Returns the direction of a detected change of the mean: `Greater` if the mean has increased. After
    /// a change the test continues with later values.
    ///
    /// # Errors
    /// Fails if the value is not finite or exceeds the largest magnitude that the test accepts. After an error the
    /// detector is unchanged.
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

    /// Mean of the values since the last detected change; 0 if there are none.
    pub(crate) fn mean(&self) -> f64 {
        match &self.0 {
            Test::PageHinkley(test) => test.mean(),
            Test::Adwin(test) => test.mean(),
        }
    }

    pub(crate) fn reset(&mut self) {
        match &mut self.0 {
            Test::PageHinkley(test) => test.reset(),
            Test::Adwin(test) => test.reset(),
        }
    }

    /// Returns whether both detectors use the same test and settings, whatever their values.
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
