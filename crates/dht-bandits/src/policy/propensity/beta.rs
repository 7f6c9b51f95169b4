//! Beta distribution function and density, for ½ to 10¹⁵ successes and failures.
//!
//! Functions take both a value v and its complement 1 − v, so that no digits are lost near 0 or 1.

use std::f64::consts::PI;

/// Smallest number of successes and of failures for which Temme's uniform expansion of the beta distribution function
/// is used. Its error is then below 1e-10.
const LARGE: f64 = 1e7;

/// Largest number of terms in the continued fraction of the incomplete beta function. For the parameters a and b, about
/// √max(a, b) terms are needed.
const TERMS: u32 = 20_000;

/// Distribution function of Beta(a, b) at v: the regularised incomplete beta function I_v(a, b), with `rest` = 1 − v.
pub(super) fn distribution(a: f64, b: f64, v: f64, rest: f64) -> f64 {
    if v <= 0.0 {
        return 0.0;
    }
    if rest <= 0.0 {
        return 1.0;
    }
    if a.min(b) > LARGE {
        return expansion(a, b, v, rest);
    }
    let front = front(a, b, v, rest);
    if v < (a + 1.0) / (a + b + 2.0) { front * fraction(a, b, v) / a } else { 1.0 - front * fraction(b, a, rest) / b }
}

/// Density of the beta distribution Beta(a, b) at v, with `rest` = 1 − v.
pub(super) fn density(a: f64, b: f64, v: f64, rest: f64) -> f64 {
    front(a, b, v, rest) / (v * rest)
}

/// Common factor v^a (1 − v)^b / B(a, b) of the beta density and distribution function, with `rest` = 1 − v. The form
/// of Loader (2000), relative to the mean, avoids cancellation between large numbers.
fn front(a: f64, b: f64, v: f64, rest: f64) -> f64 {
    let shape = (a / (a + b) * b / (2.0 * PI)).sqrt();
    shape * (deviance(a, b, v, rest) + stirling_error(a + b) - stirling_error(a) - stirling_error(b)).exp()
}

/// Deviance of v from the mean m = a/(a + b): a·ln(v/m) + b·ln((1 − v)/(1 − m)), which is at most 0. `rest` is 1 − v.
fn deviance(a: f64, b: f64, v: f64, rest: f64) -> f64 {
    let (above, mean, other) = about_mean(a, b, v, rest);
    a * log_ratio_less(v, mean, above) + b * log_ratio_less(rest, other, -above)
}

/// Computes ln(v/m) − (v − m)/m, where m is the mean and `above` is v − m. For v far below m, ln(v/m) is computed from
/// the quotient v/m, since 1 + (v − m)/m would lose the digits of v.
fn log_ratio_less(v: f64, mean: f64, above: f64) -> f64 {
    if v < 0.1 * mean { (v / mean).ln() - above / mean } else { log1p_less(above / mean) }
}

/// Computes v − m, m and 1 − m for the mean m = a/(a + b) of Beta(a, b). `rest` is 1 − v.
fn about_mean(a: f64, b: f64, v: f64, rest: f64) -> (f64, f64, f64) {
    let (mean, other) = (a / (a + b), b / (a + b));
    (if mean > 0.5 { other - rest } else { v - mean }, mean, other)
}

/// Temme's (1982) uniform expansion of the beta distribution function, to its first term: Φ(η√ν) − φ(η√ν)/√ν·(g − 1)/η.
/// Φ and φ are the distribution function and density of N(0, 1), and `rest` is 1 − v. Here m = a/(a + b), ν = a + b,
/// νη²/2 is the negative [`deviance`], η has the sign of v − m, and g = η√(m(1 − m))/(v − m).
fn expansion(a: f64, b: f64, v: f64, rest: f64) -> f64 {
    let (above, mean, other) = about_mean(a, b, v, rest);
    let (total, spread) = (a + b, (mean * other).sqrt());
    let exponent = deviance(a, b, v, rest);
    let eta = (-2.0 * exponent / total).max(0.0).sqrt().copysign(above);
    let slope = if above.abs() < 1e-9 * mean.min(other) {
        (mean - other) / (3.0 * spread)
    } else {
        (eta * spread / above - 1.0) / eta
    };
    let correction = exponent.exp() / (2.0 * PI * total).sqrt() * slope;
    let normal = 0.5 * libm::erfc(-eta * (total / 2.0).sqrt());
    (normal - correction).clamp(0.0, 1.0)
}

