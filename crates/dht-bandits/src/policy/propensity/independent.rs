//! Propensities of arms whose values are drawn independently, by one-dimensional quadrature.
//!
//! A slate shows the arms with the highest drawn values. The probability that it shows arm a is ∫ f_a(v) Σ_r P(r others
//! are above v) g(r) dv. Here f_a is the density of the arm's value and g(r) is the probability that the arm of rank r
//! is shown. For a single choice, the sum is Π_b F_b(v), with the distribution functions F_b of the other arms' values.
//!
//! The number of others above v is a sum of independent indicators. Computing its distribution takes O(K·R) for K arms,
//! where R is the last rank that is shown. The integral is computed by adaptive Gauss–Kronrod quadrature (7, 15) over
//! panels whose ends follow the distributions (Piessens et al. 1983).

use super::law::Law;
use super::ranks::{point_inclusion, points, tied};

/// Largest accepted difference between the results of Gauss's and Kronrod's quadrature rules on an integration panel.
/// The error of Kronrod's rule, whose result is used, is far smaller.
const TOLERANCE: f64 = 2e-11;

/// Largest number of panels of an integral; about fifty are usual. A difference between the two quadrature rules that
/// remains after this number is due to rounding.
const PANELS: u32 = 3000;

/// Probability that a slate shows each arm, if the values by which arms are ranked are drawn independently. `weights`
/// holds the probability that the arm of each rank is shown.
pub(crate) fn inclusion(laws: &[Law], weights: &[f64]) -> Vec<f64> {
    match points(laws) {
        Some(values) => point_inclusion(&values, weights),
        None => (0..laws.len()).map(|arm| inclusion_of(laws, arm, weights)).collect(),
    }
}

/// Probability that a slate shows one arm, if the values by which arms are ranked are drawn independently. `weights`
/// holds the probability that the arm of each rank is shown.
pub(crate) fn inclusion_of(laws: &[Law], arm: usize, weights: &[f64]) -> f64 {
    let law = laws[arm];
    let others = || laws.iter().enumerate().filter(|(other, _)| *other != arm).map(|(_, law)| law);
    let mut ranks = Ranks::new(weights);
    if let Law::Point(value) = law {
        let mut ties = 0;
        for other in others() {
            match other {
                Law::Point(other) if *other == value => ties += 1,
                other => ranks.add(other.distribution(value)),
            }
        }
        return ranks.expected(weights, ties);
    }
    // Values are shifted so that the arm's distribution is centred at 0: a narrow distribution far from 0 then keeps
    // its digits. If any distribution is a beta distribution, nothing is shifted.
    let moves = !laws.iter().any(|law| matches!(law, Law::Beta { .. }));
    let centre = if moves { law.location() } else { 0.0 };
    let others: Vec<Law> = others().map(|other| other.less(centre)).collect();
    let law = law.less(centre);
    let (low, high) = domain(law, others.iter(), weights);
    // Other arms whose values may lie above the lower end of the domain. All remaining arms are below it with
    // certainty.
    let relevant: Vec<Law> = others.into_iter().filter(|other| other.range().1 > low).collect();
    let mut integrand = |v: f64, rest: f64| {
        let density = law.density_at(v, rest);
        if density == 0.0 {
            return 0.0;
        }
        ranks.clear();
        relevant.iter().for_each(|other| ranks.add(other.distribution_at(v, rest)));
        density * ranks.expected(weights, 0)
    };
    let breaks = breaks(law, &relevant, low, high);
    let mut left = PANELS;
    let sum: f64 = breaks.windows(2).map(|ends| integrate(law, ends[0], ends[1], &mut left, &mut integrand)).sum();
    // Every arm with a density can be the best, so its probability is positive.
    sum.clamp(f64::MIN_POSITIVE, 1.0)
}

/// Distribution of the number of other arms whose values are above a number v, up to the last rank that a slate shows.
struct Ranks {
    probabilities: Vec<f64>,
}

impl Ranks {
    fn new(weights: &[f64]) -> Self {
        let mut ranks = Self { probabilities: vec![0.0; weights.len()] };
        ranks.clear();
        ranks
    }

    /// Resets the distribution to no arms.
    fn clear(&mut self) {
        self.probabilities.fill(0.0);
        self.probabilities[0] = 1.0;
    }

    /// Adds an arm whose value is below v with the probability `below`.
    fn add(&mut self, below: f64) {
        for rank in (1..self.probabilities.len()).rev() {
            self.probabilities[rank] = self.probabilities[rank] * below + self.probabilities[rank - 1] * (1.0 - below);
        }
        self.probabilities[0] *= below;
    }

    fn expected(&self, weights: &[f64], ties: usize) -> f64 {
        let terms = self.probabilities.iter().enumerate();
        terms.map(|(rank, probability)| probability * tied(weights, rank, ties)).sum()
    }
}

/// Interval of values over which an arm's probability of being shown is integrated. The contribution of values outside
/// is negligible.
fn domain<'a>(law: Law, others: impl Iterator<Item = &'a Law>, weights: &[f64]) -> (f64, f64) {
    let (low, high, far) = law.range();
    // Let n be the number of weights. Below the n-th largest lower end of the others, n arms are above with certainty.
    let mut lows: Vec<f64> = others.map(|other| other.range().0).collect();
    let shown = weights.len();
    if lows.len() < shown {
        return (low, high);
    }
    lows.select_nth_unstable_by(shown - 1, |left, right| right.total_cmp(left));
    let from = lows[shown - 1];
    // If the arm is far below all others, only its tail counts.
    if from >= high { (low, far) } else { (low.max(from), high) }
}

