//! Logs of decisions: written, killed, damaged, read back, judged.

mod after_a_crash;
mod checkpoints;
mod decision_log;
mod dsjson_events;
mod estimated_propensities;
mod files;
mod formats;
mod kill;
mod missing_files;
mod refusals;
mod requests;
mod several_rewards;
mod slates;
mod support;
mod times;
