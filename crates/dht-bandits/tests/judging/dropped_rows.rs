//! Rows that represent other rows which the log left out.

use dht_bandits::{
    ArmId, Error,
    evaluation::{
        ConfidenceSequence, Evaluation, EvaluationSettings, LoggedRound, OffPolicy, OutcomeModel, Replay,
        RunningEstimates, Target,
    },
    log::LoggedDecision,
    policy::Uniform,
};
use rand::RngExt;

use crate::world::{arm, moments, rng};

/// Arm 0 pays with probability .2, arm 1 with .1. Rows without a reward are logged with probability 1 − p.
fn log(count: usize, drop_probability: f64, seed: u64) -> Vec<LoggedDecision> {
    let mut rng = rng(seed);
    let mut rows = Vec::new();
    for _ in 0..count {
        let number = rng.random_range(0..2);
        let paid = rng.random::<f64>() < [0.2, 0.1][number];
        if paid || rng.random::<f64>() >= drop_probability {
            let row = LoggedDecision::new(vec![1.0], arm(number), 0.5, f64::from(u8::from(paid)));
            rows.push(LoggedDecision { drop_probability: if paid { 0.0 } else { drop_probability }, ..row });
        }
    }
    rows
}

fn value(rows: &[LoggedDecision], policy: &str, estimator: &str) -> dht_bandits::evaluation::Estimate {
    let targets = [Target::always(arm(0)), Target::always(arm(1))];
    let table = Evaluation::run(rows, &targets, &EvaluationSettings::default(), &mut rng(1)).unwrap();
    table.row(policy, estimator).unwrap().estimate
}

#[test]
fn dropped_rows_bias_no_estimate() {
    let rows = log(40_000, 0.9, 2);
    assert!(rows.len() < 14_000);
    for (policy, estimator, expected) in [
        ("(the log)", "mean", 0.15),
        ("always arm 0", "IPS", 0.2),
        ("always arm 0", "SNIPS", 0.2),
        ("always arm 1", "SNIPS", 0.1),
        ("always arm 0", "DM", 0.2),
        ("always arm 1", "DR", 0.1),
        ("always arm 1", "MRDR", 0.1),
    ] {
        let estimate = value(&rows, policy, estimator);
        let gap = (estimate.value - expected).abs();
        assert!(gap < 4.0 * estimate.standard_error.max(0.003), "{policy} {estimator}: {estimate:?}");
    }
    let curve = Replay::run(&mut Uniform::new(1, 2).unwrap(), &rows, None, &mut rng(3)).unwrap();
    assert!((curve.estimate.value - 0.15).abs() < 0.03, "{}", curve.estimate.value);
}

#[test]
fn intervals_of_dropped_rows_cover() {
    let (mut covered, mut values, mut errors) = (0, Vec::new(), Vec::new());
    for seed in 0..200 {
        let rounds: Vec<_> = log(1500, 0.8, 100 + seed)
            .iter()
            .map(|row| LoggedRound {
                drop_probability: row.drop_probability,
                ..LoggedRound::new(row.reward, 0.5, if row.arm == arm(0) { 1.0 } else { 0.0 })
            })
            .collect();
        let estimate = OffPolicy::new(&rounds).unwrap().self_normalised().unwrap();
        covered += usize::from(estimate.low < 0.2 && 0.2 < estimate.high);
        values.push(estimate.value);
        errors.push(estimate.standard_error);
    }
    // The coverage .95 has a deviation of .015; the tolerance is four deviations.
    assert!((178..=200).contains(&covered), "{covered}");
    let (spread, stated) = (moments(&values).1, moments(&errors).0);
    assert!((stated / spread - 1.0).abs() < 0.25, "{stated} {spread}");
}

#[test]
fn a_row_that_stands_for_two_counts_as_two() {
    let one = |reward, drop_probability| {
        let unsupported = reward / 4.0;
        LoggedRound { drop_probability, unsupported, ..LoggedRound::new(reward, 0.5, 0.25) }
    };
    let weighted = [one(1.0, 0.5), one(0.0, 0.0), one(3.0, 0.75)];
    let repeated: Vec<_> = [1.0, 1.0, 0.0, 3.0, 3.0, 3.0, 3.0].iter().map(|&reward| one(reward, 0.0)).collect();
    for estimate in [OffPolicy::inverse_propensity, OffPolicy::self_normalised] {
        let [left, right] = [&weighted[..], &repeated].map(|log| estimate(&OffPolicy::new(log).unwrap()).unwrap());
        assert!((left.value - right.value).abs() < 1e-12 && (left.mean_weight - right.mean_weight).abs() < 1e-12);
        assert!((left.unsupported - right.unsupported).abs() < 1e-12, "{left:?} {right:?}");
    }
}

#[test]
fn what_needs_whole_logs_refuses_dropped_rows() {
    let mut sequence = ConfidenceSequence::new((0.0, 1.0), 0.05).unwrap();
    let before = sequence.interval();
    let dropped = LoggedRound { drop_probability: 0.5, ..LoggedRound::new(1.0, 0.5, 1.0) };
    let name = |error: Error| match error {
        Error::Parameter { name, .. } => name,
        other => unreachable!("{other}"),
    };
    assert_eq!(name(sequence.push(&dropped).unwrap_err()), "drop probability");
    assert_eq!((sequence.rounds(), sequence.interval()), (0, before));
    let mut running = RunningEstimates::new(None);
    assert_eq!(name(running.push(&dropped).unwrap_err()), "drop probability");
    assert_eq!(running.rounds(), 0);
    for drop_probability in [-0.1, 1.0, f64::NAN, 1.0 - 1e-13] {
        let row = LoggedDecision { drop_probability, ..LoggedDecision::new(vec![1.0], ArmId::new(0), 0.5, 1.0) };
        assert!(matches!(row.check(3), Err(Error::InRound { round: 3, .. })), "{drop_probability}");
        let refused = OutcomeModel::default().cross_fit(5, &vec![row; 9], &vec![vec![(ArmId::new(0), 1.0)]; 9]);
        assert!(matches!(refused, Err(Error::InRound { round: 0, .. })));
        let rounds = [LoggedRound { drop_probability, ..dropped }; 2];
        assert!(OffPolicy::new(&rounds).is_err());
    }
}

#[test]
fn many_rounded_probabilities_are_a_distribution() {
    // The probabilities of 700 arms are rounded to six digits each. Their sum misses 1 by far more than one of them
    // may.
    let rounded = (1.0f64 / 700.0 * 1e6).round() / 1e6;
    let all: Vec<_> = (0..700).map(|number| (arm(number), rounded)).collect();
    let sum: f64 = all.iter().map(|entry| entry.1).sum();
    assert!((sum - 1.0).abs() > 1e-6);
    let row = |probabilities: &[(ArmId, f64)]| LoggedDecision {
        available: Some(probabilities.iter().map(|entry| entry.0).collect()),
        probabilities: Some(probabilities.to_vec()),
        ..LoggedDecision::new(vec![1.0], arm(0), probabilities[0].1, 1.0)
    };
    row(&all).check(0).unwrap();
    // For two arms, such a sum would be an error.
    let wrong = [(arm(0), 0.5), (arm(1), 0.4999)];
    assert!(matches!(row(&wrong).check(0), Err(Error::InRound { .. })));
    // A probability of an arm that was not available is detected in any order of the arms.
    let mut foreign = row(&all);
    foreign.available.as_mut().unwrap().reverse();
    foreign.check(0).unwrap();
    foreign.available.as_mut().unwrap()[500] = arm(5000);
    assert!(matches!(foreign.check(0), Err(Error::InRound { .. })));
}
