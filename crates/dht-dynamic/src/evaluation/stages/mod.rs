//! Stages that a text passes until one of them is confident. The result at any threshold is computed from stored
//! answers.

#[expect(clippy::module_inception, reason = "the type is in the file of its name")]
mod stages;

pub use stages::{Staged, Stages};

#[cfg(test)]
mod tests;
