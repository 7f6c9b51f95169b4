//! Reading, validation and atomic writing of Hugging Face directories.

mod account;
mod class;
mod header;
mod names;
mod own_class;
mod read;
mod sentence;
mod tensor_file;
mod values;
mod write;

pub(crate) use class::{class_problem, task_problem};
pub use read::PretrainedWeights;
pub use sentence::SentenceModel;
