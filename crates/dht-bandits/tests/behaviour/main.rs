//! Behaviour of the crate, one file per idea. Probabilities are tested in `statistical`.
#![expect(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

mod arms;
mod explanations;
mod features;
mod finite;
mod floor;
mod fuzz;
mod interactions;
mod learned_from_logs;
mod learned_noise;
mod limits;
mod models;
mod off_policy;
mod oracle;
mod precision;
mod requests;
mod ridge;
mod semi_bandit;
mod shared_propensities;
mod sparse;
mod stability;
mod states;
mod support;
