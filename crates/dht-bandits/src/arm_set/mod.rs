//! Arms of a policy: their ids, and the positions of their learned state in memory. Arms can be added and removed.

mod ranges;
mod set;

pub(crate) use ranges::ArmRanges;
pub use set::ArmSet;
pub(crate) use set::{ArmSetState, SlotSpace, Slots, check_number, check_removed};
