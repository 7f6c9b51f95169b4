//! Each estimator: numbers computed by hand, expectation and variance by enumeration, SLOPE, and refusals.

use dht_bandits::{
    Error,
    evaluation::{Estimator, LoggedRound, OffPolicy, Prediction, RunningEstimates},
};

use crate::world::{VALUE, every_round, moments, rng, rounds};

/// Reward, propensity, target, q̂, V̂: weights ½, 2, 4, 0.
fn four_rounds() -> Vec<LoggedRound> {
    [(1.0, 0.5, 0.25, 0.5, 0.6), (0.0, 0.25, 0.5, 0.25, 0.5), (2.0, 0.2, 0.8, 1.5, 1.0), (1.0, 0.5, 0.0, 1.0, 0.25)]
        .map(|(reward, propensity, target, logged, expected)| LoggedRound {
            prediction: Some(Prediction { logged, expected }),
            ..LoggedRound::new(reward, propensity, target)
        })
        .to_vec()
}

#[test]
fn four_rounds_computed_by_hand() {
    let rounds = four_rounds();
    let log = OffPolicy::new(&rounds).unwrap();
    let by_hand = [
        (Estimator::Direct, 2.35 / 4.0),
        (Estimator::InversePropensity, 8.5 / 4.0),
        (Estimator::Clipped { largest: 2.0 }, 4.5 / 4.0),
        (Estimator::SelfNormalised, 8.5 / 6.5),
        (Estimator::DoublyRobust, (2.35 + 1.75) / 4.0),
        (Estimator::SelfNormalisedDoublyRobust, 2.35 / 4.0 + 1.75 / 6.5),
        (Estimator::SwitchDoublyRobust { threshold: 2.0 }, (2.35 - 0.25) / 4.0),
        (Estimator::PessimisticDoublyRobust { largest: 2.0 }, (2.35 + 0.75) / 4.0),
        // λw/(w² + λ) with λ = 4: 8/17, 1, .8, 0.
        (Estimator::OptimisticDoublyRobust { shrinkage: 4.0 }, (2.35 + 4.0 / 17.0 - 0.25 + 0.4) / 4.0),
    ];
    for (estimator, value) in by_hand {
        let estimate = log.estimate(estimator).unwrap();
        assert!((estimate.value - value).abs() < 1e-14, "{estimator}: {} instead of {value}", estimate.value);
        assert_eq!(estimate.mean_weight, 1.625);
    }
    let plain = log.inverse_propensity().unwrap();
    // The deviations from 2.125 are ½, 0, 8 and 0. Their squares sum to 46.1875, which is divided by 4·3.
    assert!((plain.standard_error - (46.1875f64 / 12.0).sqrt()).abs() < 1e-14);
    assert!((plain.effective_samples - 42.25 / 20.25).abs() < 1e-14);
    assert_eq!(plain.largest_weight, 4.0);
    // Deviations w(r − v)/mean w of the ratio.
    let value = 8.5f64 / 6.5;
    let squares = [0.5 * (1.0 - value), -2.0 * value, 4.0 * (2.0 - value)].map(|term| (term / 1.625) * (term / 1.625));
    let error = (squares.iter().sum::<f64>() / 12.0).sqrt();
    assert!((log.self_normalised().unwrap().standard_error - error).abs() < 1e-14);
}

#[test]
fn extreme_parameters_give_the_direct_or_unbiased_estimator() {
    let rounds = four_rounds();
    let log = OffPolicy::new(&rounds).unwrap();
    let value = |estimator| log.estimate(estimator).unwrap().value;
    let (direct, robust) = (value(Estimator::Direct), value(Estimator::DoublyRobust));
    for (parameter, expected) in [(0.0, direct), (f64::MAX, robust)] {
        for estimator in [
            Estimator::SwitchDoublyRobust { threshold: parameter },
            Estimator::PessimisticDoublyRobust { largest: parameter },
            Estimator::OptimisticDoublyRobust { shrinkage: parameter },
        ] {
            assert!((value(estimator) - expected).abs() < 1e-14, "{estimator}");
        }
    }
    assert_eq!(value(Estimator::Clipped { largest: 4.0 }), value(Estimator::InversePropensity));
}

/// Mean of an estimator's terms and their variance, over all possible rounds.
fn exact(term: impl Fn(&LoggedRound, Prediction, f64) -> f64) -> (f64, f64) {
    let all = every_round();
    let of = |round: &LoggedRound| term(round, round.prediction.unwrap(), round.weight().unwrap());
    let mean: f64 = all.iter().map(|(chance, round)| chance * of(round)).sum();
    (mean, all.iter().map(|(chance, round)| chance * (of(round) - mean).powi(2)).sum())
}

