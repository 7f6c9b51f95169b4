//! Propensities of softmax slates: the probability that an arm is among the first k of a random Plackett–Luce order.
//!
//! Arm a has the rate wₐ = exp(mean/τ), and W is the sum of all rates. A Plackett–Luce order is the order of
//! independent exponential arrival times with these rates. Arm a is among the first k with probability ∫ wₐ e^(−wₐt)
//! P(fewer than k others arrive before t) dt. For k > 1 the only closed form is a sum over all slates.
//!
//! If the others arrived as a Poisson process of rate W, the integral would be 1 − (W/(W + wₐ))^k. Only the difference
//! from this integral is computed numerically. The difference of the two integrands vanishes at either end like an
//! exponential of ln t. The trapezoidal rule in ln t therefore converges exponentially: about thirty points give an
//! error of 1e-10.
//!
//! Eight points in time are computed together, from T to 8T. All exponentials at the next eight points are eighth
//! powers of the current ones. One distribution of the number of arrivals serves all arms of a slate. Arms that are
//! unlikely to have arrived yet enter this distribution through the power sums of their rates, once for all points. The
//! cost of eight points is O(N + k³) for N arms, plus O(k) for each arm that is not unlikely.

use pulp::{Arch, Simd, WithSimd};

/// Function values at eight times, which are the points of a numerical integration.
type Points = [f64; 8];

/// Distance between neighbouring integration points on the axis ln t: (ln 8)/8.
const STEP: f64 = 0.259_930_192_709_979_47;
/// Times of eight integration points, relative to the first: 8^(j/8).
const GRID: Points = [
    1.0,
    1.296_839_554_651_009_6,
    1.681_792_830_507_429_2,
    2.181_015_465_330_515_4,
    2.828_427_124_746_190_3,
    3.668_016_172_818_685,
    4.756_828_460_010_884,
    6.168_843_301_631_763,
];
/// Threshold of the integrand at which the integration over time stops, because the rest is negligible.
const NEGLIGIBLE: f64 = 1e-12;
/// Largest number of groups of eight integration points. The last time is 8^32 = 8e28 times the first.
const GROUPS: usize = 32;
/// Largest product of rate and time at which the arrival of an arm counts as unlikely. Such arms are summarised by
/// power sums of their rates, and their exponentials are computed by short series.
const UNLIKELY: f64 = 1.0 / 16.0;
/// Largest number of arms outside the slate for which all arms are computed one by one, without power sums of their
/// rates.
const FEW: usize = 8;
/// Highest power of the rates in the power sums.
const ORDER: usize = 9;
/// Largest slate that this method supports. With more positions, the distribution of arrivals is too steep for the
/// spacing of the integration points.
pub(crate) const LARGEST_SLATE: usize = 8;

/// Relative time W·t of the first integration point, by the number k of positions, where W is the sum of all arms'
/// rates. At this time (W·t)^(k + 1)/k! is negligible. At the last of the first eight points, W·t is at most ½.
const FIRST: [f64; LARGEST_SLATE + 1] = [
    0.0,
    0.0,
    1.259_921_049_894_873_9e-4,
    1.565_084_580_073_287_4e-3,
    7.516_960_157_530_124e-3,
    2.220_906_154_852_332_7e-2,
    4.942_021_635_440_844e-2,
    8.105_247_216_568_81e-2,
    8.105_247_216_568_81e-2,
];

/// Probability that each of the first `k` arms is in a softmax slate of `k` arms. Returns `None` if this method does
/// not apply: for one position, for all arms, for more than [`LARGEST_SLATE`] positions, and for weights whose orders
/// of magnitude exceed the range of the integration points.
pub(crate) fn inclusion_of_first(
    means: impl ExactSizeIterator<Item = f64> + Clone,
    temperature: f64,
    k: usize,
) -> Option<[f64; LARGEST_SLATE]> {
    if k == means.len() || !(2..=LARGEST_SLATE).contains(&k) {
        return None;
    }
    let largest = means.clone().fold(f64::NEG_INFINITY, f64::max);
    inclusion_of_rates(means.map(|mean| ((mean - largest) / temperature).exp()).collect(), k)
}

/// Same as [`inclusion_of_first`], for the rates of all arms. It is not generic, so that the integrals are compiled once
/// and not for the iterator of each caller.
fn inclusion_of_rates(rates: Vec<f64>, k: usize) -> Option<[f64; LARGEST_SLATE]> {
    match k {
        2 => inclusion::<2>(rates),
        3 => inclusion::<3>(rates),
        4 => inclusion::<4>(rates),
        5 => inclusion::<5>(rates),
        6 => inclusion::<6>(rates),
        7 => inclusion::<7>(rates),
        LARGEST_SLATE => inclusion::<LARGEST_SLATE>(rates),
        _ => None,
    }
}

