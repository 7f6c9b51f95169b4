//! Time in a policy: counters of updates, epochs of decisions, and decay of old evidence.

mod forgetting;
mod logical;

pub(crate) use forgetting::{check_decay, read_decay};
pub(crate) use logical::{Clock, add_counts, check_epoch, check_saved_count};
