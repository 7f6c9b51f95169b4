//! Logs of decisions: written, killed, damaged, read back, judged.

mod decision_log;
mod formats;
mod kill;
mod requests;
mod slates;
mod support;
mod times;
