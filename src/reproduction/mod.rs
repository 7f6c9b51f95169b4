//! Reproduction of the DHT paper's tables and figures, with baselines that are trained on the same texts by the same
//! loop.
//!
//! ```text
//! ReproductionArguments → units (a process each, stored on disk) → rows by seed → ReproductionRecord
//!   → tables, figures, report
//! ```
//!
//! A unit is one method's training run, which yields one or more rows of the tables. Each unit runs in a separate
//! process for each seed: if it diverges, runs out of memory or is killed, the other units continue. Its files are
//! identified by a hash of its settings and texts.

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
