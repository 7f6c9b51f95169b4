//! Arms of a policy, and the position of each arm's learned state in memory.

use serde::{Deserialize, Serialize};

use super::ranges::ArmRanges;
use crate::arm::{ArmId, Available};
use crate::error::{Error, Result};
use crate::validate::{check_arms, reserve};

/// Exclusive upper bound of arm numbers, 2⁶³.
const END: u64 = 1 << 63;

pub(crate) fn check_number(arm: ArmId) -> Result<()> {
    if arm.number() < END {
        return Ok(());
    }
    Err(Error::Parameter { name: "arm number", value: arm.number() as f64, requirement: "below 2⁶³" })
}

/// Checks a loaded set of removed arms: its ranges must be in order, and its numbers below 2⁶³.
pub(crate) fn check_removed(removed: &ArmRanges) -> Result<()> {
    removed.check(END)
}

/// Arms of a policy. A *slot* is an arm's position in memory; the learned state of the arm is stored there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArmSet {
    by_slot: Vec<ArmId>,
    // Sorted by id. New ids are higher than all earlier ones, so that adding an arm appends.
    by_id: Vec<(ArmId, usize)>,
    // Removed ids are never assigned again.
    removed: ArmRanges,
    // Above all existing and removed ids.
    next: u64,
}

impl ArmSet {
    /// Creates the arms 0 to `arms` − 1 of a new policy.
    ///
    /// # Errors
    /// Fails if there are more than 16,777,216 arms, or if memory cannot be allocated.
    pub(crate) fn new(arms: usize) -> Result<Self> {
        check_arms(arms)?;
        let mut set = Self { by_slot: Vec::new(), by_id: Vec::new(), removed: ArmRanges::default(), next: arms as u64 };
        set.reserve(arms)?;
        set.by_slot.extend((0..arms as u64).map(ArmId::new));
        set.by_id.extend((0..arms as u64).map(ArmId::new).zip(0..));
        Ok(set)
    }

    fn reserve(&mut self, arms: usize) -> Result<()> {
        reserve("ids of the arms", &mut self.by_slot, Some(arms))?;
        reserve("ids of the arms", &mut self.by_id, Some(arms))
    }

    /// Number of arms.
    pub fn len(&self) -> usize {
        self.by_slot.len()
    }

