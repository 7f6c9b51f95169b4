//! Logs of decisions: written, killed, damaged, read back, judged.

mod after_a_crash;
mod decision_log;
mod dsjson_events;
mod estimated_propensities;
mod files;
mod formats;
mod kill;
mod missing_files;
mod refusals;
mod requests;
mod slates;
mod support;
mod times;
