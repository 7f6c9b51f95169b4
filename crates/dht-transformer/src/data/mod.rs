//! Data pipeline: reads labelled texts from files, encodes them as token ids, and packs them into batches.
//!
//! | step | file |
//! |---|---|
//! | files → rows → examples, with a report of the detected columns | `reader/`, `reading.rs`, `label_mapping.rs` |
//! | examples and classes; splits and samples | `dataset.rs`, `hold_out.rs`, `named.rs`, `generated/` |
//! | examples → token ids | `tokenizer/`, `encoded.rs` |
//! | unlabelled text → blocks of tokens, masked tokens | `text_blocks.rs`, `masking.rs` |
//! | token ids → packed batches | `batch.rs` |

pub(crate) mod batch;
pub(crate) mod dataset;
pub(crate) mod encoded;
pub mod generated;
mod hold_out;
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
pub(crate) use encoded::{EncodedDataset, Encoding, Sample};
pub use encoded::{UnknownWord, UnreadTokens};
pub(crate) use masking::Masking;
pub use masking::{MaskSettings, MaskedBatch};
pub use named::{Metric, NamedDataset};
pub use reader::{Compression, Given, Split, TextColumns, TextEncoding, TextFormat, TextRow, TextStream};
pub use reading::{Column, LabelKind, Reading};
pub(crate) use tokenizer::{PROMPTS, TextTokenizer, TokenizerDirectory};
pub use word_vectors::WordVectors;
