//! Sets of arms that can be added and removed: their ids, and the slots of their learned state in memory.

mod ranges;
mod set;

pub(crate) use ranges::ArmRanges;
pub use set::ArmSet;
pub(crate) use set::{ArmSetState, SlotSpace, Slots, check_number, check_removed};