/// Rate of an arm, and at each of eight times the probability that the arm has not arrived.
#[derive(Clone, Copy)]
struct Arm {
    rate: f64,
    remaining: Points,
}

impl Arm {
    /// Creates the arm at one eighth of `times`, because [`advance`](Self::advance) is called before the first use.
    #[inline(always)]
    fn new(rate: f64, times: &Points) -> Self {
        let unlikely = rate * times[7] <= UNLIKELY;
        Self { rate, remaining: if unlikely { [1.0; 8] } else { series(rate / 8.0, times) } }
    }

    /// Advances the arm from one eighth of `times` to `times`. For an arm unlikely to have arrived, the exponentials
    /// are computed anew, since powers of a number near 1 would lose digits.
    #[inline(always)]
    fn advance(&mut self, times: &Points) {
        let unlikely = self.rate * times[7] <= UNLIKELY;
        self.remaining = if unlikely { series(self.rate, times) } else { eighth_power(self.remaining) };
    }
}

/// Probabilities of the arms with the first `K` rates.
fn inclusion<const K: usize>(mut rates: Vec<f64>) -> Option<[f64; LARGEST_SLATE]> {
    let first: [f64; K] = rates.get(..K)?.try_into().ok()?;
    rates.drain(..K);
    let (mut unlikely, mut others) = (Vec::new(), Vec::with_capacity(rates.len()));
    if rates.len() > FEW {
        unlikely = rates;
    } else {
        others.extend(rates.into_iter().map(|rate| Arm { rate, remaining: [1.0; 8] }));
    }
    let total = first.iter().chain(&unlikely).copied().chain(others.iter().map(|arm| arm.rate)).sum();
    let integral = Integral { rates: first, total, unlikely: &mut unlikely, others: &mut others };
    Arch::new().dispatch(integral)
}

/// Arguments of [`integrate`]. During the integration, arms whose arrival is no longer unlikely move from `unlikely` to
/// `others`.
///
/// This is a type and not a closure, because calls of closures are not compiled for the machine's vector instructions.
struct Integral<'a, const K: usize> {
    rates: [f64; K],
    total: f64,
    unlikely: &'a mut Vec<f64>,
    others: &'a mut Vec<Arm>,
}

impl<const K: usize> WithSimd for Integral<'_, K> {
    type Output = Option<[f64; LARGEST_SLATE]>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Self::Output {
        integrate(&self.rates, self.total, self.unlikely, self.others)
    }
}

#[inline(always)]
fn integrate<const K: usize>(
    rates: &[f64; K],
    total: f64,
    unlikely: &mut Vec<f64>,
    others: &mut Vec<Arm>,
) -> Option<[f64; LARGEST_SLATE]> {
    let mut times = GRID;
    for time in &mut times {
        *time *= FIRST[K] / total;
    }
    let mut all = Arm::new(total, &times);
    let mut chosen = [all; K];
    for (chosen, &rate) in chosen.iter_mut().zip(rates) {
        *chosen = Arm::new(rate, &times);
    }
    for other in &mut *others {
        *other = Arm::new(other.rate, &times);
    }
    let mut sums = [[0.0; 8]; K];
    for _ in 0..GROUPS {
        let mut stays = 0;
        for position in 0..unlikely.len() {
            let rate = unlikely[position];
            if rate * times[7] <= UNLIKELY {
                unlikely[stays] = rate;
                stays += 1;
            } else {
                others.push(Arm::new(rate, &times));
            }
        }
        unlikely.truncate(stays);
        let mut law = law_of_unlikely(unlikely, &times);
        for other in &mut *others {
            other.advance(&times);
            add_arm(&mut law, &other.remaining);
        }
        for chosen in &mut chosen {
            chosen.advance(&times);
        }
        all.advance(&times);
        let left = add_points(&chosen, &all, law, &times, &mut sums);
        if left < NEGLIGIBLE {
            let mut shown = [0.0; LARGEST_SLATE];
            for ((shown, sum), rate) in shown.iter_mut().zip(sums).zip(rates) {
                // 1 − r^K = (1 − r)(1 + r + … + r^(K − 1)) keeps the digits of small rates.
                let ratio = total / (total + rate);
                let mut powers = 0.0;
                for _ in 0..K {
                    powers = 1.0 + powers * ratio;
                }
                let poisson = rate / (total + rate) * powers;
                let difference = rate * STEP * sum.iter().sum::<f64>();
                *shown = (poisson + difference).clamp(f64::MIN_POSITIVE, 1.0);
            }
            return Some(shown);
        }
        for time in &mut times {
            *time *= 8.0;
        }
    }
    None
}

