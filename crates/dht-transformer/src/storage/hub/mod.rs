//! Models and data sets on the Hugging Face hub.

#[cfg(feature = "hub")]
mod cache;
#[cfg(feature = "hub")]
mod client;
mod dataset;
mod file;
#[cfg(feature = "hub")]
mod listing;
mod model;
mod name;
#[cfg(feature = "hub")]
mod repository;

pub use dataset::HubDataset;
pub(crate) use model::{model_directory, whole_directory};
