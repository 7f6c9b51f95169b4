//! Distribution-free risk control: a speed whose loss against the full model is bounded.
//!
//! Calibration texts that neither the model nor any choice has seen show the risk at each threshold.
//!
//! - *With a confidence*, a sequence of tests accepts thresholds, from the most expensive on (Learn then Test,
//!   Angelopoulos et al. 2021, fixed-sequence testing). The cheapest accepted threshold is selected: the risk is above
//!   the limit with a probability of at most 1 − confidence.
//! - *In expectation*, the cheapest threshold is selected at which (n·R̂ + 1)/(n + 1) is not above the limit (conformal
//!   risk control, Angelopoulos et al. 2022).

mod control;
mod of_model;
mod p_value;
mod risk;

pub use control::{Calibration, Guarantee, Promise, Promised, control_risk};
pub use of_model::with_promise;
pub use risk::Risk;

#[cfg(test)]
mod tests;
