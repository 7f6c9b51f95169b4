//! Data pipeline from files of labelled texts to packed batches of token ids.

pub(crate) mod batch;
pub(crate) mod dataset;
pub(crate) mod encoded;
pub mod generated;
mod label_mapping;
mod masking;
mod named;
pub(crate) mod reader;
mod reading;
mod text_blocks;
pub(crate) mod tokenizer;
mod word_vectors;

pub(crate) use batch::PackedBatch;
pub(crate) use dataset::{Dataset, Example};
pub use encoded::CutTokens;
pub(crate) use encoded::{EncodedDataset, Encoding, Sample};
pub(crate) use masking::Masking;
pub use masking::{MaskSettings, MaskedBatch};
pub use named::{Metric, NamedDataset};
pub use reader::{Given, Split, TextColumns, TextFormat, TextRow, TextStream};
pub use reading::{Column, LabelKind, Reading};
pub(crate) use tokenizer::{TextTokenizer, TokenizerDirectory};
pub use word_vectors::WordVectors;
