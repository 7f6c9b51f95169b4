//! From files of labelled texts to packed batches of token ids.

mod batch;
mod columns;
mod dataset;
mod encoded;
mod masking;
mod named;
mod reader;
mod text_blocks;
mod tokenizer;
mod word_vectors;

pub use batch::{PackedBatch, epoch_order, longest_first, sequential};
pub use columns::{Column, Columns, Header, LabelKind, LabelSource, Telling};
pub use dataset::{Dataset, Example};
pub use encoded::{CutTokens, EncodedDataset, Encoding, Sample};
pub use masking::{MaskSettings, MaskedBatch, Masking};
pub use named::{Metric, NamedDataset};
pub use reader::{DatasetReader, Split, TextColumns, TextFormat, TextRow, TextStream};
pub use tokenizer::TextTokenizer;
pub use word_vectors::WordVectors;
