//! Training loop: it learns, is reproducible, and resumes after an interruption.

mod accumulating;
mod distilling;
mod evaluating;
mod failures;
mod learning;
mod resuming;
mod stopping;
mod toy;
mod wrapped;
