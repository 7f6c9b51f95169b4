//! Sets of arms that can be added and removed: ids of arms, and the slots in memory that hold their learned state.

mod ranges;
mod set;

pub(crate) use ranges::ArmRanges;
pub use set::ArmSet;
pub(crate) use set::{ArmSetState, SlotSpace, Slots, check_number, check_removed};
