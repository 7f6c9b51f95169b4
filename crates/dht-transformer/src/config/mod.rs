//! Model configuration: reading, writing and validation of `config.json`.

mod activation;
pub(crate) mod bert_config;
mod family;
mod kept;
mod labels;
pub(crate) mod pooling;
mod read;
mod size;

pub use activation::Activation;
pub(crate) use activation::HeadActivation;
pub(crate) use bert_config::{BertConfig, pretty};
pub use family::Family;
pub use kept::KeptDimensions;
pub(crate) use pooling::Pooling;
pub(crate) use read::json_object;
pub use size::ModelSize;
