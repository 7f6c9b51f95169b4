//! Reading, validation and atomic writing of Hugging Face model directories.

mod account;
mod class;
mod content;
mod foreign;
mod header;
mod names;
mod own_class;
mod pickle;
mod read;
mod sentence;
mod tensor_file;
mod tensor_info;
mod torch_file;
mod values;
mod weights;
mod write;

pub(crate) use class::{class_problem, task_problem};
pub use read::PretrainedWeights;
pub(crate) use read::missing_tensors;
pub use sentence::SentenceModel;
