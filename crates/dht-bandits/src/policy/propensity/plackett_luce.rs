//! Slates of the softmax rule: the probability that an arm is among the first k of a Plackett–Luce order.
//!
//! With wₐ = exp(mean/τ) and W their sum, the order is that of independent exponential arrival times with rates wₐ. Arm
//! a is shown with probability ∫ wₐ e^(−wₐt) P(fewer than k others arrive before t) dt. For k > 1 the only closed form
//! is a sum over all slates. If the others arrived as a Poisson process of rate λ = W − wₐ, the integral would be
//! 1 − (λ/W)^k. The difference of both integrands vanishes at either end like an exponential of ln t, so that the
//! trapezoidal rule in ln t converges exponentially: about thirty points give an error of 1e-10.
//!
//! Eight points are computed together, from T to 8T. All exponentials of the next eight are eighth powers. One
//! distribution of the number of arrivals serves all arms of a slate. Arms that are still unlikely to have arrived enter
//! it by the power sums of their rates, once for all points. The cost is O(N + k³) for each eight points, plus O(k) for
//! each arm that is not unlikely.

use pulp::Arch;

/// One value for each of eight points.
type Points = [f64; 8];

/// Distance of two points in ln t: ln 8/8.
const STEP: f64 = 0.259_930_192_709_979_47;
/// Times of eight points, 8^(j/8).
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
/// Largest neglected integrand.
const NEGLIGIBLE: f64 = 1e-12;
/// Largest number of times eight points: time spans 8^32 = 8e28.
const GROUPS: usize = 32;
/// Largest rate times time of an arm that enters by power sums, and for which the exponential is a short series.
const UNLIKELY: f64 = 1.0 / 16.0;
/// Largest power of rates that is summed.
const ORDER: usize = 9;
/// Largest slate: for more positions the distribution of arrivals is too steep for this distance of points.
const LARGEST: usize = 8;

