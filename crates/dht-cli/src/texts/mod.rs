//! Labelled texts for training, accelerating and evaluating.
//!
//! | step | file |
//! |---|---|
//! | flags | `arguments.rs` |
//! | files behind a path or a name | `source.rs` |
//! | rows by purpose, read and split | `text_arguments.rs` |
//! | token ids by purpose | `splits.rs` |
//! | report and warnings on the rows | `report.rs`, by `rows.rs` |

mod arguments;
mod report;
mod rows;
mod source;
mod splits;
mod text_arguments;

pub use arguments::{
    DataArguments, LabelArguments, RowArguments, TableArguments, TaskChoice, check_pair, other_columns_note,
};
pub use report::{
    classes, classes_without_rows, cut_note, label_notes, left_out_note, mapping_note, missing_classes_note,
    prefix_line, report_texts, trained_rows, trained_rows_note, unknown_tokens_line, warnings,
};
pub use rows::{all_texts, shared_rows};
pub use splits::{Classes, EncodedSplits, SplitRequest, TextSplits};
pub use text_arguments::TextArguments;
