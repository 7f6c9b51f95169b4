//! Reading, writing and validation of `config.json`.

mod activation;
mod bert_config;
mod family;
mod kept;
mod labels;
mod pooling;
mod read;
mod size;

pub use activation::Activation;
pub use bert_config::BertConfig;
pub(crate) use bert_config::pretty;
pub use family::Family;
pub use kept::KeptDimensions;
pub use pooling::Pooling;
pub(crate) use read::json_object;
pub use size::ModelSize;
