//! Time: counts that cannot overflow, the logical clock of a policy (its number of updates and its epoch), and
//! forgetting of old evidence.

mod forgetting;
mod logical;

pub(crate) use forgetting::{check_decay, read_decay};
pub(crate) use logical::{Clock, add_counts, check_epoch, check_saved_count};