    /// Returns whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.by_slot.is_empty()
    }

    /// Iterates over all arms in slot order: the order of their learned states in memory.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = ArmId> + '_ {
        self.by_slot.iter().copied()
    }

    /// Returns whether the policy has this arm now. A removed arm is not contained.
    pub fn contains(&self, arm: ArmId) -> bool {
        self.slot(arm).is_ok()
    }

    pub(crate) fn id(&self, slot: usize) -> ArmId {
        self.by_slot[slot]
    }

    /// Index of an arm in `by_id`, or the index at which the arm would be inserted.
    fn position(&self, arm: ArmId) -> Result<usize, usize> {
        self.by_id.binary_search_by_key(&arm, |&(id, _)| id)
    }

    pub(crate) fn slot(&self, arm: ArmId) -> Result<usize> {
        // Until an arm is removed, arm k has slot k.
        if let Ok(slot) = usize::try_from(arm.number())
            && self.by_slot.get(slot) == Some(&arm)
        {
            return Ok(slot);
        }
        match self.position(arm) {
            Ok(position) => Ok(self.by_id[position].1),
            Err(_) if self.removed.contains(arm) => Err(Error::RemovedArm { arm }),
            Err(_) => Err(Error::UnknownArm { arm }),
        }
    }

    pub(crate) fn removed(&self) -> &ArmRanges {
        &self.removed
    }

    pub(crate) fn add(&mut self) -> Result<ArmId> {
        if self.next >= END {
            let what = "number of the next arm";
            return Err(Error::CountLimit { what, count: self.next, added: 1, limit: END });
        }
        self.reserve(1)?;
        let id = ArmId::new(self.next);
        self.by_id.push((id, self.by_slot.len()));
        self.by_slot.push(id);
        self.next += 1;
        Ok(id)
    }

    pub(crate) fn insert(&mut self, arm: ArmId) -> Result<()> {
        check_number(arm)?;
        if self.removed.contains(arm) {
            return Err(Error::RemovedArm { arm });
        }
        match self.position(arm) {
            Ok(_) => Err(Error::ArmExists { arm }),
            Err(position) => {
                self.reserve(1)?;
                self.by_id.insert(position, (arm, self.by_slot.len()));
                self.by_slot.push(arm);
                self.next = self.next.max(arm.number() + 1);
                Ok(())
            }
        }
    }

    /// Removes an arm permanently, and returns the slot (position in memory) that it had. The arm of the last slot
    /// moves into this slot.
    pub(crate) fn remove(&mut self, arm: ArmId) -> Result<usize> {
        let slot = self.slot(arm)?;
        self.by_slot.swap_remove(slot);
        if let Ok(position) = self.position(arm) {
            self.by_id.remove(position);
        }
        if let Some(&moved) = self.by_slot.get(slot)
            && let Ok(position) = self.position(moved)
        {
            self.by_id[position].1 = slot;
        }
        self.removed.insert(arm);
        Ok(slot)
    }

    /// Removes all arms that another policy has removed. Arms that are not in this set are also marked as removed.
    /// Returns the freed slots, in the order of the removals.
    pub(crate) fn remove_all(&mut self, removed: &ArmRanges) -> Result<Vec<usize>> {
        check_removed(removed)?;
        let here: Vec<_> = self.iter().filter(|arm| removed.contains(*arm)).collect();
        let slots = here.into_iter().map(|arm| self.remove(arm)).collect::<Result<_>>()?;
        self.removed.unite(removed);
        self.next = self.next.max(removed.last().map_or(0, |last| last + 1));
        Ok(slots)
    }

    #[inline]
    pub(crate) fn every_slot(&self) -> Option<Slots<'static>> {
        (!self.is_empty()).then_some(Slots { arms: self.len(), words: &[] })
    }

    /// Finds the slots (positions in memory) of the available arms. `space` provides the memory for the result.
    ///
    /// # Errors
    /// Fails if an arm is unknown, if a requested arm was removed, or if no arm is available.
    pub(crate) fn resolve<'a>(&self, available: Available<'_>, space: &'a mut SlotSpace) -> Result<Slots<'a>> {
        let slots = match available {
            Available::All => Slots { arms: self.len(), words: &[] },
            Available::Only(arms) => {
                let words = space.words(self.len());
                for &arm in arms {
                    let slot = self.slot(arm)?;
                    words[slot / 64] |= 1 << (slot % 64);
                }
                Slots { arms: self.len(), words }
            }
            Available::Except(arms) => {
                let words = space.words(self.len());
                (0..self.len()).for_each(|slot| words[slot / 64] |= 1 << (slot % 64));
                for &arm in arms {
                    match self.slot(arm) {
                        Ok(slot) => words[slot / 64] &= !(1 << (slot % 64)),
                        // A removed arm is excluded permanently.
                        Err(Error::RemovedArm { .. }) => {}
                        Err(error) => return Err(error),
                    }
                }
                Slots { arms: self.len(), words }
            }
        };
        if slots.count() == 0 { Err(Error::NoArms { arms: self.len() }) } else { Ok(slots) }
    }

    /// Returns whether the arms 0 to `arms` − 1 all exist or existed before.
    pub(crate) fn began_with(&self, arms: usize) -> bool {
        arms as u64 <= self.next
    }

    pub(crate) fn state(&self) -> ArmSetState {
        ArmSetState { ids: self.by_slot.clone(), next: self.next, removed: Some(self.removed.clone()) }
    }

    pub(crate) fn from_state(state: &ArmSetState) -> Result<Self> {
        let mut set = Self::new(0)?;
        if state.next > END {
            let problem = format!("the next number is {}, expected at most 2⁶³", state.next);
            return Err(Error::InvalidState { what: "arms", index: 0, problem });
        }
        if let Some(removed) = &state.removed {
            removed.check(state.next)?;
            set.removed = removed.clone();
        }
        for (index, &arm) in state.ids.iter().enumerate() {
            let fits = arm.number() < state.next && set.insert(arm).is_ok();
            if !fits {
                let problem = format!("{arm} is there twice, removed, or not below the next number {}", state.next);
                return Err(Error::InvalidState { what: "arm", index, problem });
            }
        }
        if state.removed.is_none() {
            set.removed = ArmRanges::gaps(set.by_id.iter().map(|&(arm, _)| arm), state.next);
        }
        set.next = state.next;
        Ok(set)
    }
}

