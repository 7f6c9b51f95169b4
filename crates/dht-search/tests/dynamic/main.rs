//! A dynamic model in training: what it learns from, what it costs, and that it does so again.

mod inputs;
mod resuming;
mod toy;
mod training;
