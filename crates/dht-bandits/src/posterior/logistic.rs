//! Logistic regression with one observation: the logistic function, its curvature, and the step to the posterior mode.

use crate::error::{Error, Result};
use crate::validate::check_scalar;

/// Logistic function σ(z) = 1/(1 + e^−z), without overflow.
pub fn sigmoid(log_odds: f64) -> f64 {
    if log_odds >= 0.0 {
        1.0 / (1.0 + (-log_odds).exp())
    } else {
        let odds = log_odds.exp();
        odds / (1.0 + odds)
    }
}

/// Softplus ln(1 + e^z), without overflow.
fn softplus(log_odds: f64) -> f64 {
    log_odds.max(0.0) + (-log_odds.abs()).exp().ln_1p()
}

/// Log loss ln(1 + e^z) − y·z for log-odds z and reward y, without cancellation where the loss is small.
pub(super) fn loss(log_odds: f64, reward: f64) -> f64 {
    reward * softplus(-log_odds) + (1.0 - reward) * softplus(log_odds)
}

/// Residual y − σ(z) for log-odds z and reward y, without cancellation where the residual is small.
pub(crate) fn residual(log_odds: f64, reward: f64) -> f64 {
    let odds = (-log_odds.abs()).exp();
    let (larger, smaller) = (1.0 / (1.0 + odds), odds / (1.0 + odds));
    let (one, zero) = if log_odds >= 0.0 { (larger, smaller) } else { (smaller, larger) };
    reward * zero - (1.0 - reward) * one
}

/// Step from the prior mean θ to the posterior mode θ* after one observation x with reward y and weight w. The mode is
/// θ* = θ + c·Px with the prior covariance P. Returns c, the solution of c = w(y − σ(m + c·q)) with m = θ'x (`mean`)
/// and q = x'Px (`variance`).
///
/// The mode of ½(p − θ)'P⁻¹(p − θ) + w(ln(1 + e^{p'x}) − y·p'x) is on that line, because the gradient is zero only
/// there. c − w(y − σ(m + cq)) increases with c and changes sign in [w(y − 1), wy]. Newton's method, safeguarded by
/// bisection, runs until both c and the log-odds m + cq are stationary. With a wide prior c is tiny, and only the
/// log-odds show convergence.
pub(crate) fn mode_step(mean: f64, variance: f64, reward: f64, weight: f64) -> f64 {
    let (mut low, mut high) = (weight * (reward - 1.0), weight * reward);
    let mut step = 0.0;
    // In the tail, a step adds about 1 to the log-odds, which are 230 for q = 1e100. Halving takes 340 steps to 1e-100.
    for _ in 0..1000 {
        let log_odds = mean + step * variance;
        let excess = step - weight * residual(log_odds, reward);
        if excess > 0.0 {
            high = step;
        } else {
            low = step;
        }
        let slope = 1.0 + weight * variance * curvature(log_odds);
        let newton = step - excess / slope;
        let next = if newton > low && newton < high { newton } else { 0.5 * (low + high) };
        let change = (next - step).abs();
        let still = change <= 1e-15 * (1.0 + step.abs())
            && change * variance <= 1e-15 * (1.0 + mean.abs() + (step * variance).abs());
        if still {
            return next;
        }
        step = next;
    }
    step
}

/// Curvature σ(z)(1 − σ(z)) of the log loss at the log-odds z, which an observation adds to the precision.
pub(crate) fn curvature(log_odds: f64) -> f64 {
    sigmoid(log_odds) * sigmoid(-log_odds)
}

/// Fails for a reward outside [0, 1].
pub(crate) fn check_unit_reward(reward: f64) -> Result<()> {
    check_scalar("reward", reward)?;
    if (0.0..=1.0).contains(&reward) { Ok(()) } else { Err(Error::Reward { reward, low: 0.0, high: 1.0 }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logistic_step_solves_its_equation_for_any_prior_variance() {
        for mean in [-800.0, -30.0, -1.0, 0.0, 0.3, 40.0] {
            for variance in [0.0, 1e-12, 0.1, 1.0, 1e3, 1e9] {
                for reward in [0.0, 0.25, 1.0] {
                    for weight in [0.1, 1.0, 50.0] {
                        let step = mode_step(mean, variance, reward, weight);
                        let residual = step - weight * (reward - sigmoid(mean + step * variance));
                        // If the prior is very wide, the slope of the sigmoid magnifies the rounding of its argument.
                        let slack = 1e-13 * weight.max(1.0) * (1.0 + variance * 1e-3);
                        assert!(residual.abs() <= slack, "{mean} {variance} {reward} {weight}: {residual}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_step_is_right_where_the_prior_is_so_wide_that_it_is_tiny() {
        for exponent in [3, 9, 15, 30, 60, 100] {
            let variance = 10f64.powi(exponent);
            for mean in [-20.0, 0.0, 3.0f64] {
                // z = m + q·σ(−z) by bisection of ln(z − m) + ln(1 + e^z) = ln q, which neither overflows nor cancels.
                let (mut low, mut high): (f64, f64) = (mean, mean + 1e3);
                for _ in 0..200 {
                    let z = 0.5 * (low + high);
                    if (z - mean).ln() + softplus(z) > variance.ln() {
                        high = z;
                    } else {
                        low = z;
                    }
                }
                let up = mode_step(mean, variance, 1.0, 1.0) * variance + mean;
                assert!((up - low).abs() < 1e-9 * (1.0 + low.abs()), "1e{exponent}, {mean}: {up} instead of {low}");
                // The mirror image.
                let down = mode_step(-mean, variance, 0.0, 1.0) * variance - mean;
                assert!((down + low).abs() < 1e-9 * (1.0 + low.abs()), "1e{exponent}, {mean}: {down}");
            }
        }
    }

    #[test]
    fn softplus_and_sigmoid_survive_the_ends() {
        assert_eq!(sigmoid(-1000.0), 0.0);
        assert_eq!(sigmoid(1000.0), 1.0);
        assert_eq!(softplus(1000.0), 1000.0);
        for log_odds in [-40.0, -1.0, 0.0, 0.5, 36.0] {
            for reward in [0.0, 0.3, 1.0] {
                assert!((residual(log_odds, reward) - (reward - sigmoid(log_odds))).abs() < 1e-15);
                let plain = softplus(log_odds) - reward * log_odds;
                assert!((loss(log_odds, reward) - plain).abs() < 1e-14 * (1.0 + plain.abs()));
            }
        }
        // e^-700, which y − σ(z) has lost.
        assert!((residual(700.0, 1.0) / (-700f64).exp() - 1.0).abs() < 1e-12);
        assert!((loss(700.0, 1.0) / (-700f64).exp() - 1.0).abs() < 1e-12);
        assert!((softplus(0.0) - 2f64.ln()).abs() < 1e-15);
        assert!(softplus(-700.0) > 0.0);
    }
}
