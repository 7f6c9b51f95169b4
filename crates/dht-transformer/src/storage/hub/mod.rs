//! Names on the Hugging Face hub: of models, which become directories on the disk, and of data sets.

mod dataset;
mod file;
mod model;
mod name;
#[cfg(feature = "hub")]
mod repository;

pub use dataset::HubDataset;
pub use file::HubFile;
pub use model::{model_directory, whole_directory};
