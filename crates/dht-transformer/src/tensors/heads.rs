//! Sets of attention heads within a layer.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Non-empty set of attention heads of a layer, such as the heads that run for a sample.
///
/// It is a bitset of 128 heads and cheap to copy. It does not store the number of heads in the layer:
/// [`check`](Self::check) (or [`HeadPlan::check`](super::HeadPlan::check)) validates the set for a layer. In serialised
/// form it is the sorted list of its heads.
///
/// ```
/// # fn main() -> dht_transformer::Result<()> {
/// use dht_transformer::HeadSet;
///
/// let heads = HeadSet::from_indices([7, 0, 3], 12)?;
/// assert_eq!(heads.to_string(), "{0,3,7}");
/// assert_eq!(heads.len(), 3);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Vec<usize>", into = "Vec<usize>")]
pub struct HeadSet {
    /// Bit set of head numbers: bit h is 1 if head h is in the set. It is never 0.
    bits: u128,
}

impl HeadSet {
    /// Maximum number of heads in a layer.
    pub const MOST_HEADS: usize = 128;

    /// Creates the set of the heads 0 to `heads` − 1, which are all heads of a layer with `heads` heads.
    ///
    /// # Errors
    /// [`Error::Argument`] if `heads` is 0 or exceeds [`MOST_HEADS`](Self::MOST_HEADS).
    pub fn full(heads: usize) -> Result<Self> {
        Self::check_count(heads)?;
        Ok(Self { bits: u128::MAX >> (Self::MOST_HEADS - heads) })
    }

    /// Creates a set from head numbers in any order, for a layer with `heads` heads.
    ///
    /// # Errors
    /// [`Error::Argument`] for an empty set, a repeated head, and a number of heads above
    /// [`MOST_HEADS`](Self::MOST_HEADS); [`Error::Range`] for a head that is not below `heads`.
    pub fn from_indices(indices: impl IntoIterator<Item = usize>, heads: usize) -> Result<Self> {
        if heads > Self::MOST_HEADS {
            Self::check_count(heads)?;
        }
        let mut bits = 0;
        for head in indices {
            if head >= heads {
                return Err(Error::Range { what: "head", got: head, below: heads });
            }
            let bit = 1_u128 << head;
            if bits & bit != 0 {
                return Err(Error::argument("heads", "each head at most once", format!("head {head} twice")));
            }
            bits |= bit;
        }
        if bits == 0 { Err(Error::argument("heads", "at least one", "none")) } else { Ok(Self { bits }) }
    }

    fn check_count(heads: usize) -> Result<()> {
        match heads {
            1..=Self::MOST_HEADS => Ok(()),
            _ => Err(Error::argument("heads of a layer", format!("1 to {}", Self::MOST_HEADS), heads.to_string())),
        }
    }

    /// Number of heads in the set; at least 1.
    #[expect(clippy::len_without_is_empty, reason = "a head set is never empty")]
    pub fn len(self) -> usize {
        self.bits.count_ones() as usize
    }

    /// Returns whether a head is in the set.
    pub fn contains(self, head: usize) -> bool {
        head < Self::MOST_HEADS && self.bits >> head & 1 == 1
    }

    /// Iterates over the heads in ascending order.
    pub fn iter(self) -> HeadSetIter {
        HeadSetIter { bits: self.bits }
    }

    /// Highest head number in the set.
    pub fn last(self) -> usize {
        Self::MOST_HEADS - 1 - self.bits.leading_zeros() as usize
    }

    /// Returns whether the set has every head of a layer with `heads` heads.
    pub fn is_full(self, heads: usize) -> bool {
        Self::full(heads).is_ok_and(|full| full == self)
    }

    /// Returns whether every head of this set is also in `other`.
    pub fn is_subset(self, other: Self) -> bool {
        self.bits & !other.bits == 0
    }

    /// Union of two sets.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self { bits: self.bits | other.bits }
    }

    /// Heads of this set that are not in `other`; `None` if there are none.
    pub fn difference(self, other: Self) -> Option<Self> {
        let bits = self.bits & !other.bits;
        (bits != 0).then_some(Self { bits })
    }

    /// Checks that the set fits a layer with `heads` heads.
    ///
    /// # Errors
    /// [`Error::Range`] if a head is not below `heads`.
    pub fn check(self, heads: usize) -> Result<()> {
        let head = self.last();
        if head < heads { Ok(()) } else { Err(Error::Range { what: "head", got: head, below: heads }) }
    }
}

impl TryFrom<Vec<usize>> for HeadSet {
    type Error = Error;

    fn try_from(indices: Vec<usize>) -> Result<Self> {
        Self::from_indices(indices, Self::MOST_HEADS)
    }
}

impl From<HeadSet> for Vec<usize> {
    fn from(set: HeadSet) -> Self {
        set.iter().collect()
    }
}

impl IntoIterator for HeadSet {
    type Item = usize;
    type IntoIter = HeadSetIter;

    fn into_iter(self) -> HeadSetIter {
        self.iter()
    }
}

