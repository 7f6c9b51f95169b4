//! Estimates, scores and curves are finite, or the call returns a typed error.

use dht_bandits::{
    ArmId, Decision, Error, LinUcb, Policy, Request, Ridge, Ucb,
    evaluation::{Estimate, Estimator, LoggedRound, OffPolicy, Prediction, Replay},
    exploration::EpsilonGreedy,
    log::LoggedDecision,
    policy::{Disjoint, Hybrid, TopK, Uniform},
    simulation::{Comparison, Curve, Environment},
};
use proptest::prelude::*;
use rand::Rng;

use crate::support::{featured, rng};

fn is_finite(estimate: &Estimate) -> bool {
    let Estimate { value, standard_error, low, high, skewness, effective_samples, .. } = *estimate;
    [value, standard_error, skewness, effective_samples].iter().all(|number| number.is_finite())
        // The ends of an estimate without an interval are infinite.
        && [low, high].iter().all(|end| end.is_finite() == estimate.has_interval())
        && low <= value
        && value <= high
}

fn all(log: &OffPolicy<'_>) -> Vec<Result<Estimate, Error>> {
    vec![
        log.direct(),
        log.inverse_propensity(),
        log.clipped(10.0),
        log.self_normalised(),
        log.doubly_robust(),
        log.self_normalised_doubly_robust(),
        log.switch_doubly_robust(3.0),
        log.optimistic_doubly_robust(1e-200),
        log.optimistic_doubly_robust(1e300),
        log.estimate(Estimator::PessimisticDoublyRobust { largest: 2.0 }),
    ]
}

#[test]
fn logged_values_whose_estimates_would_overflow_are_refused() {
    let good = LoggedRound::new(1.0, 0.5, 0.5);
    let refuse = |bad: LoggedRound| {
        let slates = [vec![good], vec![good, bad]];
        let error = OffPolicy::from_slates(&slates).unwrap_err();
        assert_eq!(OffPolicy::new(&[good, bad]).unwrap_err(), error);
        error
    };
    for reward in [1e308, -1e308] {
        let refused = refuse(LoggedRound { reward, ..good });
        assert_eq!(refused, Error::LoggedRound { round: 1, what: "reward", value: reward, limit: 1e50 });
    }
    assert!(matches!(
        refuse(LoggedRound { propensity: Some(1e-320), ..good }),
        Error::LoggedRound { what: "weight", .. }
    ));
    let with = |logged, expected| LoggedRound { prediction: Some(Prediction { logged, expected }), ..good };
    assert!(matches!(refuse(with(1e60, 0.0)), Error::LoggedRound { what: "predicted", .. }));
    assert!(matches!(refuse(with(0.0, 1e60)), Error::LoggedRound { what: "expected", .. }));
}

#[test]
fn without_overlap_there_is_no_estimate() {
    for target in [0.0, 5e-324] {
        let prediction = Some(Prediction { logged: 0.5, expected: 0.5 });
        let rounds = [1.0, 0.0].map(|reward| LoggedRound { prediction, ..LoggedRound::new(reward, 0.5, target) });
        let log = OffPolicy::new(&rounds).unwrap();
        for estimate in all(&log).into_iter().skip(1) {
            assert!(matches!(estimate, Err(Error::NoOverlap { position: 0, .. })), "{estimate:?}");
        }
        let slates = rounds.map(|round| vec![round]);
        let log = OffPolicy::from_slates(&slates).unwrap();
        for estimate in [log.independent(), log.independent_self_normalised()] {
            assert!(matches!(estimate, Err(Error::NoOverlap { position: 0, .. })), "{estimate:?}");
        }
    }
}

fn number(largest: i32) -> impl Strategy<Value = f64> {
    prop_oneof![
        3 => -2.0f64..2.0,
        1 => Just(0.0),
        1 => (-1.0f64..1.0, -330..largest).prop_map(|(digits, exponent)| digits * 10f64.powi(exponent)),
    ]
}

