use proptest::prelude::*;

use super::super::ranks::rank_weights;
use super::*;
use crate::policy::propensity::law::normal_distribution;

fn normals(arms: &[(f64, f64)]) -> Vec<Law> {
    arms.iter().map(|&(mean, deviation)| Law::Normal { mean, deviation }).collect()
}

#[test]
fn narrow_laws_far_from_zero_keep_their_digits() {
    for (mean, width) in [(1.0, 1e-9), (1.0, 1e-13), (-1e6, 1e-6), (1e100, 1e88), (1e-3, 1e-14), (0.0, 1e-300)] {
        // The gap is the one between the rounded means.
        let other = mean + 2.0 * width;
        let gap = (other - mean) / width;
        let laws = [Law::normal(mean, width), Law::normal(other, width)];
        let got = inclusion(&laws, &[1.0]);
        let expected = normal_distribution(-gap / std::f64::consts::SQRT_2);
        assert!((got[0] - expected).abs() < 1e-10, "{mean} {width}: {got:?} {expected}");
        assert!((got[0] + got[1] - 1.0).abs() < 1e-10, "{mean} {width}: {got:?}");
    }
    // If no draw differs from the mean, the arm with the higher mean is chosen, and equal means share the choice.
    let laws = [Law::normal(0.5, 1e-300), Law::normal(0.0, 1e-300), Law::normal(0.5, 1e-200)];
    assert_eq!(inclusion(&laws, &[1.0]), [0.5, f64::MIN_POSITIVE, 0.5]);
}

#[test]
fn two_normals_have_their_closed_form_at_every_ratio_of_widths() {
    for gap in [0.0, 0.3, -1.0, 4.0] {
        for width in [1e-9, 1e-3, 0.1, 1.0, 30.0, 1e6] {
            let laws = normals(&[(gap, 1.0), (0.0, width)]);
            let expected = normal_distribution(gap / (1.0 + width * width).sqrt());
            let got = inclusion(&laws, &[1.0]);
            assert!((got[0] - expected).abs() < 1e-10, "{gap} {width}: {got:?} {expected}");
            assert!((got[0] + got[1] - 1.0).abs() < 1e-10, "{gap} {width}: {got:?}");
        }
    }
}

#[test]
fn three_normals_have_the_value_of_the_orthant() {
    // Equal means, deviations 1, 1, 2: P(first is best) = ¼ + arcsin ρ/2π, ρ the correlation of the differences.
    let got = inclusion(&normals(&[(0.0, 1.0), (0.0, 1.0), (0.0, 2.0)]), &[1.0]);
    let orthant = |correlation: f64| 0.25 + correlation.asin() / (2.0 * std::f64::consts::PI);
    assert!((got[0] - orthant(1.0 / 10f64.sqrt())).abs() < 1e-11);
    assert!((got[2] - orthant(4.0 / 5.0)).abs() < 1e-11);
}

