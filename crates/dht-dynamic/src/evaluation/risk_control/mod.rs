//! A speed with a promise: how much may be lost against the full model, by distribution-free risk control.
//!
//! Calibration texts that neither the model nor any choice has seen show the risk at each threshold. *With a confidence* the cheapest
//! threshold is taken that a sequence of tests accepts, from the most expensive on (Learn then Test, Angelopoulos et al. 2021,
//! fixed-sequence testing): the risk is above the limit with a probability of at most 1 − confidence. *In expectation* it is the
//! cheapest at which (n·R̂ + 1)/(n + 1) is not above the limit (conformal risk control, Angelopoulos et al. 2022).

mod control;
mod of_model;
mod p_value;
mod risk;

pub use control::{Calibration, Guarantee, Promise, Promised, control_risk};
pub use of_model::with_promise;
pub use risk::Risk;

#[cfg(test)]
mod tests;
