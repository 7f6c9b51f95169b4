//! States of policies: saving, loading, merging, removal of observations, settings, and arms that come and go.

mod announced;
mod any_merge;
pub mod any_policy;
mod counters;
mod deltas;
mod in_flight;
mod in_service;
mod merge;
mod merge_hybrids;
mod merge_slates;
mod old_names;
mod removed_arms;
mod state;
mod unlearning;
mod warm_up;
