//! Confidence levels, and their quantiles of the normal distribution.

use std::f64::consts::SQRT_2;

use crate::error::Result;
use crate::validate::check_parameter;

pub(super) const DEFAULT_LEVEL: f64 = 0.95;

pub(super) fn check_level(level: f64) -> Result<()> {
    check_parameter("level", level, level > 0.0 && level < 1.0, "in (0, 1), such as 0.95")
}

/// Two-sided quantile: the number z with P(|Z| ≤ z) = level for a standard normal Z. Bisection solves erfc(z/√2) = 1 −
/// level.
///
/// # Errors
/// Fails if the level is outside (0, 1).
pub(super) fn two_sided_quantile(level: f64) -> Result<f64> {
    check_level(level)?;
    let (mut low, mut high) = (0.0, 40.0);
    // An interval of length 40 is halved until its ends are neighbours, at 2⁻⁶⁰ of its length.
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if libm::erfc(middle / SQRT_2) > 1.0 - level {
            low = middle;
        } else {
            high = middle;
        }
    }
    Ok(0.5 * (low + high))
}

/// Quantile of the standard normal distribution: the number z with P(Z ≤ z) = share, for a share in (0, 1).
pub(super) fn normal_quantile(share: f64) -> f64 {
    let (mut low, mut high) = (-40.0, 40.0);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if normal_distribution(middle) < share {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}

/// Cumulative distribution function of the standard normal distribution.
pub(super) fn normal_distribution(z: f64) -> f64 {
    0.5 * libm::erfc(-z / SQRT_2)
}

#[cfg(test)]
mod tests {
    use super::{normal_quantile, two_sided_quantile};
    use crate::error::Error;

    #[test]
    fn quantiles_agree_with_tables() {
        for (level, expected) in [
            (0.5, 0.674_489_750_196_081_7),
            (0.8, 1.281_551_565_544_600_4),
            (0.95, 1.959_963_984_540_054),
            (0.99, 2.575_829_303_548_900_4),
        ] {
            assert!((two_sided_quantile(level).unwrap() - expected).abs() < 1e-12, "{level}");
            assert!((normal_quantile(0.5 + 0.5 * level) - expected).abs() < 1e-12, "{level}");
            assert!((normal_quantile(0.5 - 0.5 * level) + expected).abs() < 1e-12, "{level}");
        }
        for level in [0.0, 1.0, -0.1, 1.5, f64::NAN, f64::INFINITY] {
            assert!(matches!(two_sided_quantile(level), Err(Error::Parameter { name: "level", .. })), "{level}");
        }
    }
}
