//! Toy data and toy models of the integration tests: one place for what the tests of several crates need.
//!
//! Each generator is seeded, so that a test sees the same numbers in each run. What cannot be built panics: it is a mistake in
//! a test. Unit tests cannot use this crate: they would see two copies of their own crate's types.
//!
//! The root has samples, small models and training runs. [`planted`] has a task whose answer is known, [`reviews`] texts
//! for engines and services.

mod data;
mod models;
mod mutate;
mod outside;
pub mod planted;
pub mod reviews;
mod training;

pub use data::{batch, data, indexed, parities, random_texts, rng, sample, whole_batch};
pub use models::{Bits, adamw, bits, classifier, config, encoder, head_set, numbers, run};
pub use mutate::mutate;
pub use outside::outside;
pub use training::{Outcome, assert_resumes, checkpointed, refused, train_settings, without_seconds};
