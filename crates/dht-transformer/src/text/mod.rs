//! From files of labelled texts to packed batches of token numbers.

mod batch;
mod blocks;
mod columns;
mod cut;
mod dataset;
mod encoded;
mod lines;
mod masking;
mod parts;
mod problem;
mod reader;
mod table;
mod tokenizer;
mod vocabulary;

pub use batch::{PackedBatch, epoch_order, longest_first, sequential};
pub use columns::{Column, Columns, Header, LabelKind, LabelSource, Telling};
pub use dataset::{Dataset, Example};
pub use encoded::{EncodedDataset, Encoding, Sample};
pub use masking::{MaskSettings, MaskedBatch, Masking};
pub use problem::DataProblem;
pub use reader::{DatasetReader, Split};
pub use tokenizer::TextTokenizer;