/// Serialized form of [`ArmSet`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArmSetState {
    ids: Vec<ArmId>,
    next: u64,
    // Absent in format 1, where every missing number below `next` counts as removed.
    #[serde(default)]
    removed: Option<ArmRanges>,
}

const WORDS: usize = 16;

/// Reusable memory for a set of slots. Up to 1,024 arms need no allocation.
#[derive(Debug, Default)]
pub(crate) struct SlotSpace {
    few: [u64; WORDS],
    many: Vec<u64>,
}

impl SlotSpace {
    fn words(&mut self, arms: usize) -> &mut [u64] {
        let count = arms.div_ceil(64).max(1);
        if count <= WORDS {
            &mut self.few[..count]
        } else {
            self.many.resize(count, 0);
            &mut self.many
        }
    }
}

/// Set of slots (positions of arms in memory), visited in ascending order.
#[doc(hidden)]
#[derive(Debug, Clone, Copy)]
pub struct Slots<'a> {
    arms: usize,
    // One bit for each slot; empty if every slot is in the set.
    words: &'a [u64],
}

impl Slots<'_> {
    #[inline]
    pub(crate) fn count(&self) -> usize {
        if self.words.is_empty() { self.arms } else { self.words.iter().map(|word| word.count_ones() as usize).sum() }
    }

    pub(crate) fn contains(&self, slot: usize) -> bool {
        self.next_from(slot) == Some(slot)
    }

    /// Smallest slot of the set that is at least `from`.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removed_arms_keep_their_names_and_others_keep_theirs() {
        let mut set = ArmSet::new(4).unwrap();
        assert_eq!(set.remove(ArmId::new(1)), Ok(1));
        assert_eq!(set.id(1), ArmId::new(3));
        assert_eq!(set.slot(ArmId::new(3)), Ok(1));
        assert_eq!(set.slot(ArmId::new(1)), Err(Error::RemovedArm { arm: ArmId::new(1) }));
        assert_eq!(set.add(), Ok(ArmId::new(4)));
        assert_eq!(set.slot(ArmId::new(9)), Err(Error::UnknownArm { arm: ArmId::new(9) }));
        let again = ArmSet::from_state(&set.state()).unwrap();
        assert_eq!(again, set);
    }

    #[test]
    fn the_set_of_available_arms_ignores_order_and_repeats() {
        for arms in [5usize, 64, 65, 1024, 1025, 3000] {
            let set = ArmSet::new(arms).unwrap();
            let last = ArmId::new(arms as u64 - 1);
            let only = [last, ArmId::new(2), last, ArmId::new(0)];
            let (mut space, mut other) = (SlotSpace::default(), SlotSpace::default());
            let slots: Vec<_> = set.resolve(Available::Only(&only), &mut space).unwrap().iter().collect();
            assert_eq!(slots, [0, 2, arms - 1]);
            let except = set.resolve(Available::Except(&only), &mut other).unwrap();
            assert_eq!(except.count(), arms - 3);
            assert!(except.iter().all(|slot| !slots.contains(&slot)));
            assert_eq!(set.resolve(Available::All, &mut SlotSpace::default()).unwrap().iter().count(), arms);
        }
        assert_eq!(
            ArmSet::new(2).unwrap().resolve(Available::Only(&[]), &mut SlotSpace::default()).unwrap_err(),
            Error::NoArms { arms: 2 }
        );
    }
}
