//! Rows without a propensity: only the direct method accepts them, and other estimators name them in an error.

use dht_bandits::{
    Error, Ridge, Ucb,
    evaluation::{
        ConfidenceSequence, Estimator, Evaluation, EvaluationSettings, LoggedRound, OffPolicy, OutcomeModel, Replay,
        RunningEstimates, Target,
    },
    log::{LoggedDecision, LoggedSlate, ShownArm},
    policy::{Feedback, TopK, Uniform},
};

use crate::world::{arm, log, rng, targets};

/// Log whose row 7 has no propensity.
fn rows() -> Vec<LoggedDecision> {
    let mut rows = log(&mut rng(1), 300);
    rows[7].propensity = None;
    rows
}

#[test]
fn the_direct_method_needs_no_propensities() {
    let mut rows = rows();
    let targets = targets(&rows);
    let known = OutcomeModel::default().cross_fit(5, &log(&mut rng(1), 300), &targets).unwrap();
    let expected = OffPolicy::new(&known).unwrap().direct().unwrap();
    rows.iter_mut().for_each(|row| row.propensity = None);
    let rounds = OutcomeModel::default().cross_fit(5, &rows, &targets).unwrap();
    let estimate = OffPolicy::new(&rounds).unwrap().direct().unwrap();
    assert_eq!((estimate.value, estimate.standard_error), (expected.value, expected.standard_error));
    assert_eq!(estimate.mean_weight, 0.0);
}

#[test]
fn estimators_that_need_propensities_refuse_by_name() {
    let rows = rows();
    let rounds = OutcomeModel::default().cross_fit(5, &rows, &targets(&rows)).unwrap();
    let judge = OffPolicy::new(&rounds).unwrap();
    for (estimator, name) in [
        (Estimator::InversePropensity, "IPS"),
        (Estimator::SelfNormalised, "SNIPS"),
        (Estimator::Clipped { largest: 2.0 }, "clipped IPS"),
        (Estimator::DoublyRobust, "DR"),
        (Estimator::SelfNormalisedDoublyRobust, "SNDR"),
        (Estimator::SwitchDoublyRobust { threshold: 2.0 }, "switch-DR"),
        (Estimator::PessimisticDoublyRobust { largest: 2.0 }, "DRps"),
        (Estimator::OptimisticDoublyRobust { shrinkage: 2.0 }, "DRos"),
    ] {
        let refused = judge.estimate(estimator).unwrap_err();
        assert_eq!(refused, Error::NoPropensity { estimator: name, round: 7 });
        assert!(judge.bootstrap(estimator, 100, 0.95, &mut rng(2)).is_err());
    }
    let refused = OutcomeModel::default().cross_fit_mrdr(5, &rows, &targets(&rows)).unwrap_err();
    assert_eq!(refused, Error::NoPropensity { estimator: "MRDR", round: 7 });
    let targets = [Target::always(arm(0))];
    let refused = Evaluation::run(&rows, &targets, &EvaluationSettings::default(), &mut rng(2)).unwrap_err();
    assert!(matches!(refused, Error::NoPropensity { round: 7, .. }), "{refused}");
    assert!(refused.to_string().contains("round 7 has none"), "{refused}");
}

#[test]
fn running_estimates_sequences_and_replay_refuse_them_unchanged() {
    let round = LoggedRound::new(1.0, None, 0.5);
    let mut running = RunningEstimates::new(None);
    assert!(matches!(running.push(&round), Err(Error::NoPropensity { round: 0, .. })));
    assert_eq!(running.rounds(), 0);
    let mut sequence = ConfidenceSequence::new((0.0, 1.0), 0.05).unwrap();
    assert!(matches!(sequence.push(&round), Err(Error::NoPropensity { .. })));
    assert_eq!(sequence.rounds(), 0);
    let mut policy = Uniform::new(1, 2).unwrap();
    let refused = Replay::run(&mut policy, &rows(), None, &mut rng(1));
    assert_eq!(refused, Err(Error::NoPropensity { estimator: "replay", round: 7 }));
    assert_eq!(dht_bandits::Policy::version(&policy), 0);
}

#[test]
fn slates_without_propensities_are_refused_by_estimators() {
    let shown = |propensity| vec![ShownArm { arm: arm(0), propensity, feedback: Feedback::Observed(1.0) }];
    let row = |propensity| LoggedSlate { context: vec![1.0], shown: shown(propensity), ..LoggedSlate::default() };
    let log = [row(Some(0.5)), row(None), row(Some(0.5))];
    let policy = TopK::<Ridge, _>::per_arm(1, 2, Ridge::default(), Ucb { alpha: 1.0 }).unwrap();
    let rounds = LoggedRound::from_slates(&log, &policy).unwrap();
    let refused = OffPolicy::from_slates(&rounds).unwrap_err();
    assert_eq!(refused, Error::NoPropensity { estimator: "an estimate of slates", round: 1 });
}
