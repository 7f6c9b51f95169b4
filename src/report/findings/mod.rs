//! Findings of a reproduction and notes on the DHT paper (Meng et al. 2023), as sentences with numbers.

mod paper;
mod rows;

pub(crate) use paper::{WITHDRAWN, paper_notes};
pub(crate) use rows::{findings, row_name};