/// Time W·t of the first point, by k: where (W·t)^(k + 1)/k! is negligible, and at most ½ for the last of eight points.
const FIRST: [f64; LARGEST + 1] = [
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

/// Probability that each of the first `k` arms is among the `k` of a slate. `None` for one position, for more than
/// [`LARGEST`], and for weights whose orders of magnitude exceed the range of the points.
pub(crate) fn inclusion_of_first(means: &[f64], temperature: f64, k: usize) -> Option<Vec<f64>> {
    if k == means.len() {
        return Some(vec![1.0; k]);
    }
    match k {
        2 => inclusion::<2>(means, temperature),
        3 => inclusion::<3>(means, temperature),
        4 => inclusion::<4>(means, temperature),
        5 => inclusion::<5>(means, temperature),
        6 => inclusion::<6>(means, temperature),
        7 => inclusion::<7>(means, temperature),
        LARGEST => inclusion::<LARGEST>(means, temperature),
        _ => None,
    }
}

/// Arm with the probability, at each point, that it has not arrived.
#[derive(Clone, Copy)]
struct Arm {
    rate: f64,
    remaining: Points,
}

fn inclusion<const K: usize>(means: &[f64], temperature: f64) -> Option<Vec<f64>> {
    let largest = means.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut unlikely: Vec<f64> = means.iter().map(|mean| ((mean - largest) / temperature).exp()).collect();
    let total: f64 = unlikely.iter().sum();
    let mut rates = [0.0; K];
    rates.copy_from_slice(&unlikely[..K]);
    unlikely.drain(..K);
    let mut others = Vec::with_capacity(unlikely.len());
    let shown = Arch::new().dispatch(
        #[inline(always)]
        || integrate(&rates, total, &mut unlikely, &mut others),
    )?;
    Some(shown.into_iter().collect())
}

/// Integrates for the chosen arms; the arms that are no longer unlikely move to `others`.
#[inline(always)]
fn integrate<const K: usize>(
    rates: &[f64; K],
    total: f64,
    unlikely: &mut Vec<f64>,
    others: &mut Vec<Arm>,
) -> Option<[f64; K]> {
    let mut times = GRID.map(|point| point * FIRST[K] / total);
    // An eighth of the first times: the powers come first.
    let arm = |rate: f64, times: &Points| Arm { rate, remaining: series(rate / 8.0, times) };
    let mut chosen = rates.map(|rate| arm(rate, &times));
    let mut all = arm(total, &times);
    let mut sums = [0.0; K];
    for _ in 0..GROUPS {
        let end = times[7];
        unlikely.retain(|&rate| {
            let stays = rate * end <= UNLIKELY;
            if !stays {
                others.push(arm(rate, &times));
            }
            stays
        });
        let mut law = law_of_unlikely(unlikely, &times);
        for other in &mut *others {
            other.remaining = eighth_power(other.remaining);
            add_arm(&mut law, &other.remaining);
        }
        for chosen in &mut chosen {
            let short = chosen.rate * end <= UNLIKELY;
            chosen.remaining = if short { series(chosen.rate, &times) } else { eighth_power(chosen.remaining) };
        }
        all.remaining = eighth_power(all.remaining);
        let left = add_points(&chosen, &all, law, &times, &mut sums);
        if left < NEGLIGIBLE {
            let poisson = |rate: f64| -(K as f64 * (-rate / total).ln_1p()).exp_m1();
            let mut shown = [0.0; K];
            for ((shown, sum), rate) in shown.iter_mut().zip(sums).zip(rates) {
                *shown = (poisson(*rate) + STEP * sum).clamp(f64::MIN_POSITIVE, 1.0);
            }
            return Some(shown);
        }
        times = times.map(|time| 8.0 * time);
    }
    None
}

/// Adds the integrands of the chosen arms at eight points; returns the largest part that is left after the last one.
#[inline(always)]
fn add_points<const K: usize>(
    chosen: &[Arm; K],
    all: &Arm,
    mut law: [Points; K],
    times: &Points,
    sums: &mut [f64; K],
) -> f64 {
    // Probability that at most j of the chosen arms after this one have arrived, for j below K.
    let mut later = [[[1.0; 8]; K]; K];
    for arm in (1..K).rev() {
        later[arm - 1] = later[arm];
        add_arm(&mut later[arm - 1], &chosen[arm].remaining);
    }
    let mut left = 0.0f64;
    for (arm, sum) in sums.iter_mut().enumerate() {
        let Arm { rate, remaining } = chosen[arm];
        let mut fewer = [0.0; 8];
        for count in 0..K {
            for point in 0..8 {
                fewer[point] += law[count][point] * later[arm][K - 1 - count][point];
            }
        }
        let mut poisson = [1.0; 8];
        for count in (1..K).rev() {
            for point in 0..8 {
                poisson[point] = 1.0 + poisson[point] * ((all.rate - rate) / count as f64 * times[point]);
            }
        }
        let mut difference = [0.0; 8];
        for point in 0..8 {
            let (own, same) = (remaining[point] * fewer[point], all.remaining[point] * poisson[point]);
            difference[point] = rate * times[point] * (own - same);
        }
        *sum += difference.iter().sum::<f64>();
        left = left.max(remaining[7] * fewer[7]).max(all.remaining[7] * poisson[7]);
        add_arm(&mut law, &remaining);
    }
    left
}

/// Coefficients of uⁿ in (eᵘ − 1)^m, by m and n.
const COEFFICIENTS: [[f64; ORDER + 1]; LARGEST] = {
    let mut table = [[0.0; ORDER + 1]; LARGEST];
    table[0][0] = 1.0;
    let mut m = 1;
    while m < LARGEST {
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

/// Distribution of the number of unlikely arms that have arrived, from the power sums p_m of their odds e^(wt) − 1, by
/// Newton's identities: P(0) = Π e^(−wt) and j·P(j) = Σ_m (−1)^(m+1) p_m P(j − m).
#[inline(always)]
fn law_of_unlikely<const K: usize>(rates: &[f64], times: &Points) -> [Points; K] {
    let mut law = [[0.0; 8]; K];
    if rates.is_empty() {
        law[0] = [1.0; 8];
        return law;
    }
    let powers = power_sums(rates);
    law[0] = times.map(|time| (-powers[1] * time).exp());
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

/// Sums of the powers of rates.
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
    lanes.map(|lanes| lanes.iter().sum())
}

/// exp(−rate·time) at each point, for rate·time up to [`UNLIKELY`].
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
fn eighth_power(values: Points) -> Points {
    values.map(|value| {
        let square = value * value;
        let fourth = square * square;
        fourth * fourth
    })
}

/// Adds an arm to the distribution of the number of arrivals, or to its sums, shape (counts below K, points).
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

    /// Σ over all ordered slates of `k` that hold the arm, by their definition.
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
            let shown = inclusion_of_first(&means, 0.7, k).unwrap();
            for (got, expected) in shown.iter().zip(&expected) {
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
            let shown = inclusion_of_first(&means, temperature, k).unwrap();
            for arm in [0, 1, k - 1] {
                let expected = inclusion_of(&laws, arm, &vec![1.0; k]);
                assert!((shown[arm] - expected).abs() < 1e-9, "{count} {k} {arm}: {} {expected}", shown[arm]);
            }
        }
        // Long slates, and rates that no panel spans, are left to quadrature.
        assert!(inclusion_of_first(&means(40, 1.0), 0.5, 39).is_none());
        assert!(inclusion_of_first(&[0.0, -300.0, -300.0], 1.0, 2).is_none());
        assert_eq!(inclusion_of_first(&[0.0, -300.0], 1.0, 2), Some(vec![1.0, 1.0]));
    }
}
