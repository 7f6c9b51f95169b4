//! Stored predictions of all exits of a model, from which accuracy and cost at any exit threshold are computed.

#[expect(clippy::module_inception, reason = "the type is in the file of its name")]
mod stages;

pub use stages::{Staged, Stages};

#[cfg(test)]
mod tests;
