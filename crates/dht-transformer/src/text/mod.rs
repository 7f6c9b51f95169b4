//! From files of labelled texts to packed batches of token numbers.

mod columns;
mod dataset;
mod lines;
mod problem;
mod reader;
mod table;

pub use columns::{Column, Columns, Header};
pub use dataset::{Dataset, Example};
pub use problem::DataProblem;
pub use reader::{DatasetReader, Split};
