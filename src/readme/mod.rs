//! Markdown with results that a program writes, between marker lines, and prose that people write around them.

mod marked;
mod numbers;

pub(crate) use marked::replaced;
pub use numbers::{README_END, README_START, with_numbers};
