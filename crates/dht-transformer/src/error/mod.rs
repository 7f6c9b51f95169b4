//! Errors of this crate. This module imports no other module of the crate.

mod checkpoint;
mod data;
#[expect(clippy::module_inception, reason = "the type is in the file of its name")]
mod error;
mod hub;
mod kind;
mod weights;

pub use checkpoint::{CheckpointProblem, SettingMismatch};
pub use data::DataProblem;
pub(crate) use error::same_length;
pub use error::{Error, Result};
pub use hub::HubProblem;
pub use kind::ErrorKind;
pub use weights::WeightsProblem;
