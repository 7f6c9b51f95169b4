//! The paper's tables and figures, beside baselines that are trained on the same texts by the same loop.
//!
//! ```text
//! ReproductionArguments → units (a process each, kept on disk) → rows by seed → ReproductionRecord → tables, figures, report
//! ```
//!
//! A unit is one training of one seed with the rows that come from it. Each runs in a process of its own, so that one that
//! diverges, runs out of memory or is killed is a failed row, and the others go on. Its files are found again by a hash of
//! its settings and texts.

mod accelerated;
mod arguments;
mod at_costs;
mod baselines;
mod candidates;
mod files;
mod identity;
mod ngrams;
mod options;
mod promises;
mod run;
mod search;
mod summary;
mod units;
mod worker;

pub use arguments::ReproductionArguments;
pub use run::reproduce;
