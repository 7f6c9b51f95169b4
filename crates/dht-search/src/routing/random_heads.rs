//! Random head sets, and grouping of samples by the number of heads that they keep.

use std::collections::BTreeMap;

use dht_transformer::HeadSet;
use rand::{Rng, RngExt};

use crate::error::Result;

/// Groups the indices of samples by the number of heads that they keep.
pub(crate) fn by_count(kept: &[usize]) -> BTreeMap<usize, Vec<usize>> {
    let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (index, count) in kept.iter().enumerate() {
        groups.entry(*count).or_default().push(index);
    }
    groups
}

/// Draws `count` of `heads` heads at random; `pinned` heads are always included.
pub(crate) fn random_heads(heads: usize, pinned: Option<HeadSet>, count: usize, rng: &mut dyn Rng) -> Result<HeadSet> {
    if count >= heads {
        return Ok(HeadSet::full(heads)?);
    }
    let pinned: Vec<usize> = pinned.into_iter().flatten().collect();
    let mut free: Vec<usize> = (0..heads).filter(|head| !pinned.contains(head)).collect();
    let missing = count.saturating_sub(pinned.len());
    for index in 0..missing.min(free.len()) {
        let other = rng.random_range(index..free.len());
        free.swap(index, other);
    }
    Ok(HeadSet::from_indices(pinned.into_iter().chain(free.into_iter().take(missing)), heads)?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::SeedableRng;

    use super::*;

    #[test]
    fn four_pinned_heads_leave_70_28_and_1_head_sets() {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        let pinned = HeadSet::from_indices([0, 3, 5, 9], 12).unwrap();
        for (count, possible) in [(8, 70), (10, 28), (12, 1)] {
            let mut sets = BTreeSet::new();
            for _ in 0..3000 {
                let set = random_heads(12, Some(pinned), count, &mut rng).unwrap();
                assert!(set.len() == count && pinned.iter().all(|head| set.contains(head)));
                sets.insert(set.iter().collect::<Vec<_>>());
            }
            assert_eq!(sets.len(), possible, "{count} heads");
        }
    }
}
