//! Logs of decisions: written, killed, damaged, read back, judged.

mod decision_log;
mod formats;
mod kill;
mod missing_files;
mod requests;
mod slates;
mod support;
mod times;
