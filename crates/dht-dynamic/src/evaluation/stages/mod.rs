//! Answers of all exits of a model, from which the accuracy and cost at any threshold are computed.

#[expect(clippy::module_inception, reason = "the type is in the file of its name")]
mod stages;

pub use stages::{Staged, Stages};

#[cfg(test)]
mod tests;