/// Adds the integrands of the slate's arms at eight points to `sums`. The constant factor of each integrand, the arm's
/// rate, is left out. Returns the largest integrand at the last point, which bounds the rest of the integral.
#[expect(clippy::needless_range_loop, reason = "loops over eight points are compiled to vectors")]
#[inline(always)]
fn add_points<const K: usize>(
    chosen: &[Arm; K],
    all: &Arm,
    mut law: [Points; K],
    times: &Points,
    sums: &mut [Points; K],
) -> f64 {
    // Probability that at most j of the slate's arms after this one have arrived. It is 1 if there are at most j.
    let mut later = [[[1.0; 8]; K]; K];
    for arm in (1..K).rev() {
        for most in 0..K - arm {
            for point in 0..8 {
                let fewer = if most == 0 { 0.0 } else { later[arm][most - 1][point] };
                let same = later[arm][most][point] - fewer;
                later[arm - 1][most][point] = fewer + same * chosen[arm].remaining[point];
            }
        }
    }
    // Probability of fewer than K arrivals of the Poisson process.
    let mut poisson = [1.0; 8];
    for count in (1..K).rev() {
        let factor = all.rate / count as f64;
        for point in 0..8 {
            poisson[point] = 1.0 + poisson[point] * (factor * times[point]);
        }
    }
    for point in 0..8 {
        poisson[point] *= all.remaining[point];
    }
    let mut left = 0.0f64;
    for (arm, sum) in sums.iter_mut().enumerate() {
        let remaining = &chosen[arm].remaining;
        let mut fewer = [0.0; 8];
        for count in 0..=arm {
            for point in 0..8 {
                fewer[point] += law[count][point];
            }
        }
        for count in arm + 1..K {
            for point in 0..8 {
                fewer[point] += law[count][point] * later[arm][K - 1 - count][point];
            }
        }
        for point in 0..8 {
            sum[point] += times[point] * remaining[point] * (fewer[point] - poisson[point]);
        }
        left = left.max(remaining[7] * fewer[7].max(poisson[7]));
        add_arm(&mut law, remaining);
    }
    left
}

/// Taylor coefficients: entry (m, n) is the coefficient of uⁿ in (eᵘ − 1)^m.
const COEFFICIENTS: [[f64; ORDER + 1]; LARGEST_SLATE] = {
    let mut table = [[0.0; ORDER + 1]; LARGEST_SLATE];
    table[0][0] = 1.0;
    let mut m = 1;
    while m < LARGEST_SLATE {
        let mut n = 1;
        while n <= ORDER {
            let (mut i, mut factorial) = (1, 1.0);
            while i <= n {
                factorial *= i as f64;
                table[m][n] += table[m - 1][n - i] / factorial;
                i += 1;
            }
            n += 1;
        }
        m += 1;
    }
    table
};

/// Distribution of the number of arrivals among arms unlikely to have arrived. With the power sums p_m of their odds
/// e^(wt) − 1, Newton's identities give P(0) = Π e^(−wt) and j·P(j) = Σ_m (−1)^(m+1) p_m P(j − m).
#[inline(always)]
fn law_of_unlikely<const K: usize>(rates: &[f64], times: &Points) -> [Points; K] {
    let mut law = [[0.0; 8]; K];
    if rates.is_empty() {
        law[0] = [1.0; 8];
        return law;
    }
    let powers = power_sums(rates);
    for point in 0..8 {
        law[0][point] = (-powers[1] * times[point]).exp();
    }
    let mut odds = [[0.0; 8]; K];
    for (m, odds) in odds.iter_mut().enumerate().skip(1) {
        for n in (m..=ORDER).rev() {
            for point in 0..8 {
                odds[point] = (odds[point] + COEFFICIENTS[m][n] * powers[n]) * times[point];
            }
        }
        for _ in 1..m {
            for point in 0..8 {
                odds[point] *= times[point];
            }
        }
    }
    for count in 1..K {
        for m in 1..=count {
            let sign = if m % 2 == 1 { 1.0 } else { -1.0 } / count as f64;
            for point in 0..8 {
                law[count][point] += sign * odds[m][point] * law[count - m][point];
            }
        }
    }
    law
}

