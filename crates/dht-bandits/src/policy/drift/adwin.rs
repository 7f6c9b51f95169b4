//! ADWIN, a change test that compares the means of the older and the newer part of an adaptive window.

use std::cmp::Ordering;
use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::validate::{check_parameter, check_scalar, check_within};

/// State of [`ChangeTest::Adwin`](super::ChangeTest::Adwin).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Saved")]
pub(super) struct Adwin {
    delta: f64,
    range: f64,
    /// Groups of adjacent values in the window, the oldest and largest first.
    buckets: VecDeque<Bucket>,
    since_test: u32,
}

/// Serialised form of the test before validation.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    delta: f64,
    range: f64,
    buckets: VecDeque<Bucket>,
    since_test: u32,
}

impl TryFrom<Saved> for Adwin {
    type Error = Error;

    fn try_from(saved: Saved) -> Result<Self> {
        let Saved { delta, range, buckets, since_test } = saved;
        let sound = |bucket: &Bucket| {
            let Bucket { count, sum, squares } = *bucket;
            let fits = sum.abs() <= LARGEST * count && (0.0..=4.0 * LARGEST * LARGEST * count).contains(&squares);
            (1.0..=MOST_VALUES).contains(&count) && fits
        };
        let falling = buckets.iter().zip(buckets.iter().skip(1)).all(|(old, new)| old.count >= new.count);
        if !falling || buckets.len() > MOST_BUCKETS || since_test >= STRIDE || !buckets.iter().all(sound) {
            let problem = "the buckets cannot result from a stream of values".to_owned();
            return Err(Error::InvalidState { what: "change test", index: 0, problem });
        }
        Ok(Self { buckets, since_test, ..Self::new(delta, range)? })
    }
}

/// Statistics of a group of adjacent values in the window.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Bucket {
    count: f64,
    sum: f64,
    /// Sum of squared deviations from the bucket's mean.
    squares: f64,
}

impl Bucket {
    const EMPTY: Self = Self { count: 0.0, sum: 0.0, squares: 0.0 };

    fn mean(self) -> f64 {
        self.sum / self.count
    }

    /// Combines the statistics of two buckets (Chan, Golub & LeVeque 1979).
    fn and(self, other: Self) -> Self {
        if self.count == 0.0 || other.count == 0.0 {
            return if self.count == 0.0 { other } else { self };
        }
        let (count, gap) = (self.count + other.count, self.mean() - other.mean());
        let between = gap * gap * self.count * other.count / count;
        Self { count, sum: self.sum + other.sum, squares: self.squares + other.squares + between }
    }
}

/// Largest number of buckets of one size. When there are more, the two oldest are merged.
const BUCKETS: usize = 5;
/// Number of added values from one test to the next.
const STRIDE: u32 = 8;
/// Largest accepted magnitude of a value that is added to the test's window.
const LARGEST: f64 = 1e60;
/// Largest accepted number of values in one bucket of a loaded state. The number of buckets is limited by
/// `MOST_BUCKETS`.
const MOST_VALUES: f64 = 9_007_199_254_740_992.0;
const MOST_BUCKETS: usize = 64 * (BUCKETS + 1);
/// Smallest number of values in either of the two window parts that a test compares.
const LEAST_PART: f64 = 8.0;

impl Adwin {
    /// Creates a test with the approximate false-alarm probability δ = `delta`. `range` is the largest possible
    /// difference of two values.
    ///
    /// # Errors
    /// Fails if δ is outside (0, 1), or if the range is not positive or exceeds 1e50.
    pub(super) fn new(delta: f64, range: f64) -> Result<Self> {
        check_parameter("delta", delta, delta > 0.0 && delta < 1.0, "in (0, 1)")?;
        check_parameter("range", range, range > 0.0 && range <= 1e50, "positive, at most 1e50")?;
        Ok(Self { delta, range, buckets: VecDeque::new(), since_test: 0 })
    }

    fn total(&self) -> Bucket {
        self.buckets.iter().fold(Bucket::EMPTY, |all, bucket| all.and(*bucket))
    }

    pub(super) fn window(&self) -> usize {
        self.total().count as usize
    }

    /// Mean of the values in the window; 0 if it is empty.
    pub(super) fn mean(&self) -> f64 {
        let total = self.total();
        if total.count > 0.0 { total.mean() } else { 0.0 }
    }

    /// Merges the two oldest buckets of each size that has more than [`BUCKETS`] buckets.
    fn compress(&mut self) {
        let mut end = self.buckets.len();
        while end > 0 {
            let size = self.buckets[end - 1].count;
            let start = self.buckets.iter().take(end).position(|bucket| bucket.count == size).unwrap_or(end);
            if end - start <= BUCKETS {
                return;
            }
            let merged = self.buckets[start].and(self.buckets[start + 1]);
            self.buckets[start] = merged;
            self.buckets.remove(start + 1);
            end = start + 1;
        }
    }

    /// Direction in which newer values in the window differ significantly from older ones; `None` without a significant
    /// difference.
    fn cut(&self) -> Option<Ordering> {
        let total = self.total();
        let spread = total.squares / total.count;
        let logarithm = (2.0 * total.count.ln().max(1.0) / self.delta).ln();
        let mut old = Bucket::EMPTY;
        for bucket in self.buckets.iter().take(self.buckets.len().saturating_sub(1)) {
            old = old.and(*bucket);
            let (count, sum) = (total.count - old.count, total.sum - old.sum);
            if old.count < LEAST_PART || count < LEAST_PART {
                continue;
            }
            let inverse = 1.0 / old.count + 1.0 / count;
            let allowed = (2.0 * spread * logarithm * inverse).sqrt() + 2.0 / 3.0 * self.range * logarithm * inverse;
            let gap = sum / count - old.mean();
            if gap.abs() > allowed {
                return Some(if gap > 0.0 { Ordering::Greater } else { Ordering::Less });
            }
        }
        None
    }
}

impl Adwin {
    /// Adds a value. Returns the direction of a change if the test detects one.
    pub(super) fn push(&mut self, value: f64) -> Result<Option<Ordering>> {
        check_scalar("value", value)?;
        check_within("value", value, LARGEST)?;
        self.buckets.push_back(Bucket { count: 1.0, sum: value, squares: 0.0 });
        self.compress();
        self.since_test += 1;
        let mut change = None;
        if self.since_test >= STRIDE {
            self.since_test = 0;
            while let Some(direction) = self.cut() {
                change = change.or(Some(direction));
                self.buckets.pop_front();
            }
        }
        Ok(change)
    }

    pub(super) fn reset(&mut self) {
        self.buckets.clear();
        self.since_test = 0;
    }
}