/// Error of Stirling's formula: ln Γ(z) − (z − ½)·ln z + z − ½·ln 2π.
fn stirling_error(z: f64) -> f64 {
    if z < 15.0 {
        return libm::lgamma(z) - (z - 0.5) * z.ln() + z - 0.5 * (2.0 * PI).ln();
    }
    let square = z * z;
    (1.0 / 12.0 - (1.0 / 360.0 - (1.0 / 1260.0 - (1.0 / 1680.0 - 1.0 / (1188.0 * square)) / square) / square) / square)
        / z
}

/// Computes ln(1 + u) − u. For u near 0 it uses the series of 2·artanh(u/(2 + u)).
fn log1p_less(u: f64) -> f64 {
    let r = u / (2.0 + u);
    if r.abs() > 0.3 {
        return u.ln_1p() - u;
    }
    let (square, mut power, mut sum) = (r * r, 1.0, 0.0);
    for odd in (3..60).step_by(2) {
        sum += power / f64::from(odd);
        power *= square;
    }
    2.0 * r * square * sum - 2.0 * square / (1.0 - r)
}

/// Continued fraction of the incomplete beta function, by Lentz's method (Press et al. 2007, section 6.4).
fn fraction(a: f64, b: f64, x: f64) -> f64 {
    let away_from_zero = |value: f64| if value.abs() < 1e-300 { 1e-300 } else { value };
    let mut c = 1.0;
    let mut d = 1.0 / away_from_zero(1.0 - (a + b) * x / (a + 1.0));
    let mut value = d;
    for m in 1..TERMS {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / away_from_zero(1.0 + even * d);
        c = away_from_zero(1.0 + even / c);
        value *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / away_from_zero(1.0 + odd * d);
        c = away_from_zero(1.0 + odd / c);
        value *= d * c;
        if (d * c - 1.0).abs() < 1e-15 {
            break;
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_expansion_and_the_fraction_meet() {
        for (a, b) in [(3e6_f64, 3e6_f64), (2e6, 9e6), (9e6, 2e6)] {
            let (mean, total) = (a / (a + b), a + b);
            let width = (mean * (1.0 - mean) / total).sqrt();
            for steps in [-4.0, -1.0, -1e-7, 0.0, 0.3, 2.5] {
                let v = mean + steps * width;
                let (expanded, exact) = (expansion(a, b, v, 1.0 - v), distribution(a, b, v, 1.0 - v));
                assert!((expanded - exact).abs() < 5e-10, "{a} {b} {steps}: {expanded} {exact}");
            }
        }
    }

    #[test]
    fn ends_keep_their_digits() {
        // I_v(a, 1) = v^a, with a·(1 − v) = 1: close to 1/e, and (1 − v)^b at the other end.
        for a in [1e3_f64, 1e6, 1e9, 1e12, 1e14] {
            let rest = 1.0 / a;
            let expected = (a * (-rest).ln_1p()).exp();
            let got = distribution(a, 1.0, 1.0 - rest, rest);
            assert!((got - expected).abs() < 1e-10, "{a}: {got} {expected}");
            let other = distribution(1.0, a, rest, 1.0 - rest);
            assert!((other - (1.0 - expected)).abs() < 1e-10, "{a}: {other}");
            // ν·(1 − v) is close to a gamma variate of shape 7.
            let many = distribution(a, 7.0, 1.0 - 7.0 * rest, 7.0 * rest);
            assert!((0.3..0.6).contains(&many), "{a}: {many}");
        }
    }

    #[test]
    fn what_is_less_than_a_logarithm_has_its_series() {
        for u in [-0.9f64, -0.3, -1e-3, -1e-9, 0.0, 1e-9, 1e-3, 0.2, 0.8, 3.0] {
            let series: f64 = (2..400).map(|n| -(-u).powi(n) / f64::from(n)).sum();
            let expected = if u.abs() < 0.85 { series } else { u.ln_1p() - u };
            assert!((log1p_less(u) - expected).abs() <= 1e-13 * expected.abs().max(1e-30), "{u}");
        }
        for z in [0.5, 1.0, 7.3, 14.9, 15.1, 200.0] {
            let expected = libm::lgamma(z) - (z - 0.5) * f64::ln(z) + z - 0.5 * (2.0 * PI).ln();
            assert!((stirling_error(z) - expected).abs() < 1e-12, "{z}");
        }
    }
}
