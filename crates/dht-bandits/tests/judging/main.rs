//! Off-policy evaluation compared with numbers computed by hand and with known true values.
#![expect(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

mod coverage;
mod dropped_rows;
mod estimators;
mod evaluation;
mod in_service;
mod intervals;
mod logged_slates;
mod outcome_models;
mod peer;
mod sequences;
mod slates;
mod unknown_policies;
mod without_propensities;
mod world;
