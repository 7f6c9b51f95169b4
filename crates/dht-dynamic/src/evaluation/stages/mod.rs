//! Stored predictions of all exits of a model. Accuracy and cost at any exit threshold are computed from them.

#[expect(clippy::module_inception, reason = "the type is in the file of its name")]
mod stages;

pub use stages::{Staged, Stages};

#[cfg(test)]
mod tests;