fn round() -> impl Strategy<Value = LoggedRound> {
    (number(310), number(2), number(2), number(60), number(60)).prop_map(
        |(reward, propensity, target, predicted, expected)| LoggedRound {
            reward,
            propensity: Some(propensity.abs()),
            target: target.abs(),
            prediction: Some(Prediction { logged: predicted, expected }),
            unsupported: 0.0,
            drop_probability: 0.0,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_estimate_is_finite_or_an_error(rounds in prop::collection::vec(round(), 2..6), split in 1usize..5) {
        if let Ok(log) = OffPolicy::new(&rounds) {
            for estimate in all(&log).into_iter().flatten() {
                prop_assert!(is_finite(&estimate), "{estimate:?}");
            }
        }
        let (left, right) = rounds.split_at(split.min(rounds.len()));
        let slates = [left.to_vec(), right.to_vec()];
        if let Ok(log) = OffPolicy::from_slates(&slates) {
            for estimate in [log.independent(), log.independent_self_normalised()].into_iter().flatten() {
                prop_assert!(is_finite(&estimate), "{estimate:?}");
            }
        }
    }
}

#[test]
fn replay_refuses_a_log_before_the_policy_learns_from_it() {
    let row = |reward| LoggedDecision::new(vec![1.0], ArmId::new(0), 1.0, reward);
    let mut policy = Uniform::new(1, 1).unwrap();
    let before = policy.clone();
    let refused = Replay::run(&mut policy, &[row(1.0), row(1e60), row(1e60)], None, &mut rng(1)).unwrap_err();
    assert_eq!(refused, Error::LoggedRound { round: 1, what: "reward", value: 1e60, limit: 1e50 });
    assert!(matches!(
        Replay::run(&mut policy, &[row(f64::NAN)], None, &mut rng(1)),
        Err(Error::InRound { round: 0, .. })
    ));
    assert_eq!(policy, before);
    assert!(is_finite(&Replay::run(&mut policy, &[row(1.0), row(3.0)], None, &mut rng(1)).unwrap().estimate));
}

/// Environment in which every arm has the same reward.
struct Flat(f64);

impl Environment for Flat {
    fn dimension(&self) -> usize {
        1
    }

    fn arms(&self) -> usize {
        2
    }

    fn advance(&mut self, _: &mut dyn Rng) {}

    fn context(&self) -> &[f64] {
        &[1.0]
    }

    fn best(&self) -> f64 {
        self.0
    }

    fn expected(&self, _: ArmId) -> f64 {
        0.0
    }

    fn reward(&self, _: ArmId, _: &mut dyn Rng) -> f64 {
        self.0
    }
}

#[test]
fn a_curve_that_would_overflow_is_refused() {
    for worth in [1e308, f64::INFINITY, f64::NAN] {
        let mut policy = Uniform::new(1, 2).unwrap();
        let refused = Curve::run(&mut policy, &mut Flat(worth), usize::MAX, &mut rng(2)).unwrap_err();
        assert!(matches!(refused, Error::TooLarge { .. } | Error::NotFinite { .. }), "{refused}");
    }
}

#[test]
fn curves_of_unequal_length_are_written_to_their_ends() {
    let curve = |rounds: usize| Curve { regret: vec![1.0; rounds], reward: vec![2.0; rounds] };
    let runs = vec![("ragged".to_owned(), vec![curve(3), curve(1)])];
    let csv = Comparison { seeds: vec![1, 2], runs }.to_csv(1);
    assert_eq!(csv.lines().count(), 4);
    assert_eq!(csv.lines().nth(3).unwrap(), "3,ragged,1,0,2,0");
}

#[test]
fn scores_that_overflow_are_refused_by_every_policy() {
    let (huge, arm) = ([1e200, 1.0], ArmId::new(0));
    let assert_refused = |error: Error| assert!(matches!(error, Error::NotFinite { .. }), "{error}");
    let policy = LinUcb::new(2, 2, Ridge::default(), Ucb { alpha: 0.0 }).unwrap();
    assert_refused(policy.score(arm, &huge).unwrap_err());
    let mut scores = vec![(arm, policy.score(arm, &[1.0, 0.0]).unwrap())];
    assert_refused(policy.scores(&Request::new(&huge), &mut scores).unwrap_err());
    assert_eq!(scores.len(), 1);
    assert_refused(policy.select(&Request::new(&huge), &mut rng(3)).unwrap_err());
    // The mean is finite although the width is not.
    let greedy = Disjoint::new(2, 2, Ridge::default(), EpsilonGreedy::new(0.0)).unwrap();
    assert_refused(greedy.select(&Request::new(&huge), &mut rng(3)).unwrap_err());
    let epsilon = EpsilonGreedy::new(0.0);
    let shared = TopK::<Ridge, EpsilonGreedy>::shared(2, Ridge::default(), epsilon).unwrap();
    assert_refused(shared.score(arm, &huge).unwrap_err());
    assert_refused(shared.select_slate(1, &featured(&[], &[arm], &huge), &mut rng(3)).unwrap_err());
    let hybrid = Hybrid::new(2, 1, 2, 1.0, epsilon).unwrap();
    assert_refused(hybrid.score(arm, &huge, &[1.0]).unwrap_err());
    assert_refused(hybrid.select(&featured(&huge, &[arm], &[1.0]), &mut rng(3)).unwrap_err());
}

#[test]
fn an_explored_arm_has_finite_scores_too() {
    let mut policy = Disjoint::new(1, 2, Ridge::default(), EpsilonGreedy::new(1.0)).unwrap();
    policy.update(ArmId::new(0), &[1.0], -1.0, 1.0).unwrap();
    let mut rng = rng(4);
    for context in [[1.0], [1e154], [1.7e308]] {
        for _ in 0..20 {
            if let Ok(decision) = policy.decide(&Request::new(&context), &mut rng) {
                let text = serde_json::to_string(&decision).unwrap();
                assert_eq!(serde_json::from_str::<Decision>(&text).unwrap(), decision);
            }
        }
    }
}
