//! Change tests in settings.

use super::{Adwin, Change, ChangeDetector, PageHinkley};
use crate::error::Result;
use crate::saved_state::serde_tagged_in_texts;
use serde::{Deserialize, Serialize};

/// Change test in settings: `{ test = "adwin", delta = 0.002, range = 1.0 }` in text formats. Binary formats store the
/// name of the test instead of a tag.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum ChangeTest {
    /// Page–Hinkley test, [`PageHinkley::new`].
    PageHinkley {
        /// Tolerance δ, in units of the reward.
        tolerance: f64,
        /// Threshold λ, in units of the reward.
        threshold: f64,
    },
    /// ADWIN test, [`Adwin::new`].
    Adwin {
        /// Approximate false-alarm probability.
        delta: f64,
        /// Largest difference of two errors.
        range: f64,
    },
}

serde_tagged_in_texts!(ChangeTest as "ChangeTest", tag "test": {
    PageHinkley { tolerance: f64, threshold: f64 },
    Adwin { delta: f64, range: f64 },
});

/// Change detector of one of these tests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum AnyDetector {
    PageHinkley(PageHinkley),
    Adwin(Adwin),
}

impl AnyDetector {
    pub(crate) fn new(test: ChangeTest) -> Result<Self> {
        Ok(match test {
            ChangeTest::PageHinkley { tolerance, threshold } => {
                Self::PageHinkley(PageHinkley::new(tolerance, threshold)?)
            }
            ChangeTest::Adwin { delta, range } => Self::Adwin(Adwin::new(delta, range)?),
        })
    }

    /// Returns whether both are the same test, whatever values they have seen.
    pub(crate) fn tests_as(&self, other: &Self) -> bool {
        let [mut ours, mut theirs] = [self, other].map(Self::clone);
        ours.reset();
        theirs.reset();
        ours == theirs
    }
}

impl ChangeDetector for AnyDetector {
    fn push(&mut self, value: f64) -> Result<Change> {
        match self {
            Self::PageHinkley(test) => test.push(value),
            Self::Adwin(test) => test.push(value),
        }
    }

    fn reset(&mut self) {
        match self {
            Self::PageHinkley(test) => test.reset(),
            Self::Adwin(test) => test.reset(),
        }
    }
}
