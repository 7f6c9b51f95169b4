//! Time in a policy: counters of updates, epochs (a policy learns only from decisions of its current epoch), and decay
//! of old evidence.

mod forgetting;
mod logical;

pub(crate) use forgetting::{check_decay, read_decay};
pub(crate) use logical::{Clock, add_counts, check_epoch, check_saved_count};
