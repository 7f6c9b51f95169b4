//! Sets of arm numbers, stored as ranges: a range takes two numbers, whatever its length.

use serde::{Deserialize, Serialize};

use crate::arm::ArmId;
use crate::error::{Error, Result};

/// Set of arm numbers, stored as ranges of consecutive numbers. Each range is its first and its last number. Ranges are
/// in ascending order, with a gap between any two.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct ArmRanges {
    ranges: Vec<(u64, u64)>,
}

impl ArmRanges {
    /// Creates the set of all numbers below `end` except the numbers of `arms`, which must ascend.
    pub(super) fn gaps(arms: impl Iterator<Item = ArmId>, end: u64) -> Self {
        let (mut ranges, mut next) = (Vec::new(), 0);
        for arm in arms.map(ArmId::number).chain([end]) {
            if next < arm {
                ranges.push((next, arm - 1));
            }
            next = arm + 1;
        }
        Self { ranges }
    }

    pub(crate) fn contains(&self, arm: ArmId) -> bool {
        let after = self.ranges.partition_point(|&(first, _)| first <= arm.number());
        after > 0 && arm.number() <= self.ranges[after - 1].1
    }

    pub(super) fn last(&self) -> Option<u64> {
        self.ranges.last().map(|&(_, last)| last)
    }

    pub(super) fn insert(&mut self, arm: ArmId) {
        let number = arm.number();
        let after = self.ranges.partition_point(|&(first, _)| first <= number);
        let touches_before = after > 0 && number <= self.ranges[after - 1].1.saturating_add(1);
        let touches_after = self.ranges.get(after).is_some_and(|&(first, _)| first == number + 1);
        match (touches_before, touches_after) {
            (true, true) => self.ranges[after - 1].1 = self.ranges.remove(after).1,
            (true, false) => self.ranges[after - 1].1 = self.ranges[after - 1].1.max(number),
            (false, true) => self.ranges[after].0 = number,
            (false, false) => self.ranges.insert(after, (number, number)),
        }
    }

    pub(crate) fn unite(&mut self, other: &Self) {
        let mut all = std::mem::take(&mut self.ranges);
        all.extend_from_slice(&other.ranges);
        all.sort_unstable();
        for (first, last) in all {
            match self.ranges.last_mut() {
                Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
                _ => self.ranges.push((first, last)),
            }
        }
    }

    /// Returns an error if ranges are out of order, or if the set contains `end` or a larger number.
    pub(crate) fn check(&self, end: u64) -> Result<()> {
        let mut next = 0;
        for (index, &(first, last)) in self.ranges.iter().enumerate() {
            if first < next || last < first || last >= end {
                let problem = format!("{first} to {last}: expected from at least {next}, ascending, to below {end}");
                return Err(Error::InvalidState { what: "range of removed arms", index, problem });
            }
            // Ranges that touch would be one range, so a gap has at least one number.
            next = last.saturating_add(2);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn from_numbers(numbers: &BTreeSet<u64>) -> ArmRanges {
        let mut ranges = ArmRanges::default();
        numbers.iter().for_each(|&number| ranges.insert(ArmId::new(number)));
        ranges
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn ranges_are_the_set_of_their_numbers(
            left in prop::collection::vec(0u64..40, 0..30),
            right in prop::collection::btree_set(0u64..40, 0..30),
        ) {
            let mut ranges = ArmRanges::default();
            left.iter().for_each(|&number| ranges.insert(ArmId::new(number)));
            let left: BTreeSet<_> = left.into_iter().collect();
            prop_assert_eq!(&ranges, &from_numbers(&left));
            prop_assert!(ranges.check(40).is_ok());
            prop_assert!((0..42).all(|number| ranges.contains(ArmId::new(number)) == left.contains(&number)));
            let others = (0..40).filter(|number| !left.contains(number)).map(ArmId::new);
            prop_assert_eq!(&ArmRanges::gaps(others, 40), &ranges);
            ranges.unite(&from_numbers(&right));
            prop_assert_eq!(&ranges, &from_numbers(&left.union(&right).copied().collect()));
            prop_assert_eq!(ranges.last(), left.union(&right).max().copied());
        }
    }
}