/// Power sums Σ wⁿ of the rates w, up to n = [`ORDER`].
#[inline(always)]
fn power_sums(rates: &[f64]) -> [f64; ORDER + 1] {
    let mut lanes = [[0.0; 8]; ORDER + 1];
    for chunk in rates.chunks(8) {
        let mut padded = [0.0; 8];
        padded[..chunk.len()].copy_from_slice(chunk);
        let mut power = padded;
        for lanes in &mut lanes[1..] {
            for lane in 0..8 {
                lanes[lane] += power[lane];
                power[lane] *= padded[lane];
            }
        }
    }
    let mut sums = [0.0; ORDER + 1];
    for (sum, lanes) in sums.iter_mut().zip(&lanes) {
        for lane in lanes {
            *sum += lane;
        }
    }
    sums
}

/// Computes exp(−rate·time) at each point, for rate·time up to [`UNLIKELY`].
#[inline(always)]
fn series(rate: f64, times: &Points) -> Points {
    let mut value = [1.0; 8];
    for factor in [1.0 / 8.0, 1.0 / 7.0, 1.0 / 6.0, 1.0 / 5.0, 1.0 / 4.0, 1.0 / 3.0, 1.0 / 2.0, 1.0] {
        for point in 0..8 {
            value[point] = 1.0 - value[point] * (rate * factor * times[point]);
        }
    }
    value
}

#[inline(always)]
fn eighth_power(mut values: Points) -> Points {
    for value in &mut values {
        let square = *value * *value;
        let fourth = square * square;
        *value = fourth * fourth;
    }
    values
}

/// Adds an arm to the distribution of the number of arrivals, shape (counts below K, points). The same recursion
/// applies to cumulative sums of the distribution.
#[inline(always)]
fn add_arm<const K: usize>(law: &mut [Points; K], remaining: &Points) {
    for count in (1..K).rev() {
        for point in 0..8 {
            let (before, at) = (law[count - 1][point], law[count][point]);
            law[count][point] = before + (at - before) * remaining[point];
        }
    }
    for point in 0..8 {
        law[0][point] *= remaining[point];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::propensity::{Law, inclusion_of};

    /// Reference for tests: adds up, for each arm, the probabilities of all ordered slates of `k` arms that contain it.
    fn enumerate(weights: &[f64], left: &mut Vec<usize>, k: usize, probability: f64, shown: &mut [f64]) {
        if k == 0 {
            return;
        }
        let total: f64 = left.iter().map(|&arm| weights[arm]).sum();
        for index in 0..left.len() {
            let arm = left.remove(index);
            let probability = probability * weights[arm] / total;
            shown[arm] += probability;
            enumerate(weights, left, k - 1, probability, shown);
            left.insert(index, arm);
        }
    }

    fn means(count: usize, spread: f64) -> Vec<f64> {
        (0..count).map(|arm| spread * ((arm * arm * 7 + 3 * arm) % 23) as f64 / 23.0).collect()
    }

    #[test]
    fn inclusion_is_what_enumeration_gives() {
        for (count, k, spread) in [(4, 2, 1.0), (7, 3, 0.1), (7, 5, 8.0), (8, 7, 3.0), (6, 2, 2.0), (9, 4, 30.0)] {
            let means = means(count, spread);
            let weights: Vec<f64> = means.iter().map(|mean| (mean / 0.7).exp()).collect();
            let mut expected = vec![0.0; count];
            enumerate(&weights, &mut (0..count).collect(), k, 1.0, &mut expected);
            let shown = inclusion_of_first(means.iter().copied(), 0.7, k).unwrap();
            for (got, expected) in shown.iter().zip(&expected).take(k) {
                assert!((got - expected).abs() < 1e-10, "{count} {k} {spread}: {got} {expected}");
            }
        }
    }

    #[test]
    fn inclusion_is_what_quadrature_gives() {
        for (count, k, temperature) in
            [(30, 5, 0.1), (100, 5, 0.3), (300, 8, 0.05), (9, 8, 0.5), (40, 8, 50.0), (100, 2, 0.02)]
        {
            let means = means(count, 1.0);
            let laws: Vec<Law> = means.iter().map(|mean| Law::Gumbel { location: *mean, scale: temperature }).collect();
            let shown = inclusion_of_first(means.iter().copied(), temperature, k).unwrap();
            for arm in [0, 1, k - 1] {
                let expected = inclusion_of(&laws, arm, &vec![1.0; k]);
                assert!((shown[arm] - expected).abs() < 1e-9, "{count} {k} {arm}: {} {expected}", shown[arm]);
            }
        }
        // Long slates, and rates that the points do not span, are left to quadrature.
        assert!(inclusion_of_first(means(40, 1.0).into_iter(), 0.5, 39).is_none());
        assert!(inclusion_of_first([0.0, -300.0, -300.0].into_iter(), 1.0, 2).is_none());
    }
}
