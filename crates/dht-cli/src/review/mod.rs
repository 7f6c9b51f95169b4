//! Review of labelled data: finds rows with probably wrong labels, texts with two labels, and near duplicates.
//!
//! | step | file |
//! |---|---|
//! | equal and nearly equal texts | `duplicates.rs` |
//! | labels that other rows contradict | `labels.rs` |
//! | the rows, most useful first | `findings.rs` |

mod duplicates;
mod findings;
mod labels;

pub use duplicates::{PAIR, duplicates};
pub use findings::{Finding, Problem, findings};
pub use labels::{doubts, spellings};
