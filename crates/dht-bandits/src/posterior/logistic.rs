//! Bayesian logistic regression in one dimension: the logistic function, its curvature, and the step to the mode.

use crate::error::{Error, Result};
use crate::validate::check_scalar;

/// σ(z) = 1/(1 + e^−z), without overflow.
pub fn sigmoid(log_odds: f64) -> f64 {
    if log_odds >= 0.0 {
        1.0 / (1.0 + (-log_odds).exp())
    } else {
        let odds = log_odds.exp();
        odds / (1.0 + odds)
    }
}

/// ln(1 + e^z), without overflow.
pub(super) fn softplus(log_odds: f64) -> f64 {
    log_odds.max(0.0) + (-log_odds.abs()).exp().ln_1p()
}

/// The step c to the mode after one observation: θ* = θ + c·Px with c = w(y − σ(m + c·q)), m = θ'x, q = x'Px.
///
/// The mode of ½(p − θ)'P⁻¹(p − θ) + w(ln(1 + e^{p'x}) − y·p'x) is on that line, because its gradient is zero only
/// there. c − w(y − σ(m + cq)) rises with c and changes sign in [w(y − 1), wy]: Newton, kept inside by bisection.
pub(crate) fn mode_step(mean: f64, variance: f64, reward: f64, weight: f64) -> f64 {
    let (mut low, mut high) = (weight * (reward - 1.0), weight * reward);
    let mut step = 0.0;
    for _ in 0..100 {
        let probability = sigmoid(mean + step * variance);
        let excess = step - weight * (reward - probability);
        if excess > 0.0 {
            high = step;
        } else {
            low = step;
        }
        let slope = 1.0 + weight * variance * probability * (1.0 - probability);
        let newton = step - excess / slope;
        let next = if newton > low && newton < high { newton } else { 0.5 * (low + high) };
        if (next - step).abs() <= 1e-15 * (1.0 + step.abs()) {
            return next;
        }
        step = next;
    }
    step
}

/// σ(z)(1 − σ(z)): the curvature that an observation adds at the mode.
pub(super) fn curvature(log_odds: f64) -> f64 {
    sigmoid(log_odds) * sigmoid(-log_odds)
}

/// Refuses a reward outside of [0, 1].
pub(crate) fn check_unit_reward(reward: f64) -> Result<()> {
    check_scalar("reward", reward)?;
    if (0.0..=1.0).contains(&reward) { Ok(()) } else { Err(Error::Reward { reward, low: 0.0, high: 1.0 }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_step_solves_its_equation_from_the_mildest_to_the_wildest_prior() {
        for mean in [-800.0, -30.0, -1.0, 0.0, 0.3, 40.0] {
            for variance in [0.0, 1e-12, 0.1, 1.0, 1e3, 1e9] {
                for reward in [0.0, 0.25, 1.0] {
                    for weight in [0.1, 1.0, 50.0] {
                        let step = mode_step(mean, variance, reward, weight);
                        let residual = step - weight * (reward - sigmoid(mean + step * variance));
                        // The sigmoid's slope magnifies rounding of the argument where the prior is very wide.
                        let slack = 1e-13 * weight.max(1.0) * (1.0 + variance * 1e-3);
                        assert!(residual.abs() <= slack, "{mean} {variance} {reward} {weight}: {residual}");
                    }
                }
            }
        }
    }

    #[test]
    fn softplus_and_sigmoid_survive_the_ends() {
        assert_eq!(sigmoid(-1000.0), 0.0);
        assert_eq!(sigmoid(1000.0), 1.0);
        assert_eq!(softplus(1000.0), 1000.0);
        assert!((softplus(0.0) - 2f64.ln()).abs() < 1e-15);
        assert!(softplus(-700.0) > 0.0);
    }
}
