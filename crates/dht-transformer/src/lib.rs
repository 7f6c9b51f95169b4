//! A BERT-family encoder on candle: it trains, runs any layers and heads for any sample, and loads and saves
//! Hugging Face directories.
//!
//! ```text
//! text → Example → Encoding → PackedBatch → Hidden → … → Hidden → logits → loss → gradient → optimiser
//! ```

mod config;
mod encoder;
mod error;
mod files;
mod flops;
mod heads;
mod kernels;
mod ops;
mod packed;
mod parameters;
mod text;
mod train;
mod weights;

pub use config::{Activation, BertConfig, ModelSize};
pub use error::{Error, Result};
pub use files::write_atomically;
pub use packed::Spans;
pub use parameters::{Gradient, Gradients, ParameterId, Parameters};
pub use text::{
    Column, Columns, DataProblem, Dataset, DatasetReader, EncodedDataset, Encoding, Example, Header, PackedBatch,
    Sample, Split, TextTokenizer, epoch_order, longest_first, sequential,
};
pub use weights::{PretrainedWeights, WeightsProblem, read_hugging_face, write_hugging_face};
