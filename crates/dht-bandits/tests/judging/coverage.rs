//! Coverage of 95 % intervals over 2,000 logs. The fraction from Binomial(2000, .95) has a deviation of .005.

use dht_bandits::evaluation::{ConfidenceSequence, Estimator, OffPolicy, OutcomeModel};

use crate::world::{VALUE, log, rng, rounds, target, targets};

const LOGS: usize = 2000;

fn assert_covers(name: &str, covered: usize) {
    let share = covered as f64 / LOGS as f64;
    assert!((0.93..=0.97).contains(&share), "{name}: {share}");
}

#[test]
fn normal_and_bootstrap_intervals_cover_nineteen_of_twenty_logs() {
    let estimators = [
        Estimator::InversePropensity,
        Estimator::SelfNormalised,
        Estimator::DoublyRobust,
        Estimator::SelfNormalisedDoublyRobust,
    ];
    let mut rng = rng(1);
    let mut covered = [[0; 2]; 4];
    for _ in 0..LOGS {
        let rounds = rounds(&mut rng, 300);
        let log = OffPolicy::new(&rounds).unwrap();
        for (estimator, covered) in estimators.iter().zip(&mut covered) {
            let estimate = log.estimate(*estimator).unwrap();
            covered[0] += usize::from(estimate.low <= VALUE && VALUE <= estimate.high);
            covered[1] += usize::from(log.bootstrap(*estimator, 200, 0.95, &mut rng).unwrap().contains(&VALUE));
        }
    }
    for (estimator, covered) in estimators.iter().zip(covered) {
        assert_covers(&format!("{estimator}, normal"), covered[0]);
        assert_covers(&format!("{estimator}, bootstrap"), covered[1]);
    }
}

#[test]
fn intervals_with_cross_fitted_models_cover_95_percent_of_logs() {
    let ridge = OutcomeModel::Ridge { prior_precision: 1.0 };
    let mut rng = rng(2);
    let mut covered = [0; 2];
    for _ in 0..LOGS {
        let log = log(&mut rng, 300);
        let targets = targets(&log);
        let fitted = [ridge.cross_fit(2, &log, &targets), ridge.cross_fit_mrdr(2, &log, &targets)];
        for (rounds, covered) in fitted.map(Result::unwrap).into_iter().zip(&mut covered) {
            let estimate = OffPolicy::new(&rounds).unwrap().doubly_robust().unwrap();
            *covered += usize::from(estimate.low <= VALUE && VALUE <= estimate.high);
        }
    }
    assert_eq!(target(&[1.0]).len(), 2);
    assert_covers("DR", covered[0]);
    assert_covers("MRDR", covered[1]);
}

#[test]
fn sequences_cover_nineteen_of_twenty_logs_at_all_times_at_once() {
    let mut rng = rng(3);
    let mut covered = 0;
    for _ in 0..LOGS {
        let mut sequence = ConfidenceSequence::new((0.0, 1.0), 0.05).unwrap();
        let right = |round| sequence.push(&round).unwrap().contains(&VALUE);
        covered += usize::from(rounds(&mut rng, 300).into_iter().all(right));
    }
    assert!(covered >= LOGS * 95 / 100, "{covered}");
}
