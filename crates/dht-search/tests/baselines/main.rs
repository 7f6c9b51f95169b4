//! Baselines: where they start, what they learn from, and what they decide.

mod exit_bandits;
mod fastbert;
mod pabee;
mod students;
mod toy;
