//! Probability distributions of the value by which an exploration rule ranks an arm.

use std::f64::consts::{PI, SQRT_2};

use super::beta;

/// Number of successes and failures from which every draw of a beta distribution equals the mean, up to rounding.
const CERTAIN: f64 = 1e15;

/// Probability distribution of the value by which an exploration rule ranks an arm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Law {
    /// Point mass: the value is always this number.
    Point(f64),
    /// Normal distribution N(mean, deviation²).
    Normal { mean: f64, deviation: f64 },
    /// Gumbel distribution: location + scale·G with P(G ≤ g) = exp(−exp(−g)).
    Gumbel { location: f64, scale: f64 },
    /// Student's t distribution: location + scale·T with at least two degrees of freedom; `norm` is ln B(freedom/2, ½),
    /// the logarithm of a beta function.
    Student { location: f64, scale: f64, freedom: f64, norm: f64 },
    /// Beta distribution with both parameters at least ½.
    Beta { successes: f64, failures: f64 },
}

/// Normal distribution function Φ(x), accurate to the last digits in both tails.
pub(crate) fn normal_distribution(x: f64) -> f64 {
    0.5 * libm::erfc(-x / SQRT_2)
}

impl Law {
    /// Creates Beta(successes, failures), or a point at the mean if draws differ from the mean only by rounding.
    pub(crate) fn beta(successes: f64, failures: f64) -> Self {
        let total = successes + failures;
        if total > CERTAIN { Self::Point(successes / total) } else { Self::Beta { successes, failures } }
    }

    /// Creates a shifted and scaled Student's t distribution, or a normal distribution if the two differ by less than
    /// 1e-8.
    pub(crate) fn student(location: f64, scale: f64, freedom: f64) -> Self {
        if freedom > 2e7 {
            return Self::Normal { mean: location, deviation: scale };
        }
        // ln Γ(x + ½) − ln Γ(x), x = freedom/2; the difference of large logarithms would lose digits.
        let x = 0.5 * freedom;
        let ratio = if x > 100.0 {
            0.5 * x.ln() - 1.0 / (8.0 * x) + 1.0 / (192.0 * x.powi(3)) - 1.0 / (640.0 * x.powi(5))
        } else {
            libm::lgamma(x + 0.5) - libm::lgamma(x)
        };
        Self::Student { location, scale, freedom, norm: 0.5 * PI.ln() - ratio }
    }

    /// Creates N(mean, deviation²), or a point mass if the deviation is too small to change the mean's digits.
    pub(crate) fn normal(mean: f64, deviation: f64) -> Self {
        let reach = 8.8 * deviation;
        if mean + reach == mean && mean - reach == mean { Self::Point(mean) } else { Self::Normal { mean, deviation } }
    }

    /// Shifts the distribution down by a number. A beta distribution is returned unchanged.
    pub(super) fn less(self, number: f64) -> Self {
        match self {
            Self::Point(value) => Self::Point(value - number),
            Self::Normal { mean, deviation } => Self::Normal { mean: mean - number, deviation },
            Self::Gumbel { location, scale } => Self::Gumbel { location: location - number, scale },
            Self::Student { location, scale, freedom, norm } => {
                Self::Student { location: location - number, scale, freedom, norm }
            }
            Self::Beta { .. } => self,
        }
    }

    /// Location of the distribution: its mean, or the location parameter of a Gumbel or Student's t distribution.
    pub(crate) fn location(&self) -> f64 {
        match *self {
            Self::Point(value) => value,
            Self::Normal { mean, .. } => mean,
            Self::Gumbel { location, .. } | Self::Student { location, .. } => location,
            Self::Beta { successes, failures, .. } => successes / (successes + failures),
        }
    }

    /// Scale of the distribution: its standard deviation, or the scale parameter of a Gumbel or Student's t
    /// distribution.
    pub(super) fn scale(&self) -> f64 {
        match *self {
            Self::Point(_) => 0.0,
            Self::Normal { deviation, .. } => deviation,
            Self::Gumbel { scale, .. } | Self::Student { scale, .. } => scale,
            Self::Beta { successes, failures, .. } => {
                let total = successes + failures;
                (successes * failures / (total + 1.0)).sqrt() / total
            }
        }
    }

    /// Range of the distribution as (low, high, far). The probability below `low` is less than 1e-17, and so is the
    /// probability above `high`; `far` is a value beyond which the density is practically 0.
    pub(super) fn range(&self) -> (f64, f64, f64) {
        match *self {
            Self::Point(value) => (value, value, value),
            Self::Normal { mean, deviation } => {
                (mean - 8.8 * deviation, mean + 8.8 * deviation, mean + 38.0 * deviation)
            }
            Self::Gumbel { location, scale } => {
                (location - 3.75 * scale, location + 42.0 * scale, location + 700.0 * scale)
            }
            Self::Student { .. } => (f64::NEG_INFINITY, f64::INFINITY, f64::INFINITY),
            Self::Beta { .. } => (0.0, 1.0, 1.0),
        }
    }

    /// Distribution function P(value ≤ v).
    pub(super) fn distribution(&self, v: f64) -> f64 {
        self.distribution_at(v, 1.0 - v)
    }

