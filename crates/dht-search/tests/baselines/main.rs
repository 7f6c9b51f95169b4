//! Baselines: where they start, what they learn from, and what they decide.

mod accelerated;
mod fastbert;
mod pabee;
mod students;
mod toy;
