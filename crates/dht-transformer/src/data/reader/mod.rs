//! Readers of labelled texts, and of texts to predict.
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
//! | several files as one table | `parts.rs` |
//! | texts in a folder for each class | `folders.rs` |
//! | header | `header.rs` |
//! | label column and text columns | `columns.rs`, by `names.rs` and `cells.rs` |
//! | labels of cells that are lists | `lists.rs` |
//! | rows without a known label, for scores | `left_out.rs` |
//! | classes of the labels | `labels.rs`, and `label_mapping.rs` one folder up |
//! | examples, and the report of all decisions | `assembly.rs` |
//!
//! `request.rs` holds the header, columns and labels that the caller requests.
//!
//! Texts to predict are read by [`TextStream`]. Lines and rows are read as above, and the first rows determine the text
//! columns (`stream/columns.rs`). Then `stream.rs` returns row after row.

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
