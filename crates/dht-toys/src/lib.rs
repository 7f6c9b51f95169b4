//! Toy data and toy models for integration tests: the helpers that the tests of several crates share.
//!
//! Each generator is seeded, so that a test sees the same numbers in each run. Helpers panic on invalid arguments,
//! since these are mistakes in a test. Unit tests cannot use this crate: they would see two copies of their own crate's
//! types.
//!
//! The root module has samples, small models and training runs. [`planted`] has a task whose correct answers are known.
//! [`reviews`] has short texts for tests of engines and services.

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
