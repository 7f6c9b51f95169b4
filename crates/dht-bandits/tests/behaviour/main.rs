//! How the crate behaves, one file an idea. Statistical tests have a binary of their own.
#![expect(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

mod any_policy;
mod arms;
mod counters;
mod deltas;
mod features;
mod finite;
mod fuzz;
mod in_flight;
mod learned_noise;
mod limits;
mod merge;
mod merge_hybrids;
mod merge_slates;
mod models;
mod off_policy;
mod old_names;
mod precision;
mod removed_arms;
mod requests;
mod ridge;
mod semi_bandit;
mod stability;
mod state;
mod support;
mod unlearning;
