//! Pages in Markdown with results that a program writes, between marker lines, and prose that people write around them.

mod marked;
mod numbers;
mod reproduction;

pub use numbers::{README_END, README_START, with_numbers};
pub use reproduction::{
    REPRODUCTION_END, REPRODUCTION_START, reproduction_page, with_reproduction, write_reproduction_figures,
};