/// Displays the set as `{0,3,7}`.
impl fmt::Display for HeadSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (place, head) in self.iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            write!(f, "{comma}{head}")?;
        }
        f.write_str("}")
    }
}

impl fmt::Debug for HeadSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HeadSet{self}")
    }
}

/// Iterator over the heads of a [`HeadSet`] in ascending order.
#[derive(Debug, Clone)]
pub struct HeadSetIter {
    bits: u128,
}

impl Iterator for HeadSetIter {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        if self.bits == 0 {
            return None;
        }
        let head = self.bits.trailing_zeros() as usize;
        self.bits &= self.bits - 1;
        Some(head)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.bits.count_ones() as usize;
        (left, Some(left))
    }
}

impl ExactSizeIterator for HeadSetIter {}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::tensors::HeadPlan;

    proptest! {
        #[test]
        fn a_set_behaves_as_a_sorted_set_of_its_indices(
            left in prop::collection::btree_set(0_usize..128, 1..128),
            right in prop::collection::btree_set(0_usize..128, 1..128),
        ) {
            let make = |set: &BTreeSet<usize>| HeadSet::from_indices(set.iter().rev().copied(), 128).unwrap();
            let (a, b) = (make(&left), make(&right));
            prop_assert!(a.iter().eq(left.iter().copied()));
            prop_assert_eq!(a.iter().len(), a.len());
            prop_assert_eq!(a.len(), left.len());
            prop_assert_eq!(Some(&a.last()), left.last());
            prop_assert!((0..200).all(|head| a.contains(head) == left.contains(&head)));
            prop_assert!(a.union(b).iter().eq(left.union(&right).copied()));
            prop_assert!(a.difference(b).into_iter().flatten().eq(left.difference(&right).copied()));
            prop_assert_eq!(a.is_subset(b), left.is_subset(&right));
            prop_assert_eq!(a.is_full(a.len()), left.len() == a.last() + 1);
            let json = serde_json::to_string(&a).unwrap();
            prop_assert_eq!(&json, &serde_json::to_string(&left).unwrap());
            prop_assert_eq!(serde_json::from_str::<HeadSet>(&json).unwrap(), a);
        }
    }

    #[test]
    fn the_full_set_of_every_width_holds_its_heads_and_no_more() {
        for heads in 1..=HeadSet::MOST_HEADS {
            let full = HeadSet::full(heads).unwrap();
            assert!(full.iter().eq(0..heads));
            assert!(full.is_full(heads) && !full.is_full(heads + 1));
            assert!(full.check(heads).is_ok() && full.check(heads - 1).is_err());
        }
    }

    #[test]
    fn an_illegal_set_cannot_be_built() {
        assert!(matches!(HeadSet::from_indices([], 12), Err(Error::Argument { name: "heads", .. })));
        assert!(matches!(HeadSet::from_indices([3, 12], 12), Err(Error::Range { what: "head", got: 12, below: 12 })));
        assert!(matches!(HeadSet::from_indices([3, 4, 3], 12), Err(Error::Argument { name: "heads", .. })));
        assert!(matches!(HeadSet::from_indices([3], 129), Err(Error::Argument { name: "heads of a layer", .. })));
        assert!(matches!(HeadSet::full(0), Err(Error::Argument { name: "heads of a layer", .. })));
        assert!(matches!(HeadSet::full(129), Err(Error::Argument { name: "heads of a layer", .. })));
        for json in ["[]", "[128]", "[1,1]", "[-1]", "{}"] {
            assert!(serde_json::from_str::<HeadSet>(json).is_err(), "{json} was accepted");
        }
    }

    #[test]
    fn a_set_prints_as_its_heads_in_braces() {
        let set = HeadSet::from_indices([7, 0, 3], 12).unwrap();
        assert_eq!(set.to_string(), "{0,3,7}");
        assert_eq!(format!("{set:?}"), "HeadSet{0,3,7}");
    }

    #[test]
    fn a_plan_is_checked_against_heads_and_samples() {
        let narrow = HeadSet::from_indices([0, 2], 12).unwrap();
        let wide = HeadSet::full(12).unwrap();
        assert!(HeadPlan::Full.check(1, 9).is_ok());
        assert!(HeadPlan::Same(narrow).check(3, 9).is_ok());
        assert!(matches!(HeadPlan::Same(narrow).check(2, 9), Err(Error::Range { what: "head", got: 2, below: 2 })));
        let plan = HeadPlan::PerSample(vec![narrow, wide]);
        assert!(plan.check(12, 2).is_ok());
        assert!(matches!(plan.check(12, 3), Err(Error::Shape { .. })));
        assert!(matches!(plan.check(4, 2), Err(Error::Range { what: "head", got: 11, below: 4 })));
        assert_eq!((plan.kept(0, 12), plan.kept(1, 12), HeadPlan::Full.kept(5, 12)), (2, 12, 12));
        let back: HeadPlan = serde_json::from_str(&serde_json::to_string(&plan).unwrap()).unwrap();
        assert_eq!(back, plan);
    }
}
