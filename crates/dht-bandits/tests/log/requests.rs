//! Requests in the log: a policy with features of arms is evaluated from its own log.

use dht_bandits::{
    ArmId, Policy, Request,
    evaluation::{Evaluation, EvaluationSettings, OutcomeModel, Target},
    exploration::SquareCb,
    log::{DecisionLog, LogError, LogProblem, LogSettings, LoggedDecision},
    policy::Hybrid,
};
use rand::RngExt;

use crate::support::{decision, read, rng};

const CLICKS: LogSettings = LogSettings::new().with_default_reward(Some(0.0));

#[test]
fn the_log_of_a_policy_with_features_of_arms_judges_others() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = DecisionLog::open(folder.path(), LogSettings::default()).unwrap();
    let mut policy = Hybrid::new(1, 2, 3, 1.0, SquareCb::new(3.0)).unwrap();
    let arms = [0, 1, 2].map(ArmId::new);
    let mut rng = rng(3);
    let mut expected = Vec::new();
    for round in 0..600_u64 {
        // Each round has three new arms with two features. The first feature determines the reward.
        let features: [f64; 6] = std::array::from_fn(|_| rng.random());
        let context = [rng.random::<f64>()];
        let request = Request::new(&context).featured(&arms, &features, 2).unwrap();
        let probabilities: Vec<_> =
            policy.propensities(&request).unwrap().iter().map(|entry| (entry.arm, entry.probability)).collect();
        let decision = policy.decide(&request, &mut rng).unwrap();
        let chosen = arms.iter().position(|arm| *arm == decision.arm()).unwrap();
        let reward = f64::from(u8::from(rng.random::<f64>() < features[2 * chosen]));
        let id = log.append_request(&request, &decision, Some(&probabilities), round as f64).unwrap();
        log.reward(id, reward, round as f64).unwrap();
        policy.learn(&decision, reward).unwrap();
        expected.push(LoggedDecision {
            available: Some(arms.to_vec()),
            probabilities: Some(probabilities.clone()),
            features: Some(features.to_vec()),
            ..LoggedDecision::new(context.to_vec(), decision.arm(), decision.choice.propensity.unwrap(), reward)
        });
    }
    let (joined, errors, _) = read(folder.path(), CLICKS);
    assert!(errors.is_empty(), "{errors:?}");
    let rows: Vec<_> = joined.into_iter().map(|entry| entry.into_row()).collect();
    assert_eq!(rows, expected);

    // The policy that always takes the largest first feature earns the mean of the largest of three numbers: ¾.
    let best = Target::new("the best", |request| {
        let first = |position: &usize| request.features(*position).unwrap()[0];
        let position = (0..3).max_by(|left, right| first(left).total_cmp(&first(right))).unwrap();
        Ok(vec![(request.ids().unwrap()[position], 1.0)])
    });
    let model = OutcomeModel::SharedLogistic { prior_precision: 1.0 };
    let settings = EvaluationSettings::default().with_model(Some(model));
    let table = Evaluation::run(&rows, &[best], &settings, &mut rng).unwrap();
    for estimator in ["SNIPS", "DM", "DR", "MRDR"] {
        let estimate = &table.row("the best", estimator).unwrap().estimate;
        assert!((estimate.value - 0.75).abs() < 0.06, "{estimator}: {}", estimate.value);
    }
}

#[test]
fn arms_are_logged_where_the_request_names_them() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = DecisionLog::open(folder.path(), LogSettings::default()).unwrap();
    let made = decision(0);
    let (context, chosen) = (made.context.clone(), made.arm());
    let [first, second] = [chosen, ArmId::new(77)];
    let problem = |result: Result<u64, LogError>| match result {
        Err(LogError::Value { problem }) => problem,
        other => unreachable!("{other:?}"),
    };
    // The request excludes some arms, and the log does not know all arms.
    let others = [second];
    let except = Request::new(&context).except(&others);
    assert!(matches!(problem(log.append_request(&except, &made, None, 0.0)), LogProblem::Missing(_)));
    // The chosen arm must be one of the available arms.
    let without = Request::new(&context).only(&others);
    assert!(matches!(problem(log.append_request(&without, &made, None, 0.0)), LogProblem::Malformed(_)));
    assert_eq!((log.next_id(), log.waiting()), (0, 0));

    let both = [first, second];
    let probability = made.choice.propensity.unwrap();
    let third = ArmId::new(78);
    let all = [(first, probability), (third, 1.0 - probability)];
    log.append_request(&Request::new(&context).only(&both), &made, None, 0.0).unwrap();
    log.append_request(&except, &made, Some(&all), 1.0).unwrap();
    log.append_request(&Request::new(&context), &made, None, 2.0).unwrap();
    (0..3).for_each(|id| log.reward(id, 1.0, 3.0).unwrap());
    let (joined, errors, _) = read(folder.path(), CLICKS);
    assert!(errors.is_empty(), "{errors:?}");
    let available: Vec<_> = joined.into_iter().map(|entry| entry.into_row().available).collect();
    assert_eq!(available, [Some(both.to_vec()), Some(vec![first, third]), None]);
}

#[test]
fn what_could_not_be_read_or_judged_again_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = DecisionLog::open(folder.path(), LogSettings::default()).unwrap();
    let good = decision(0);
    // A value that JSON cannot represent.
    for change in [
        (|bad| bad.choice.width = f64::INFINITY) as fn(&mut dht_bandits::Decision),
        |bad| bad.choice.score = f64::NAN,
        |bad| bad.choice.mean = f64::NEG_INFINITY,
    ] {
        let mut bad = good.clone();
        change(&mut bad);
        let refused = log.append(&bad, None, 0.0);
        assert!(matches!(refused, Err(LogError::Value { problem: LogProblem::NotFinite { .. } })), "{refused:?}");
    }
    // Probabilities that contradict the propensity.
    let others = [(ArmId::new(0), 0.0), (ArmId::new(1), 0.0), (ArmId::new(2), 0.0), (ArmId::new(7), 1.0)];
    assert!(matches!(log.append(&good, Some(&others), 0.0), Err(LogError::Value { .. })));
    // An arm that is listed twice.
    let arms = [good.arm(), ArmId::new(50), ArmId::new(50)];
    let request = Request::new(&good.context).featured(&arms, &[0.0; 3], 1).unwrap();
    assert!(matches!(log.append_request(&request, &good, None, 0.0), Err(LogError::Value { .. })));
    assert_eq!((log.next_id(), log.waiting()), (0, 0));
    drop(log);
    assert_eq!(DecisionLog::open(folder.path(), LogSettings::default()).unwrap().next_id(), 0);
}

#[test]
fn excluded_arms_were_not_available() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = DecisionLog::open(folder.path(), LogSettings::default()).unwrap();
    let made = decision(0);
    let without = [ArmId::new(77)];
    let probability = made.choice.propensity.unwrap();
    let all = [(made.arm(), probability), (ArmId::new(78), 1.0 - probability), (ArmId::new(77), 0.0)];
    log.append_request(&Request::new(&made.context).except(&without), &made, Some(&all), 0.0).unwrap();
    // The request excludes no arm.
    log.append_request(&Request::new(&made.context).except(&[]), &made, None, 1.0).unwrap();
    (0..2).for_each(|id| log.reward(id, 1.0, 2.0).unwrap());
    let (joined, errors, _) = read(folder.path(), CLICKS);
    assert!(errors.is_empty(), "{errors:?}");
    let available: Vec<_> = joined.into_iter().map(|entry| entry.into_row().available).collect();
    assert_eq!(available, [Some(vec![made.arm(), ArmId::new(78)]), None]);
}