#[test]
fn betas_have_the_sums_of_binomials() {
    // P(X > Y), X ~ Beta(a, b), Y ~ Beta(c, d) with whole numbers: Σ_i B(a + i, ...) (Evan Miller's formula).
    let log_beta = |a: f64, b: f64| libm::lgamma(a) + libm::lgamma(b) - libm::lgamma(a + b);
    for (a, b, c, d) in [(1.0, 1.0, 1.0, 1.0), (3.0, 2.0, 5.0, 9.0), (40.0, 60.0, 2.0, 2.0), (1.0, 9.0, 7.0, 1.0)] {
        // P(Beta(c, d) > Beta(a, b)) is the sum over i < c, with the roles of the two distributions exchanged.
        let of = |(a, b): (f64, f64), (c, d): (f64, f64)| -> f64 {
            let terms = 0..c as u32;
            terms
                .map(|i| {
                    let i = f64::from(i);
                    (log_beta(a + i, b + d) - (d + i).ln() - log_beta(1.0 + i, d) - log_beta(a, b)).exp()
                })
                .sum()
        };
        let expected = of((a, b), (c, d));
        let got = inclusion(&[Law::beta(a, b), Law::beta(c, d)], &[1.0]);
        assert!((got[1] - expected).abs() < 1e-10, "{a} {b} {c} {d}: {got:?} {expected}");
        assert!((got[0] + got[1] - 1.0).abs() < 1e-10);
    }
    // If one arm is uniform and the other is Beta(a, 1), the uniform arm is best with probability 1/(a + 1).
    for a in [1e4, 1e6 + 1.0, 1e9, 1e12] {
        let got = inclusion(&[Law::beta(a, 1.0), Law::beta(1.0, 1.0)], &[1.0]);
        assert!((got[1] - 1.0 / (a + 1.0)).abs() < 1e-10 && (got[0] + got[1] - 1.0).abs() < 1e-9, "{a}: {got:?}");
    }
    // A narrow arm is best if both uniform arms are below its mean.
    for a in [1e5, 1e8, 5e14, 1e30] {
        let got = inclusion(&[Law::beta(a, a), Law::beta(1.0, 1.0), Law::beta(1.0, 1.0)], &[1.0]);
        let expected = 0.25 + 0.25 / (2.0 * a + 1.0);
        assert!((got[0] - expected).abs() < 1e-9, "{a}: {got:?}");
        assert!((got.iter().sum::<f64>() - 1.0).abs() < 1e-9 && (got[1] - got[2]).abs() < 1e-12, "{a}: {got:?}");
    }
    // Jeffreys's prior: a density that is infinite at both ends.
    let got = inclusion(&[Law::beta(0.5, 0.5), Law::beta(0.5, 0.5), Law::beta(0.5, 0.5)], &[1.0]);
    assert!(got.iter().all(|probability| (probability - 1.0 / 3.0).abs() < 1e-10), "{got:?}");
}

#[test]
fn gumbels_have_the_softmax_and_plackett_and_luces_model() {
    let locations = [0.3, -1.0, 1.1, 0.0];
    let laws = locations.map(|location| Law::Gumbel { location, scale: 0.5 });
    let weights = locations.map(|location| (location / 0.5).exp());
    let sum: f64 = weights.iter().sum();
    let one = inclusion(&laws, &[1.0]);
    let two = inclusion(&laws, &[1.0, 1.0]);
    for arm in 0..4 {
        let first = weights[arm] / sum;
        assert!((one[arm] - first).abs() < 1e-10);
        let second: f64 = (0..4)
            .filter(|other| *other != arm)
            .map(|other| weights[other] / sum * weights[arm] / (sum - weights[other]))
            .sum();
        assert!((two[arm] - first - second).abs() < 1e-10, "{two:?}");
    }
}

#[test]
fn students_with_few_and_many_degrees_sum_to_one() {
    // Two equal arms share the choice. An arm with ν = 2 against a point has a closed form.
    let pair = [Law::student(0.3, 2.0, 2.0), Law::student(0.3, 2.0, 2.0)];
    assert!(inclusion(&pair, &[1.0]).iter().all(|probability| (probability - 0.5).abs() < 1e-10));
    let laws = [Law::student(0.0, 1.0, 2.0), Law::Point(1.5)];
    let got = inclusion(&laws, &[1.0]);
    assert!((got[0] - (0.5 - 0.75 / 4.25f64.sqrt())).abs() < 1e-10 && (got[0] + got[1] - 1.0).abs() < 1e-10);
    let degrees = [2.0, 3.0, 7.5, 2000.0];
    let mixed: Vec<_> =
        (0..4).map(|arm| Law::student(0.2 * arm as f64, 10f64.powi(arm - 2), degrees[arm as usize])).collect();
    for shown in 1..4 {
        let sum: f64 = inclusion(&mixed, &rank_weights(4, shown, 0.0)).iter().sum();
        assert!((sum - shown as f64).abs() < 1e-9, "{sum}");
    }
}

