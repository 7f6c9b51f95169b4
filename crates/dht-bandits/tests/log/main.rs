//! Logs of decisions: writing, killed writers, damage, reading, and evaluation.

mod after_a_crash;
mod binary_states;
mod checkpoints;
mod decision_log;
mod dsjson_events;
mod estimated_propensities;
mod files;
mod formats;
mod hashed_rows;
mod kill;
mod missing_files;
mod refusals;
mod requests;
mod several_rewards;
mod slates;
mod support;
mod times;
