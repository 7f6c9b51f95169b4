//! Slates of the softmax rule: the probability that an arm is among the first k of a Plackett–Luce order.
//!
//! With wₐ = exp(mean/τ), the order is that of independent exponential arrival times with rates wₐ. Arm a is shown with
//! probability ∫ wₐ e^(−wₐt) P(fewer than k others arrive before t) dt. For k > 1 the only closed form is a sum over
//! all slates. Panels [T, 3T] of Gauss's rule of eight points in ln t share all exponentials: those of the next panel
//! are the cubes of the current ones. One distribution of the number of arrivals serves all arms of a slate. The cost
//! is O(N·k + k³) per panel, with about nine panels, for an error of 1e-10.

use pulp::Arch;

/// One value for each point of a panel.
type Points = [f64; 8];

/// Gauss–Legendre points on (0, 1).
const NODES: Points = [
    0.019_855_071_751_231_884,
    0.101_666_761_293_186_63,
    0.237_233_795_041_835_5,
    0.408_282_678_752_175_1,
    0.591_717_321_247_825,
    0.762_766_204_958_164_5,
    0.898_333_238_706_813_4,
    0.980_144_928_248_768_1,
];
/// Gauss–Legendre weights of these points.
const WEIGHTS: Points = [
    0.050_614_268_145_188_13,
    0.111_190_517_226_687_24,
    0.156_853_322_938_943_64,
    0.181_341_891_689_181,
    0.181_341_891_689_181,
    0.156_853_322_938_943_64,
    0.111_190_517_226_687_24,
    0.050_614_268_145_188_13,
];
/// Largest neglected integrand.
const NEGLIGIBLE: f64 = 1e-12;
/// Largest number of panels: time spans 3^60 = 4e28.
const PANELS: usize = 60;

/// Largest slate: for more positions the distribution of arrivals is too steep for panels of eight points.
const LARGEST: usize = 8;

/// Probability that each of the first `k` arms is among the `k` of a slate. `None` for one position, for more than
/// [`LARGEST`], and for weights whose orders of magnitude exceed the range of the panels.
pub(crate) fn inclusion_of_first(means: &[f64], temperature: f64, k: usize) -> Option<Vec<f64>> {
    if k == means.len() {
        return Some(vec![1.0; k]);
    }
    if !(2..=LARGEST).contains(&k) {
        return None;
    }
    let largest = means.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = means.iter().map(|mean| ((mean - largest) / temperature).exp()).collect();
    let total: f64 = weights.iter().sum();
    // Before the first panel fewer than k arms arrive: P(k or more) ≤ (total·t)^k/k!.
    let log_factorial: f64 = (1..=k).map(|factor| (factor as f64).ln()).sum();
    let start = ((NEGLIGIBLE.ln() + log_factorial) / k as f64).exp().min(0.01) / total;
    let mut shown: Vec<f64> = weights[..k].iter().map(|weight| -(-weight * start).exp_m1()).collect();
    let mut times = NODES.map(|node| start * 3f64.powf(node));
    let mut remaining = vec![[1.0; 8]; weights.len()];
    let mut fewer = vec![[0.0; 8]; k];
    for _ in 0..PANELS {
        Arch::new().dispatch(
            #[inline(always)]
            || {
                advance(&mut remaining, &weights, &times);
                match k {
                    2 => count_arrivals::<2>(&remaining, &mut fewer),
                    3 => count_arrivals::<3>(&remaining, &mut fewer),
                    4 => count_arrivals::<4>(&remaining, &mut fewer),
                    5 => count_arrivals::<5>(&remaining, &mut fewer),
                    6 => count_arrivals::<6>(&remaining, &mut fewer),
                    7 => count_arrivals::<7>(&remaining, &mut fewer),
                    _ => count_arrivals::<LARGEST>(&remaining, &mut fewer),
                }
            },
        );
        let mut left = 0.0f64;
        for (((shown, weight), remaining), fewer) in shown.iter_mut().zip(&weights).zip(&remaining).zip(&fewer) {
            for point in 0..8 {
                let density = weight * times[point] * remaining[point] * fewer[point];
                *shown += 3f64.ln() * WEIGHTS[point] * density;
            }
            left = left.max(remaining[7] * fewer[7]);
        }
        if left < NEGLIGIBLE {
            return Some(shown.into_iter().map(|shown| shown.clamp(f64::MIN_POSITIVE, 1.0)).collect());
        }
        times = times.map(|time| 3.0 * time);
    }
    None
}

/// Updates the probability that each arm has not arrived, exp(−weight·time). It uses the series for small exponents,
/// and otherwise the cube of the value in the previous panel, which loses few digits.
#[inline(always)]
fn advance(remaining: &mut [Points], weights: &[f64], times: &Points) {
    const FACTORS: [f64; 7] = [1.0 / 7.0, 1.0 / 6.0, 1.0 / 5.0, 1.0 / 4.0, 1.0 / 3.0, 1.0 / 2.0, 1.0];
    for (remaining, weight) in remaining.iter_mut().zip(weights) {
        if weight * times[7] > 0.04 {
            for value in remaining.iter_mut() {
                *value = *value * *value * *value;
            }
            continue;
        }
        *remaining = [1.0; 8];
        for factor in FACTORS {
            for point in 0..8 {
                remaining[point] = 1.0 - remaining[point] * weight * times[point] * factor;
            }
        }
    }
}

/// Probability, at each point, that fewer than K arms other than each of the first K have arrived; `remaining` is the
/// probability that an arm has not.
#[inline(always)]
fn count_arrivals<const K: usize>(remaining: &[Points], fewer: &mut [Points]) {
    let (chosen, others) = remaining.split_at(K);
    let mut of_others = [[0.0; 8]; K];
    of_others[0] = [1.0; 8];
    for remaining in others {
        add_arm(&mut of_others, remaining);
    }
    for (arm, fewer) in fewer.iter_mut().enumerate() {
        let mut law = of_others;
        // The last of the other chosen arms takes the count from K − 1 to K, and no other.
        let last = if arm + 1 == K { K - 2 } else { K - 1 };
        for (other, remaining) in chosen.iter().enumerate() {
            if other != arm && other != last {
                add_arm(&mut law, remaining);
            }
        }
        for point in 0..8 {
            let sum: f64 = law.iter().map(|count| count[point]).sum();
            fewer[point] = sum - law[K - 1][point] * (1.0 - chosen[last][point]);
        }
    }
}

/// Adds an arm to the distribution of the number of arrivals, shape (counts below K, points).
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
