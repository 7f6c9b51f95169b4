//! Effect of rounding on the factor, over many and badly conditioned updates.

use dht_bandits::{
    ArmId, Error, LinUcb, Normalizer, Observation, Policy, Request, Ridge, Thompson, Ucb,
    policy::Disjoint,
    posterior::{DiagonalLaplace, DiscountedRidge},
};

use crate::support::{normals, rng};

/// Number that is stored as the sum of two `f64`, with about 32 digits.
#[derive(Debug, Clone, Copy)]
struct Double(f64, f64);

impl Double {
    fn new(value: f64) -> Self {
        Self(value, 0.0)
    }

    fn quick(high: f64, low: f64) -> Self {
        let sum = high + low;
        Self(sum, low - (sum - high))
    }

    fn add(self, other: Self) -> Self {
        let sum = self.0 + other.0;
        let virtual_other = sum - self.0;
        let error = (self.0 - (sum - virtual_other)) + (other.0 - virtual_other);
        Self::quick(sum, error + self.1 + other.1)
    }

    fn negative(self) -> Self {
        Self(-self.0, -self.1)
    }

    fn times(self, other: Self) -> Self {
        let product = self.0 * other.0;
        let error = self.0.mul_add(other.0, -product);
        Self::quick(product, error + self.0 * other.1 + self.1 * other.0)
    }

    fn over(self, other: Self) -> Self {
        let first = self.0 / other.0;
        let rest = self.add(other.times(Self::new(first)).negative());
        let second = rest.0 / other.0;
        let rest = rest.add(other.times(Self::new(second)).negative());
        Self::quick(first, second).add(Self::new(rest.0 / other.0))
    }
}

/// Computes x'A⁻¹x by Cholesky without square roots, in double-double arithmetic.
fn variance(a: &[Vec<Double>], x: &[f64]) -> f64 {
    let n = x.len();
    let mut lower = vec![vec![Double::new(0.0); n]; n];
    let mut pivots = vec![Double::new(0.0); n];
    for j in 0..n {
        let mut pivot = a[j][j];
        for k in 0..j {
            pivot = pivot.add(lower[j][k].times(lower[j][k]).times(pivots[k]).negative());
        }
        pivots[j] = pivot;
        for i in j + 1..n {
            let mut entry = a[i][j];
            for k in 0..j {
                entry = entry.add(lower[i][k].times(lower[j][k]).times(pivots[k]).negative());
            }
            lower[i][j] = entry.over(pivot);
        }
    }
    let mut solved: Vec<_> = x.iter().map(|&value| Double::new(value)).collect();
    let mut total = Double::new(0.0);
    for i in 0..n {
        for k in 0..i {
            solved[i] = solved[i].add(lower[i][k].times(solved[k]).negative());
        }
        total = total.add(solved[i].times(solved[i]).over(pivots[i]));
    }
    total.0
}

#[test]
fn ill_conditioned_updates_keep_nine_digits_of_the_variance() {
    // Features span four and a half decades (the condition of A is 10⁹ and more), and are correlated in pairs. Both
    // memory layouts are tested.
    for dimension in [10, 34] {
        let mut rng = rng(dimension as u64);
        let options = Ridge::new(1e-3);
        let mut policy = LinUcb::new(dimension, 1, options, Ucb { alpha: 1.0 }).unwrap();
        let mut a = vec![vec![Double::new(0.0); dimension]; dimension];
        (0..dimension).for_each(|i| a[i][i] = Double::new(1e-3));
        let draw = |rng: &mut _| {
            let mut x = normals(rng, dimension);
            for position in (1..dimension).step_by(2) {
                x[position] = x[position - 1] + 1e-3 * x[position];
            }
            let scale = |position: usize| 10f64.powf(4.5 * position as f64 / dimension as f64 - 2.25);
            x.iter_mut().enumerate().for_each(|(position, value)| *value *= scale(position));
            x
        };
        // Double-double sums are slow at d = 34, so that only 500 contexts of the 100,000 updates are distinct.
        let contexts: Vec<_> = (0..500).map(|_| draw(&mut rng)).collect();
        for context in &contexts {
            for i in 0..dimension {
                for j in 0..=i {
                    let product = Double::new(context[i]).times(Double::new(context[j]));
                    a[i][j] = a[i][j].add(product.times(Double::new(200.0)));
                }
            }
        }
        for _ in 0..200 {
            for context in &contexts {
                policy.update(ArmId::new(0), context, context[0], 1.0).unwrap();
            }
        }
        for _ in 0..20 {
            let x = draw(&mut rng);
            let width = policy.score(ArmId::new(0), &x).unwrap().width;
            let (got, expected) = (width * width, variance(&a, &x));
            assert!(
                (got / expected - 1.0).abs() < 1e-9,
                "{dimension}: {got:e} {expected:e} {:e}",
                got / expected - 1.0
            );
        }
    }
}

