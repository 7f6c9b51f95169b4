//! Error types of this crate. This module depends on no other module of the crate.

mod checkpoint;
mod data;
#[expect(clippy::module_inception, reason = "the type is in the file of its name")]
pub(crate) mod error;
mod hub;
pub(crate) mod kind;
mod weights;

pub use checkpoint::{CheckpointProblem, SettingMismatch};
pub use data::DataProblem;
pub(crate) use error::{Error, Result, same_length};
pub use hub::HubProblem;
pub use weights::WeightsProblem;
