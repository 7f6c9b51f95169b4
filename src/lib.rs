//! Experiments behind the workspace's examples: arguments, data, progress, result files, tables and figures. The
//! algorithms are in the library crates.
//!
//! ```text
//! Arguments → RunPlan → RunData → (training, in the libraries) → Record → tables, figures, pages
//! ```
//!
//! | module | content |
//! |---|---|
//! | [`record`] | results of a run as one JSON file, from which all else is written |

mod compression;
mod error;
mod experiment;
mod figures;
#[cfg(test)]
mod fixture;
mod generated_texts;
mod marked;
mod published;
pub mod record;
mod report;
mod reproduction;
mod tables;

pub use compression::{DistilArguments, HeadsArguments, NasArguments, distil, heads, nas};
pub use error::{Error, Result, exit_code};
pub use experiment::{Arguments, RunData, RunPlan};
pub use generated_texts::write_generated_texts;
pub use report::{
    REPRODUCTION_END, REPRODUCTION_START, head_ablation_figure, head_ablation_file, reproduction_page,
    with_architecture_searches, with_head_ablations, with_real_texts, with_reproduction, write_reproduction_figures,
    write_reproduction_pages,
};
pub use reproduction::{ReproductionArguments, reproduce};

/// Compiles the programs of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
