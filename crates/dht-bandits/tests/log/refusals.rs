//! Refusals say what is wrong.

use std::fs;

use dht_bandits::{
    ArmId, Decision, Error,
    evaluation::{Evaluation, EvaluationSettings, Target},
    log::{DecisionLog, LogError, LogProblem, LogSettings, LoggedDecision},
    policy::Feedback,
};

use crate::support::{decision, read, rng};

#[test]
fn a_time_that_is_no_number_is_named_before_the_horizon() {
    let folder = tempfile::tempdir().unwrap();
    let settings = LogSettings::default().with_horizon(Some(10.0));
    let mut log = DecisionLog::open(folder.path(), settings).unwrap();
    log.append(&decision(0), None, 0.0).unwrap();
    for time in [f64::INFINITY, f64::NAN, 1e300] {
        for outcome in [log.reward(0, 1.0, time), log.feedback(0, &[Feedback::Unobserved], time)] {
            let told = outcome.unwrap_err().to_string();
            assert!(told.starts_with("cannot be logged: time is ") && told.contains("±1e100"), "{told}");
        }
    }
}

#[test]
fn a_reward_for_a_deleted_decision_is_no_late_one() {
    for (horizon, expected) in [
        (None, [LogProblem::Gone, LogProblem::Gone]),
        (Some(1000.0), [LogProblem::Gone, LogProblem::Gone]),
        (Some(2.5), [LogProblem::Late, LogProblem::Gone]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let settings = LogSettings::default().with_horizon(horizon).with_rotate_bytes(1);
        let mut log = DecisionLog::open(folder.path(), settings).unwrap();
        (0..4).for_each(|number| assert_eq!(log.append(&decision(number), None, number as f64).unwrap(), number));
        drop(log);
        (0..3).for_each(|number| fs::remove_file(folder.path().join(format!("{number:08}.jsonl"))).unwrap());
        let mut log = DecisionLog::open(folder.path(), settings).unwrap();
        // With a horizon of 2.5, decision 0 is late at time 3, and decision 2 is not. No file shows which is which.
        let problem = |log: &mut DecisionLog, id| match log.reward(id, 1.0, 3.0) {
            Err(LogError::Reward { problem, .. }) => problem,
            other => unreachable!("{other:?}"),
        };
        assert_eq!(problem(&mut log, 2), expected[1], "{horizon:?}");
        assert_eq!(problem(&mut log, 4), LogProblem::Unknown);
        if horizon != Some(2.5) {
            assert_eq!(problem(&mut log, 0), expected[0], "{horizon:?}");
        }
        // Once the clock is beyond the horizon of a later decision, all earlier decisions are late.
        log.append(&decision(4), None, 6.0).unwrap();
        assert_eq!(problem(&mut log, 0), expected[0], "{horizon:?}");
    }
    let told = LogProblem::Gone.to_string();
    assert_eq!(told, "the file that held its decision or slate was deleted");
}

#[test]
fn a_reader_without_a_horizon_finds_no_reward_late() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = DecisionLog::open(folder.path(), LogSettings::default()).unwrap();
    for number in 0..2 {
        log.append(&decision(number), None, 0.0).unwrap();
        log.reward(number, 1.0, 0.0).unwrap();
    }
    drop(log);
    let path = folder.path().join("00000000.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{text}{{\"reward\":{{\"id\":0,\"time\":1.0,\"reward\":1.0}}}}\n")).unwrap();
    let (_, errors, _) = read(folder.path(), LogSettings::default());
    let twice = LogProblem::Reward { id: 0, problem: Box::new(LogProblem::Twice) };
    assert!(matches!(&errors[..], [LogError::Line { line: 5, problem, .. }] if *problem == twice), "{errors:?}");
}

#[test]
fn probabilities_that_lack_the_chosen_arm_or_all_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = DecisionLog::open(folder.path(), LogSettings::default()).unwrap();
    let made: Decision = decision(0);
    let others: Vec<_> = (0..3).map(ArmId::new).filter(|arm| *arm != made.arm()).map(|arm| (arm, 0.5)).collect();
    let told = |outcome: Result<u64, LogError>| outcome.unwrap_err().to_string();
    let lacking = told(log.append(&made, Some(&others), 0.0));
    assert_eq!(lacking, format!("cannot be logged: there is no probability of {}, which was chosen", made.arm()));
    let none = told(log.append(&made, Some(&[]), 0.0));
    assert!(none.ends_with("not a distribution: there are none, expected one for each arm"), "{none}");
    assert_eq!(log.next_id(), 0);
}

#[test]
fn probabilities_that_do_not_sum_to_one_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = DecisionLog::open(folder.path(), LogSettings::default()).unwrap();
    let (made, arms) = (decision(0), (0..3).map(ArmId::new));
    let probabilities: Vec<_> = arms.map(|arm| (arm, if arm == made.arm() { 0.5 } else { 0.125 })).collect();
    let refused = log.append(&made, Some(&probabilities), 0.0).unwrap_err().to_string();
    assert!(refused.ends_with("not a distribution: they sum to 0.75"), "{refused}");
    assert_eq!(log.next_id(), 0);
    // Errors of a row, and of a policy that is evaluated.
    let row = LoggedDecision::new(vec![1.0], made.arm(), 0.5, 1.0);
    let problem = "they sum to 0.75".to_owned();
    let of = |what| Error::NotADistribution { what, problem: problem.clone() };
    let logged = LoggedDecision { probabilities: Some(probabilities.clone()), ..row.clone() }.check(7).unwrap_err();
    assert_eq!(logged, Error::InRound { round: 7, source: Box::new(of("the logging policy")) });
    let target = Target::new("short", |_| Ok(probabilities.clone()));
    let settings = EvaluationSettings::default().with_model(None);
    let rows = vec![row; 60];
    let refused = Evaluation::run(&rows, &[target], &settings, &mut rng(1)).unwrap_err();
    assert!(refused.to_string().contains("not a distribution: they sum to 0.75"), "{refused}");
}