#[test]
fn students_of_very_different_widths_keep_their_probabilities() {
    // Two arms that are narrow relative to a third act as points at 0: with ν = 3, F(t) = ½ + (s/(1 + s²) + atan s)/π,
    // s = t/√3.
    let below = |t: f64| {
        let s = t / 3f64.sqrt();
        0.5 + (s / (1.0 + s * s) + s.atan()) / std::f64::consts::PI
    };
    for ratio in [1e2, 1e4, 1e6, 1e8, 1e12, 1e30, 1e100] {
        let narrow = Law::student(0.0, 1.0, 2.0);
        let got = inclusion(&[Law::student(0.5 * ratio, 0.15 * ratio, 3.0), narrow, narrow], &[1.0]);
        assert!((got.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{ratio}: {got:?}");
        let expected = 1.0 - below(-0.5 / 0.15);
        assert!(ratio < 1e8 || (got[0] - expected).abs() < 1e-8, "{ratio}: {got:?} {expected}");
    }
}

#[test]
fn betas_whose_mass_is_at_an_end_sum_to_one() {
    for prior in [0.5, 1.0] {
        for many in [1e3, 1e4, 1e5, 1e6, 1e7, 1e9, 1e12, 1e17] {
            for (one, other) in [((many, 0.0), (2.0, 0.0)), ((1.0, many), (1.0, 0.0))] {
                let law = |(successes, failures): (f64, f64)| Law::beta(prior + successes, prior + failures);
                let got = inclusion(&[law(one), law(other), Law::beta(prior, prior)], &[1.0]);
                assert!((got.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{prior} {one:?}: {got:?}");
            }
        }
    }
    // The arcsine law is uniform in t, v = sin²(πt/2), and cos^2N is close to a normal: P = 2/π·(1 − 5/24N)/√(πN).
    for many in [1e4, 1e6, 1e8] {
        let got = inclusion(&[Law::beta(many + 0.5, 0.5), Law::beta(0.5, 0.5)], &[1.0]);
        let pi = std::f64::consts::PI;
        let expected = 2.0 / pi * (1.0 - 5.0 / (24.0 * many)) / (pi * many).sqrt();
        assert!((got[1] - expected).abs() < 1e-10, "{many}: {got:?} {expected}");
    }
}

#[test]
fn laws_of_any_magnitude_take_a_bounded_number_of_panels() {
    let laws = [
        Law::beta(1e100, 0.5),
        Law::beta(1e100, 1e100),
        Law::beta(0.5, 1e18),
        Law::beta(3e15, 7.0),
        Law::student(1e90, 1e-90, 2.0),
        Law::student(0.5, 1e80, 1e6),
        Law::Normal { mean: -1e120, deviation: 1e130 },
        Law::Gumbel { location: 1e100, scale: 1e-100 },
    ];
    for pair in laws.iter().flat_map(|one| laws.iter().map(|other| [*one, *other, Law::beta(2.0, 3.0)])) {
        for probability in inclusion(&pair, &[1.0]) {
            assert!((0.0..=1.0).contains(&probability), "{pair:?}: {probability}");
        }
    }
}

#[test]
fn an_arm_far_below_is_rare_but_never_impossible() {
    let got = inclusion(&normals(&[(0.0, 1.0), (-20.0, 1.0), (-200.0, 1.0)]), &[1.0]);
    let expected = normal_distribution(-20.0 / 2f64.sqrt());
    assert!(got[1] > 0.0 && (got[1] / expected - 1.0).abs() < 1e-3, "{got:?} {expected}");
    assert!(got[2] > 0.0 && got[2] < 1e-300);
    // A point competes with a normal distribution; two equal points share the choice.
    let laws = [Law::Point(0.5), Law::Normal { mean: 0.0, deviation: 1.0 }, Law::Point(0.5), Law::Point(-1.0)];
    let got = inclusion(&laws, &[1.0]);
    let below = normal_distribution(0.5);
    assert!((got[0] - below / 2.0).abs() < 1e-15 && got[0] == got[2] && got[3] == 0.0);
    assert!((got[1] - (1.0 - below)).abs() < 1e-10);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn probabilities_sum_to_the_positions(
        arms in prop::collection::vec((-3.0f64..3.0, -7.0f64..2.0), 2..9),
        shown in 1usize..4,
        share in prop_oneof![Just(0.0), 0.0f64..1.0],
    ) {
        let laws = normals(&arms.iter().map(|(mean, log)| (*mean, 10f64.powf(*log))).collect::<Vec<_>>());
        let shown = shown.min(arms.len());
        let sum: f64 = inclusion(&laws, &rank_weights(arms.len(), shown, share)).iter().sum();
        prop_assert!((sum - shown as f64).abs() < 1e-9, "{sum}");
    }
}