#[test]
fn bias_and_variance_are_those_of_the_enumerated_world() {
    let (count, logs) = (400, 3000);
    type Exact = (f64, f64);
    let cases: [(Estimator, Exact, bool); 6] = [
        (Estimator::InversePropensity, exact(|round, _, w| w * round.reward), true),
        (Estimator::Clipped { largest: 1.5 }, exact(|round, _, w| w.min(1.5) * round.reward), false),
        (Estimator::DoublyRobust, exact(|round, model, w| model.expected + w * (round.reward - model.logged)), true),
        (
            Estimator::SwitchDoublyRobust { threshold: 2.0 },
            exact(|round, model, w| model.expected + if w > 2.0 { 0.0 } else { w * (round.reward - model.logged) }),
            false,
        ),
        (
            Estimator::OptimisticDoublyRobust { shrinkage: 4.0 },
            exact(|round, model, w| model.expected + 4.0 * w / (w * w + 4.0) * (round.reward - model.logged)),
            false,
        ),
        (Estimator::Direct, exact(|_, model, _| model.expected), false),
    ];
    let mut rng = rng(1);
    let mut results = vec![(Vec::new(), Vec::new()); cases.len()];
    for _ in 0..logs {
        let rounds = rounds(&mut rng, count);
        let log = OffPolicy::new(&rounds).unwrap();
        for ((estimator, ..), (values, errors)) in cases.iter().zip(&mut results) {
            let estimate = log.estimate(*estimator).unwrap();
            values.push(estimate.value);
            errors.push(estimate.standard_error);
        }
    }
    for ((estimator, (mean, variance), unbiased), (values, errors)) in cases.iter().zip(&results) {
        assert_eq!((mean - VALUE).abs() < 1e-12, *unbiased, "{estimator}: {mean}");
        let deviation = (variance / f64::from(count as u32)).sqrt();
        let (got, spread) = moments(values);
        // The tolerance is five standard errors of the mean. The deviation of 3,000 values is known within 1.3 %, five
        // of which are 6.5 %.
        assert!((got - mean).abs() < 5.0 * deviation / f64::from(logs).sqrt(), "{estimator}: {got}, not {mean}");
        assert!((spread / deviation - 1.0).abs() < 0.065, "{estimator}: spread {spread}, not {deviation}");
        assert!((moments(errors).0 / deviation - 1.0).abs() < 0.02, "{estimator}: error, not {deviation}");
    }
}

#[test]
fn self_normalised_estimates_converge_to_the_value() {
    let mut rng = rng(2);
    for estimator in [Estimator::SelfNormalised, Estimator::SelfNormalisedDoublyRobust] {
        let values: Vec<_> = (0..500)
            .map(|_| OffPolicy::new(&rounds(&mut rng, 1000)).unwrap().estimate(estimator).unwrap().value)
            .collect();
        let (mean, spread) = moments(&values);
        // The bias is of the order of 1/n.
        assert!((mean - VALUE).abs() < 5.0 * spread / 500f64.sqrt() + 1e-3, "{estimator}: {mean}");
    }
}

#[test]
fn slope_follows_the_better_end() {
    let mut rng = rng(3);
    // With heavy weights and a right model, the direct end is selected. With a wrong model and a long log, the unbiased
    // end is.
    let heavy = |wrong: f64, count: usize, rng: &mut rand_chacha::ChaCha8Rng| -> Vec<LoggedRound> {
        use rand::RngExt;
        (0..count)
            .map(|_| {
                let rare = rng.random::<f64>() < 0.02;
                let reward = f64::from(u8::from(rng.random::<f64>() < if rare { 0.7 } else { 0.3 }));
                let logged = if rare { 0.7 - wrong } else { 0.3 };
                let prediction = Some(Prediction { logged, expected: 0.9 * (0.7 - wrong) + 0.1 * 0.3 });
                let (propensity, target) = if rare { (0.02, 0.9) } else { (0.98, 0.1) };
                LoggedRound { prediction, ..LoggedRound::new(reward, propensity, target) }
            })
            .collect()
    };
    let value = 0.9 * 0.7 + 0.1 * 0.3;
    let mut errors = [[0.0f64; 3]; 2];
    for _ in 0..200 {
        for (position, (wrong, count)) in [(0.0, 300), (0.4, 20_000)].into_iter().enumerate() {
            let rounds = heavy(wrong, count, &mut rng);
            let log = OffPolicy::new(&rounds).unwrap();
            let candidates = log.candidates(|weight| Estimator::OptimisticDoublyRobust { shrinkage: weight * weight });
            let (_, chosen) = log.slope(&candidates).unwrap();
            let ends = [log.doubly_robust().unwrap().value, log.estimate(candidates[9]).unwrap().value];
            errors[position][0] += (chosen.value - value).powi(2);
            // The better end is the model if it is right, and no model if it is wrong.
            errors[position][1] += (ends[1 - position] - value).powi(2);
            errors[position][2] += (ends[position] - value).powi(2);
        }
    }
    for [chosen, better, worse] in errors {
        assert!(better < 0.01 * worse && chosen < 0.3 * worse, "{errors:?}");
    }
    let rounds = heavy(0.0, 300, &mut rng);
    let log = OffPolicy::new(&rounds).unwrap();
    assert!(matches!(log.slope(&[]), Err(Error::TooFewObservations { .. })));
}

