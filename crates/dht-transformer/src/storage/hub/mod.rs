//! Models and data sets on the Hugging Face hub.

mod dataset;
mod file;
mod model;
mod name;
#[cfg(feature = "hub")]
mod repository;

pub use dataset::HubDataset;
pub(crate) use model::{model_directory, whole_directory};
