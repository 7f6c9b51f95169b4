//! Tables of records, as text, Markdown and CSV.

mod at_costs;
mod compression;
mod csv;
mod further;
mod grid;
mod promises;
mod reproduction;

pub(crate) use at_costs::{PlainTable, brief_scores, interval, mean_difference, points};
pub(crate) use compression::{architecture_lines, sides as compression_sides};
pub use compression::{architecture_search_text, distillation_text};
pub use csv::reproduction_csv;
pub(crate) use further::further_tables;
pub(crate) use grid::{Side, markdown as grid_markdown, markdown_text};
pub(crate) use reproduction::{Table, published_note, tables};
pub use reproduction::{reproduction_markdown, reproduction_text};