    /// Distribution function P(value ≤ v), where `rest` = 1 − v is known to more digits than v has.
    pub(super) fn distribution_at(&self, v: f64, rest: f64) -> f64 {
        match *self {
            Self::Point(value) => f64::from(u8::from(value <= v)),
            Self::Normal { mean, deviation } => normal_distribution((v - mean) / deviation),
            Self::Gumbel { location, scale } => (-(-(v - location) / scale).exp()).exp(),
            Self::Student { location, scale, freedom, .. } => {
                let t = (v - location) / scale;
                let square = t * t / freedom;
                if square < 1.0 {
                    // Computed from the middle of the distribution, where 1 − t²/ν would lose digits.
                    let middle = beta::distribution(0.5, 0.5 * freedom, square / (1.0 + square), 1.0 / (1.0 + square));
                    return 0.5 + 0.5 * middle.copysign(t);
                }
                let tail = 0.5 * beta::distribution(0.5 * freedom, 0.5, 1.0 / (1.0 + square), square / (1.0 + square));
                if t > 0.0 { 1.0 - tail } else { tail }
            }
            Self::Beta { successes, failures } => beta::distribution(successes, failures, v, rest),
        }
    }

    /// Density at v, with `rest` = 1 − v.
    pub(super) fn density_at(&self, v: f64, rest: f64) -> f64 {
        match *self {
            Self::Point(_) => 0.0,
            Self::Normal { mean, deviation } => {
                let z = (v - mean) / deviation;
                (-0.5 * z * z).exp() / (deviation * (2.0 * PI).sqrt())
            }
            Self::Gumbel { location, scale } => {
                let z = (v - location) / scale;
                (-z - (-z).exp()).exp() / scale
            }
            Self::Student { location, scale, freedom, norm } => {
                let t = (v - location) / scale;
                (-0.5 * (freedom + 1.0) * (t * t / freedom).ln_1p() - norm - 0.5 * freedom.ln()).exp() / scale
            }
            Self::Beta { successes, failures } => beta::density(successes, failures, v, rest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distributions_have_their_known_values() {
        let normal = Law::Normal { mean: 1.0, deviation: 2.0 };
        // Φ(1), Φ(−6): Abramowitz & Stegun, table 26.1.
        assert!((normal.distribution(3.0) - 0.841_344_746_068_542_9).abs() < 1e-15);
        assert!((normal.distribution(-11.0) / 9.865_876_450_376_946e-10 - 1.0).abs() < 1e-12);
        let gumbel = Law::Gumbel { location: 0.5, scale: 2.0 };
        assert!((gumbel.distribution(0.5) - (-1.0f64).exp()).abs() < 1e-15);
        // I_x(a, 1) = x^a, I_x(1, b) = 1 − (1 − x)^b, I_x(2, 3) = 6x² − 8x³ + 3x⁴; arcsine law at a = b = ½.
        for x in [0.01, 0.3, 0.5, 0.77, 0.999] {
            let of = |a, b| Law::beta(a, b).distribution(x);
            assert!((of(3.5, 1.0) - x.powf(3.5)).abs() < 1e-14);
            assert!((of(1.0, 40.0) - (1.0 - (1.0 - x).powf(40.0))).abs() < 1e-13);
            assert!((of(2.0, 3.0) - (6.0 * x * x - 8.0 * x.powi(3) + 3.0 * x.powi(4))).abs() < 1e-14);
            assert!((of(0.5, 0.5) - 2.0 / PI * x.sqrt().asin()).abs() < 1e-13);
            assert!((Law::beta(2.0, 3.0).density_at(x, 1.0 - x) - 12.0 * x * (1.0 - x).powi(2)).abs() < 1e-13);
        }
    }

    #[test]
    fn students_t_has_its_known_values() {
        // With 2 degrees P(T ≤ t) = ½ + t/(2√(2 + t²)); the .975 quantiles of 5 and 30 from every table; Φ in the limit.
        let two = Law::student(0.0, 1.0, 2.0);
        for t in [-1e4f64, -3.0, -0.2, 0.0, 0.7, 40.0] {
            let expected = 0.5 + 0.5 * t / (2.0 + t * t).sqrt();
            assert!((two.distribution(t) - expected).abs() < 1e-14, "{t}");
        }
        assert!((Law::student(1.0, 2.0, 5.0).distribution(1.0 + 2.0 * 2.570_581_835_636_314) - 0.975).abs() < 1e-12);
        assert!((Law::student(0.0, 1.0, 30.0).distribution(2.042_272_456_301_238) - 0.975).abs() < 1e-12);
        assert!((Law::student(0.0, 1.0, 1e9).distribution(-1.3) - normal_distribution(-1.3)).abs() < 1e-9);
    }

    #[test]
    fn a_density_is_the_slope_of_its_distribution() {
        let laws = [
            Law::Normal { mean: -0.3, deviation: 0.7 },
            Law::Gumbel { location: 0.2, scale: 0.4 },
            Law::beta(7.5, 30.0),
            Law::student(0.1, 0.3, 2.0),
            Law::student(0.1, 0.3, 301.0),
        ];
        for law in laws {
            for v in [0.1, 0.25, 0.4] {
                let slope = (law.distribution(v + 1e-5) - law.distribution(v - 1e-5)) / 2e-5;
                assert!(
                    (slope - law.density_at(v, 1.0 - v)).abs() < 1e-7 * (1.0 + law.density_at(v, 1.0 - v)),
                    "{law:?} {v}"
                );
            }
        }
    }
}
