//! The training loop: it learns, it repeats itself, it goes on where it stopped.

mod accumulating;
mod distilling;
mod evaluating;
mod failures;
mod learning;
mod resuming;
mod stopping;
mod toy;
mod wrapped;