#[test]
fn slope_rejects_a_bias_that_wide_intervals_hide() {
    // Every reward is about ½ more than expected. The spread of the expectations hides this difference.
    let round = |row: usize| {
        let expected = if row.is_multiple_of(2) { 10.0 } else { -10.0 };
        let prediction = Some(Prediction { logged: expected, expected });
        LoggedRound { prediction, ..LoggedRound::new(1.01 * expected + 0.5, 0.5, 0.5) }
    };
    let rounds: Vec<_> = (0..100).map(round).collect();
    let log = OffPolicy::new(&rounds).unwrap();
    let candidates = [Estimator::DoublyRobust, Estimator::Direct];
    let [robust, direct] = candidates.map(|estimator| log.estimate(estimator).unwrap());
    assert!(robust.value - direct.value > 0.4 && direct.standard_error > 0.9, "{robust:?} {direct:?}");
    assert_eq!(log.slope(&candidates).unwrap().0, Estimator::DoublyRobust);
}

#[test]
fn without_a_model_what_needs_one_is_refused() {
    let rounds: Vec<_> = four_rounds().into_iter().map(|round| LoggedRound { prediction: None, ..round }).collect();
    let log = OffPolicy::new(&rounds).unwrap();
    assert_eq!(log.direct().unwrap_err(), Error::NoModel { estimator: "DM", round: 0 });
    assert_eq!(log.doubly_robust().unwrap_err(), Error::NoModel { estimator: "DR", round: 0 });
    assert!(log.self_normalised().is_ok());
    let mut mixed = four_rounds();
    mixed[2].prediction = None;
    let refused = OffPolicy::new(&mixed).unwrap().switch_doubly_robust(2.0).unwrap_err();
    assert_eq!(refused, Error::NoModel { estimator: "switch-DR", round: 2 });
}

#[test]
fn parameters_out_of_range_are_refused() {
    let rounds = four_rounds();
    let log = OffPolicy::new(&rounds).unwrap();
    for parameter in [-1.0, f64::NAN, f64::INFINITY] {
        assert!(log.clipped(parameter).is_err());
        assert!(log.switch_doubly_robust(parameter).is_err());
        assert!(log.optimistic_doubly_robust(parameter).is_err());
    }
    assert!(log.bootstrap(Estimator::DoublyRobust, 39, 0.95, &mut rng(1)).is_err());
}

#[test]
fn one_pass_in_constant_memory_gives_the_same_estimates() {
    let rounds = rounds(&mut rng(4), 500);
    let mut running = RunningEstimates::new(None);
    assert!(running.inverse_propensity().is_err());
    rounds.iter().for_each(|round| running.push(round).unwrap());
    let log = OffPolicy::new(&rounds).unwrap();
    let pairs = [
        (running.inverse_propensity(), log.inverse_propensity()),
        (running.self_normalised(), log.self_normalised()),
        (running.doubly_robust(), log.doubly_robust()),
    ];
    for (left, right) in pairs {
        let (left, right) = (left.unwrap(), right.unwrap());
        for (left, right) in [
            (left.value, right.value),
            (left.standard_error, right.standard_error),
            (left.effective_samples, right.effective_samples),
            (left.largest_weight, right.largest_weight),
            (left.mean_weight, right.mean_weight),
        ] {
            assert!((left - right).abs() < 1e-9 * right.abs(), "{left} {right}");
        }
    }
    let mut bad = rounds[0];
    bad.propensity = Some(0.0);
    assert_eq!(running.push(&bad), Err(Error::Propensity { round: 500, propensity: 0.0 }));
    assert_eq!(running.rounds(), 500);
}

#[test]
fn running_errors_keep_their_digits_far_from_zero() {
    let base = 1e9;
    let rounds: Vec<_> = (0..1000).map(|round| LoggedRound::new(base + f64::from(round % 2), 0.5, 0.5)).collect();
    let mut running = RunningEstimates::new(None);
    rounds.iter().for_each(|round| running.push(round).unwrap());
    // All weights are 1, and rewards alternate between B and B + 1: the value is B + ½ and the error ½/√999.
    for estimate in [running.self_normalised(), running.inverse_propensity()] {
        let estimate = estimate.unwrap();
        assert!((estimate.value - base - 0.5).abs() < 1e-4, "{estimate:?}");
        assert!((estimate.standard_error - 0.5 / 999f64.sqrt()).abs() < 1e-6, "{estimate:?}");
    }
    // With other weights, the sums equal those of two passes.
    let uneven: Vec<_> =
        (0..1000).map(|round| LoggedRound::new(base + f64::from(round % 3), 0.5, f64::from(round % 5) / 4.0)).collect();
    let mut running = RunningEstimates::new(None);
    uneven.iter().for_each(|round| running.push(round).unwrap());
    let (one, two) = (running.self_normalised().unwrap(), OffPolicy::new(&uneven).unwrap().self_normalised().unwrap());
    assert!((one.value - two.value).abs() < 1e-4 && (one.standard_error / two.standard_error - 1.0).abs() < 1e-4);
}
