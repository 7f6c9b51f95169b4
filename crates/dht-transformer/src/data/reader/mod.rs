//! Readers of labelled data sets, and of unlabelled texts to predict.
//!
//! A labelled data set is read in these steps ([`DatasetReader::read`]):
//!
//! | step | file |
//! |---|---|
//! | files of a directory by split | `files.rs` |
//! | format and name of a file | `file_name.rs` |
//! | bytes, decompressed and decoded | `coding.rs` |
//! | physical lines, checked to be text; elements of a JSON array | `lines.rs`, `array.rs` |
//! | rows of cells | `table.rs`, by `csv.rs`, `tsv.rs` and `json.rs`; `parquet.rs` |
//! | several files joined to one table | `parts.rs` |
//! | texts in a folder for each class | `folders.rs` |
//! | header | `header.rs` |
//! | label column and text columns | `columns.rs`, by `names.rs` and `cells.rs` |
//! | lists of labels in one cell | `lists.rs` |
//! | removal of rows without a known label | `left_out.rs` |
//! | classes from labels | `labels.rs`, and `label_mapping.rs` one folder up |
//! | examples, and the report of all detected columns and labels | `assembly.rs` |
//!
//! `request.rs` holds the header, columns and labels that a caller requests.
//!
//! [`TextStream`] reads texts to predict with the same readers of lines and rows. It detects the text columns from the
//! first rows (`stream/columns.rs`), and then returns one row at a time (`stream.rs`).

mod array;
mod assembly;
mod cells;
mod coding;
mod columns;
mod csv;
mod dataset_reader;
mod file_name;
mod files;
mod folders;
mod header;
mod json;
mod labels;
mod left_out;
mod lines;
mod lists;
mod names;
#[cfg(feature = "parquet")]
mod parquet;
#[cfg(feature = "parquet")]
mod parquet_lines;
mod parts;
mod request;
mod row;
mod stream;
mod table;
mod text;
mod tsv;

pub use coding::{Compression, TextEncoding};
pub use dataset_reader::DatasetReader;
pub use files::Split;
pub(crate) use lines::{LONGEST_ROW, Lines};
pub use stream::{Given, TextColumns, TextFormat, TextRow, TextStream};