/// Ends of the integration panels, in ascending order. They lie around the arm's distribution, and around narrower
/// distributions of other arms.
fn breaks(law: Law, relevant: &[Law], low: f64, high: f64) -> Vec<f64> {
    let mut breaks = vec![low, high];
    let mut around = |law: &Law, steps: &[f64]| {
        let inside = steps.iter().map(|step| law.location() + step * law.scale()).filter(|v| *v > low && *v < high);
        breaks.extend(inside);
    };
    // Close to 0 or 1, a beta variate is a gamma variate, with a tail that one panel over the whole range would miss.
    const TAILS: [f64; 8] = [-80.0, -50.0, -25.0, -12.0, 12.0, 25.0, 50.0, 80.0];
    around(&law, &[-5.0, -2.5, 0.0, 2.5, 5.0, 12.0, 25.0]);
    if matches!(law, Law::Beta { .. }) {
        around(&law, &TAILS);
    }
    // A heavy tail is integrated completely, and the steps of all other distributions lie in it.
    let heavy = matches!(law, Law::Student { .. });
    for other in relevant.iter().filter(|other| heavy || other.scale() < 0.5 * law.scale()) {
        around(other, &[-8.8, -4.0, -2.0, 0.0, 2.0, 4.0, 8.8]);
        if matches!(other, Law::Beta { .. }) {
            around(other, &TAILS);
        }
    }
    breaks.sort_unstable_by(f64::total_cmp);
    breaks.dedup();
    breaks
}

/// Integrates a function of v and 1 − v over one panel. Beta densities, which may be infinite at 0 and 1, are
/// integrated over t with v = sin²(πt/2). Student's t is integrated over u in (−1, 1) with v = location +
/// scale·√ν·u/√(1 − u²) for ν degrees of freedom, which turns its density into (1 − u²)^(ν/2 − 1).
fn integrate(law: Law, low: f64, high: f64, left: &mut u32, integrand: &mut impl FnMut(f64, f64) -> f64) -> f64 {
    if let Law::Student { location, scale, freedom, .. } = law {
        let width = scale * freedom.sqrt();
        let turned = |v: f64| {
            let t = (v - location) / width;
            if t.is_infinite() { t.signum() } else { t / t.hypot(1.0) }
        };
        let mut turned_integrand = |u: f64| {
            let rest = (1.0 - u) * (1.0 + u);
            // At either end the density is 0 and the factor infinite.
            if rest <= 0.0 {
                return 0.0;
            }
            let v = location + width * u / rest.sqrt();
            integrand(v, 1.0 - v) * (width / (rest * rest.sqrt()))
        };
        return adaptive(turned(low), turned(high), left, &mut turned_integrand);
    }
    if !matches!(law, Law::Beta { .. }) {
        return adaptive(low, high, left, &mut |v| integrand(v, 1.0 - v));
    }
    use std::f64::consts::{FRAC_PI_2, PI};
    let turned = |v: f64| v.sqrt().asin() / FRAC_PI_2;
    let mut turned_integrand = |t: f64| {
        let (sine, cosine) = (FRAC_PI_2 * t).sin_cos();
        integrand(sine * sine, cosine * cosine) * PI * sine * cosine
    };
    adaptive(turned(low), turned(high), left, &mut turned_integrand)
}

fn adaptive(low: f64, high: f64, left: &mut u32, integrand: &mut impl FnMut(f64) -> f64) -> f64 {
    *left = left.saturating_sub(1);
    let (middle, half) = (0.5 * (low + high), 0.5 * (high - low));
    let centre = integrand(middle);
    let (mut kronrod, mut gauss) = (KRONROD[7] * centre, GAUSS[3] * centre);
    for (index, (node, weight)) in NODES.iter().zip(KRONROD).enumerate() {
        let sum = integrand(middle - half * node) + integrand(middle + half * node);
        kronrod += weight * sum;
        if index % 2 == 1 {
            gauss += GAUSS[index / 2] * sum;
        }
    }
    let too_narrow = middle <= low || middle >= high;
    if *left == 0 || too_narrow || half * (kronrod - gauss).abs() <= TOLERANCE {
        return half * kronrod;
    }
    adaptive(low, middle, left, integrand) + adaptive(middle, high, left, integrand)
}

/// Positive nodes of Kronrod's 15-point quadrature rule. Every second one is also a node of Gauss's 7-point rule.
const NODES: [f64; 7] = [
    0.991_455_371_120_812_6,
    0.949_107_912_342_758_5,
    0.864_864_423_359_769_1,
    0.741_531_185_599_394_4,
    0.586_087_235_467_691_1,
    0.405_845_151_377_397_2,
    0.207_784_955_007_898_47,
];
/// Weights of Kronrod's 15-point quadrature rule; the last weight belongs to the centre.
const KRONROD: [f64; 8] = [
    0.022_935_322_010_529_224,
    0.063_092_092_629_978_55,
    0.104_790_010_322_250_18,
    0.140_653_259_715_525_92,
    0.169_004_726_639_267_9,
    0.190_350_578_064_785_4,
    0.204_432_940_075_298_9,
    0.209_482_141_084_727_83,
];
/// Weights of Gauss's 7-point quadrature rule; the last weight belongs to the centre.
const GAUSS: [f64; 4] =
    [0.129_484_966_168_869_7, 0.279_705_391_489_276_67, 0.381_830_050_505_118_9, 0.417_959_183_673_469_4];

#[cfg(test)]
mod tests;
