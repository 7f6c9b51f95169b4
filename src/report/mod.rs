//! What a reader sees of reproductions: one HTML page of each, all its tables and figures as files, and pages in the docs.

mod architecture_search;
mod docs_page;
mod drifted;
mod findings;
mod head_ablation;
mod head_choices;
mod html;
mod less_training;
mod output;
mod page;
mod real_texts;
mod tried;

/// Sign of FLOPs of training that do not have the convex fits.
const FITS_LEFT_OUT: &str = " †";
/// The sign's meaning.
const FITS_NOTE: &str = "† Without the FLOPs of the convex fits, which this run did not count.\n";

pub use architecture_search::{ARCHITECTURE_END, ARCHITECTURE_START, with_architecture_searches};
pub use docs_page::{
    REPRODUCTION_END, REPRODUCTION_START, reproduction_page, with_reproduction, write_reproduction_figures,
};
pub use drifted::{DRIFT_END, DRIFT_START, with_drift};
pub(crate) use head_ablation::head_ablation_table;
pub use head_ablation::{
    HEAD_ABLATION_END, HEAD_ABLATION_START, head_ablation_figure, head_ablation_file, with_head_ablations,
};
pub use head_choices::{HEADS_END, HEADS_START};
pub use less_training::{LESS_TRAINING_END, LESS_TRAINING_START, with_less_training};
pub use output::write_reproduction;
pub use page::reproduction_report;
pub use real_texts::{REAL_TEXTS_END, REAL_TEXTS_START, with_real_texts};
pub use tried::{SPEEDS_END, SPEEDS_START, TRIED_END, TRIED_START, with_recipe};

#[cfg(test)]
mod tests;
