//! Readers of labelled texts and of texts to predict.

mod cells;
mod columns;
mod dataset_reader;
mod file_name;
mod files;
mod header;
mod json;
mod labels;
mod lines;
mod names;
#[cfg(feature = "hub")]
mod parquet;
mod stream;
mod table;
mod text;

pub use dataset_reader::DatasetReader;
pub use files::Split;
pub(crate) use lines::{LONGEST_ROW, Lines};
pub use stream::{Given, TextColumns, TextFormat, TextRow, TextStream};
