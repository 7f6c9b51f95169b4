//! Data pipeline from files of labelled texts to packed batches of token ids.

mod batch;
mod dataset;
mod encoded;
pub mod generated;
mod label_mapping;
mod masking;
mod named;
mod reader;
mod reading;
mod text_blocks;
mod tokenizer;
mod word_vectors;

pub use batch::PackedBatch;
pub use dataset::{Dataset, Example};
pub use encoded::{CutTokens, EncodedDataset, Encoding, Sample};
pub(crate) use masking::Masking;
pub use masking::{MaskSettings, MaskedBatch};
pub use named::{Metric, NamedDataset};
pub use reader::{DatasetReader, Given, Split, TextColumns, TextFormat, TextRow, TextStream};
pub use reading::{Column, LabelKind, Reading};
pub use tokenizer::TextTokenizer;
pub(crate) use tokenizer::TokenizerDirectory;
pub use word_vectors::WordVectors;