#[test]
fn a_variance_is_never_negative() {
    let mut rng = rng(1);
    let mut policy = LinUcb::new(40, 1, Ridge::new(1e-9), Ucb { alpha: 1.0 }).unwrap();
    let context: Vec<_> = normals(&mut rng, 40).iter().map(|value| 1e6 * value).collect();
    for round in 0..2000 {
        let nearly: Vec<_> = context.iter().map(|value| value * (1.0 + 1e-15 * f64::from(round % 3))).collect();
        policy.update(ArmId::new(0), &nearly, 1.0, 1.0).unwrap();
        let width = policy.score(ArmId::new(0), &context).unwrap().width;
        // At a condition of 10²², rounding may change the tenth digit, but never the sign.
        assert!(width > 0.0 && width < 1.000_001, "{round}: {width}");
    }
}

#[test]
fn the_mode_of_a_batch_is_found_however_wide_the_prior() {
    // Two equal clicks under N(0, q): the mode solves z = 2q·σ(−z), ln z + ln(1 + e^z) = ln 2q.
    for exponent in [3, 15, 30, 90] {
        let precision = 10f64.powi(-exponent);
        let options = DiagonalLaplace::default().with_prior_precision(precision);
        let mut policy = Disjoint::new(1, 1, options, Thompson { alpha: 0.0 }).unwrap();
        let decision = policy.decide(&Request::new(&[1.0]), &mut rng(1)).unwrap();
        let clicks = [Observation::new(decision.clone(), 1.0), Observation::new(decision, 1.0)];
        policy.learn_batch(&clicks).unwrap();
        let (mut low, mut high) = (0.0f64, 1e3);
        for _ in 0..200 {
            let z = 0.5 * (low + high);
            if z.ln() + z + (-z).exp().ln_1p() > (2.0 / precision).ln() {
                high = z;
            } else {
                low = z;
            }
        }
        let mean = policy.score(ArmId::new(0), &[1.0]).unwrap().mean;
        assert!((mean - low).abs() < 1e-9 * low, "1e-{exponent}: {mean} instead of {low}");
    }
}

#[test]
fn a_decay_whose_inverse_overflows_is_refused_where_it_is_made() {
    for decay in [1e-200, 1e-101, 0.0, 5e-324] {
        let refused = [
            Disjoint::new(1, 1, DiagonalLaplace::default().with_decay(decay), Thompson { alpha: 0.0 }).map(drop),
            Disjoint::new(1, 1, DiscountedRidge::new(decay), Thompson { alpha: 0.0 }).map(drop),
            LinUcb::new(1, 1, Ridge::default().with_decay(decay), Ucb { alpha: 1.0 }).map(drop),
            LinUcb::new(1, 1, Ridge::default(), Ucb { alpha: 1.0 }).and_then(|mut policy| policy.forget(decay)),
            Normalizer::new(1).and_then(|normalizer| normalizer.with_decay(decay)).map(drop),
        ];
        for outcome in refused {
            assert!(matches!(outcome, Err(Error::Parameter { name: "decay", .. })), "{decay}: {outcome:?}");
        }
        let saved = format!(r#"{{"prior_precision":1.0,"decay":{decay},"keep_information":false}}"#);
        assert!(serde_json::from_str::<Ridge>(&saved).is_err(), "{decay}");
    }
    // The smallest decay forgets everything, and nothing overflows.
    let smallest = 1e-100;
    let options = DiagonalLaplace::default().with_decay(smallest);
    let mut fading = Disjoint::new(1, 1, options, Thompson { alpha: 0.0 }).unwrap();
    let mut once = fading.clone();
    for _ in 0..5 {
        fading.update(ArmId::new(0), &[1.0], 1.0, 1.0).unwrap();
    }
    once.update(ArmId::new(0), &[1.0], 1.0, 1.0).unwrap();
    assert_eq!(fading.score(ArmId::new(0), &[1.0]), once.score(ArmId::new(0), &[1.0]));
    let mut ridge = LinUcb::new(1, 1, Ridge::default(), Ucb { alpha: 1.0 }).unwrap();
    ridge.update(ArmId::new(0), &[1.0], 1.0, 1.0).unwrap();
    ridge.forget(smallest).unwrap();
    let score = ridge.score(ArmId::new(0), &[1.0]).unwrap();
    assert!(score.mean.abs() < 1e-90 && score.width == 1.0, "{score:?}");
}
