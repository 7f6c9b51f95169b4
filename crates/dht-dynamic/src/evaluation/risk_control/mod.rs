//! Distribution-free risk control: selects a speed (exit threshold) whose loss of accuracy against the full model is
//! bounded.
//!
//! The risk, for example the loss of accuracy, is measured at each threshold on calibration texts, which were used
//! neither to fit the model nor to select anything.
//!
//! - *With a confidence*, a sequence of tests accepts thresholds, starting with the most expensive (Learn then Test,
//!   Angelopoulos et al. 2021, fixed-sequence testing). The cheapest accepted threshold is selected. Its risk is above
//!   the limit with a probability of at most 1 − confidence.
//! - *In expectation*, the selected threshold is the cheapest at which (n·R̂ + 1)/(n + 1) is not above the limit
//!   (conformal risk control, Angelopoulos et al. 2022). R̂ is the mean loss of the n calibration texts.
//!
//! [`AbstentionThreshold`] is for models that may abstain: it bounds the share of wrong predictions among those whose
//! probability is at least a threshold.

mod abstention;
mod control;
mod of_model;
mod p_value;
mod risk;

pub use abstention::AbstentionThreshold;
pub use control::{Calibration, Guarantee, Promise, Promised};
pub use risk::Risk;

#[cfg(test)]
mod tests;
