//! Baselines: where they start, what they learn from, and what they decide.

mod fastbert;
mod pabee;
mod students;
mod toy;
