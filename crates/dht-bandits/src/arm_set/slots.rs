//! Slots, the positions of arms in memory, and sets of them.

const WORDS: usize = 16;

/// The memory of a set of slots: on the stack, up to 1,024 arms.
#[derive(Debug, Default)]
pub(crate) struct SlotSpace {
    few: [u64; WORDS],
    many: Vec<u64>,
}

impl SlotSpace {
    pub(super) fn words(&mut self, arms: usize) -> &mut [u64] {
        let count = arms.div_ceil(64).max(1);
        if count <= WORDS {
            &mut self.few[..count]
        } else {
            self.many.resize(count, 0);
            &mut self.many
        }
    }
}

/// A set of slots, visited in ascending order.
#[doc(hidden)]
#[derive(Debug, Clone, Copy)]
pub struct Slots<'a> {
    pub(super) arms: usize,
    // A bit a slot; none at all if every slot is in the set.
    pub(super) words: &'a [u64],
}

impl Slots<'_> {
    #[inline]
    pub(crate) fn count(&self) -> usize {
        if self.words.is_empty() { self.arms } else { self.words.iter().map(|word| word.count_ones() as usize).sum() }
    }

    pub(crate) fn contains(&self, slot: usize) -> bool {
        self.next_from(slot) == Some(slot)
    }

    /// The first slot at or after `from`.
    #[inline(always)]
    pub(crate) fn next_from(&self, from: usize) -> Option<usize> {
        let words = self.words;
        if words.is_empty() {
            return (from < self.arms).then_some(from);
        }
        let mut index = from / 64;
        let mut word = words.get(index)? & (u64::MAX << (from % 64));
        loop {
            if word != 0 {
                return Some(index * 64 + word.trailing_zeros() as usize);
            }
            index += 1;
            word = *words.get(index)?;
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        let mut next = 0;
        std::iter::from_fn(move || {
            let slot = self.next_from(next)?;
            next = slot + 1;
            Some(slot)
        })
    }
}
