//! Sentences about a reproduction and about the DHT paper (Meng et al. 2023), with numbers from rows and from the
//! paper's tables.

mod paper;
mod rows;

pub(crate) use paper::{WITHDRAWN, paper_notes};
pub(crate) use rows::{findings, row_name};
