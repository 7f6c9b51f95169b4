//! Labelled texts for training, accelerating and evaluating.

mod arguments;
mod report;
mod rows;
mod source;
mod splits;
mod text_arguments;

pub use arguments::{DataArguments, RowArguments, TableArguments, check_pair};
pub use report::{classes, cut_note, label_notes, mapping_note, report_texts, warnings};
pub use rows::{all_texts, shared_rows};
pub use splits::{SplitRequest, TextSplits};
pub use text_arguments::TextArguments;
