//! Tables of all estimates, support, and replay.

use dht_bandits::{
    Error, LinUcb, Policy, Ridge, Ucb,
    evaluation::{Evaluation, EvaluationSettings, OutcomeModel, Replay, Target},
    log::LoggedDecision,
    policy::{Hybrid, Uniform},
    simulation::{Curve, Environment, GlmEnvironment},
};
use rand::RngExt;

use crate::world::{VALUE, arm, log, moments, rng, target};

#[test]
fn one_table_has_every_estimate_of_every_policy() {
    let mut rng = rng(1);
    let log = log(&mut rng, 4000);
    let targets = [Target::new("better", |request| Ok(target(request.context))), Target::always(arm(0))];
    let settings = EvaluationSettings::default()
        .with_model(Some(OutcomeModel::Logistic { prior_precision: 1.0 }))
        .with_resamples(100)
        .with_reward_range(Some((0.0, 1.0)));
    let table = Evaluation::run(&log, &targets, &settings, &mut rng).unwrap();
    // ½·.2 + ½·.6 for arm 0.
    for (policy, value) in [("better", VALUE), ("always arm 0", 0.4)] {
        for estimator in ["IPS", "SNIPS", "clipped IPS", "DM", "DR", "SNDR", "switch-DR", "DRos", "MRDR"] {
            let row = table.row(policy, estimator).unwrap();
            assert!((row.estimate.value - value).abs() < 0.06, "{policy} {estimator}: {:?}", row.estimate);
            // A log cannot show whether a model is right, so that a right model counts as biased as well.
            let stated = ["IPS", "SNIPS", "DR", "SNDR"].contains(&estimator);
            assert_eq!((row.estimate.has_interval(), row.bootstrap.is_some()), (stated, stated), "{estimator}");
            assert!(row.bootstrap.as_ref().is_none_or(|interval| interval.contains(&row.estimate.value)));
            assert_eq!(row.sequence.is_some(), estimator == "IPS");
            assert_eq!(row.estimate.unsupported, 0.0);
        }
        assert!(table.row(policy, "IPS").unwrap().sequence.as_ref().unwrap().contains(&value));
    }
    let own = table.row("(the log)", "mean").unwrap();
    let mean = log.iter().map(|row| row.reward).sum::<f64>() / 4000.0;
    assert!((own.estimate.value - mean).abs() < 1e-12);
    // The value of a policy that learns is not a fixed value.
    assert!(own.sequence.is_none());
    let text = table.to_markdown();
    assert_eq!(text.lines().count(), 2 + 1 + 2 * 9);
    let bare = EvaluationSettings::default().with_model(None);
    assert_eq!(Evaluation::run(&log, &targets, &bare, &mut rng).unwrap().rows.len(), 1 + 2 * 3);
}

#[test]
fn drift_invalidates_anytime_intervals() {
    let reward = |round: usize| if round.is_multiple_of(10) == (round < 2000) { 1.0 } else { 0.0 };
    let log: Vec<_> = (0..4000).map(|round| LoggedDecision::new(vec![], arm(0), 1.0, reward(round))).collect();
    let settings = EvaluationSettings::default().with_model(None).with_reward_range(Some((0.0, 1.0)));
    let table = Evaluation::run(&log, &[Target::always(arm(0))], &settings, &mut rng(1)).unwrap();
    assert!(table.row("always arm 0", "IPS").unwrap().sequence.as_ref().unwrap().is_empty());
    assert_eq!(table.to_markdown().matches("| empty |").count(), 1);
}

#[test]
fn choices_that_the_log_never_makes_are_counted_as_unsupported() {
    let mut rng = rng(2);
    let mut log = log(&mut rng, 500);
    let half = |_: &dht_bandits::Request<'_>| Ok(vec![(arm(0), 0.25), (arm(9), 0.75)]);
    let targets = [Target::new("bold", half)];
    let table = Evaluation::run(&log, &targets, &EvaluationSettings::default(), &mut rng).unwrap();
    let estimate = table.row("bold", "IPS").unwrap().estimate;
    assert_eq!(estimate.unsupported, 0.75);
    assert!((estimate.mean_weight - 0.25).abs() < 0.05);
    // If all probabilities are logged, support is known for each row.
    for (position, row) in log.iter_mut().enumerate() {
        let other = if position % 2 == 0 { 9 } else { 8 };
        let propensity = row.propensity.unwrap();
        row.probabilities = Some(vec![(row.arm, propensity), (arm(other), 1.0 - propensity)]);
    }
    let table = Evaluation::run(&log, &targets, &EvaluationSettings::default().with_model(None), &mut rng).unwrap();
    let unsupported = table.row("bold", "SNIPS").unwrap().estimate.unsupported;
    let expected: f64 = log
        .iter()
        .enumerate()
        .map(|(position, row)| {
            (if position % 2 == 0 { 0.0 } else { 0.75 }) + if row.arm == arm(0) { 0.0 } else { 0.25 }
        })
        .sum::<f64>()
        / 500.0;
    assert!((unsupported - expected).abs() < 1e-12, "{unsupported} {expected}");
}

#[test]
fn a_refusal_of_a_policy_names_the_round() {
    let mut rng = rng(3);
    let log = log(&mut rng, 50);
    let policy = LinUcb::new(2, 2, Ridge::default(), Ucb { alpha: 0.0 }).unwrap();
    let of_policy = |request: &dht_bandits::Request<'_>| {
        policy.score(arm(0), request.context)?;
        Ok(vec![(arm(0), 1.0)])
    };
    let refused = Evaluation::run(&log, &[Target::new("other", of_policy)], &EvaluationSettings::default(), &mut rng);
    assert!(matches!(refused, Err(Error::InRound { round: 0, .. })), "{refused:?}");
}

/// Log of a linear environment, drawn uniformly or with propensities that depend on the context.
fn linear_log(
    rows: usize,
    uniform: bool,
    rng: &mut rand_chacha::ChaCha8Rng,
    world: &mut GlmEnvironment,
) -> Vec<LoggedDecision> {
    (0..rows)
        .map(|_| {
            world.advance(rng);
            let context = world.context().to_vec();
            let first = if uniform { 0.5 } else { 0.3 + 0.4 * f64::from(u8::from(context[0] > 0.0)) };
            let number = usize::from(rng.random::<f64>() >= first);
            let reward = world.reward(arm(number), rng);
            LoggedDecision::new(context, arm(number), if number == 0 { first } else { 1.0 - first }, reward)
        })
        .collect()
}

#[test]
fn replay_of_a_policy_that_does_not_learn_estimates_its_value() {
    for uniform in [true, false] {
        let mut rng = rng(4);
        let (mut values, mut acceptance) = (Vec::new(), Vec::new());
        for _ in 0..300 {
            let log = log(&mut rng, 400);
            let log: Vec<_> = log.into_iter().filter(|_| true).collect();
            let mut policy = Uniform::new(1, 2).unwrap();
            let least = if uniform { None } else { Some(0.3) };
            let outcome = Replay::run(&mut policy, &log, least, &mut rng).unwrap();
            values.push(outcome.estimate.value);
            acceptance.push(outcome.acceptance);
            assert_eq!(outcome.rewards.len(), outcome.estimate.rounds);
        }
        // Uniform: ½(.2 + .8)/2 + ½(.6 + .4)/2 = ½; accepted with p_min = .3 in both arms.
        let (mean, spread) = moments(&values);
        assert!((mean - 0.5).abs() < 5.0 * spread / 300f64.sqrt(), "{mean}");
        assert!((moments(&acceptance).0 - 0.3).abs() < 0.01);
    }
}

#[test]
fn a_replayed_learning_curve_is_the_curve_of_a_policy_that_ran() {
    let policy = || LinUcb::new(3, 2, Ridge::default(), Ucb { alpha: 0.5 }).unwrap();
    let (mut ran, mut replayed) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    for seed in 0..300 {
        let mut rng = rng(1000 + seed);
        let mut world = GlmEnvironment::linear(3, 2, 0.5, &mut self::rng(7)).unwrap();
        let log = linear_log(400, seed % 2 == 0, &mut rng, &mut world);
        let least = if seed % 2 == 0 { 0.5 } else { 0.3 };
        let outcome = Replay::run(&mut policy(), &log, Some(least), &mut rng).unwrap();
        assert!((outcome.acceptance - least).abs() < 0.15, "{}", outcome.acceptance);
        assert_eq!(outcome.learning_curve(4).len(), 4);
        let curve = Curve::run(&mut policy(), &mut world, 60, &mut rng).unwrap();
        for (part, (from, to)) in [(0usize, 20usize), (20, 60)].into_iter().enumerate() {
            let mean = |sums: &[f64]| (sums[to - 1] - if from > 0 { sums[from - 1] } else { 0.0 }) / (to - from) as f64;
            ran[part].push(mean(&curve.reward));
            replayed[part].push(mean(&outcome.rewards));
        }
    }
    for (ran, replayed) in ran.iter().zip(&replayed) {
        let ((mean, spread), (other, other_spread)) = (moments(ran), moments(replayed));
        let error = (spread * spread + other_spread * other_spread).sqrt() / 300f64.sqrt();
        assert!((mean - other).abs() < 4.0 * error, "{mean} {other} ± {error}");
    }
    // The policy learns, so that the second part is better than the first.
    assert!(moments(&replayed[1]).0 > moments(&replayed[0]).0 + 0.05);
}

#[test]
fn replay_refuses_a_bound_that_the_log_breaks() {
    let mut rng = rng(5);
    let log = log(&mut rng, 100);
    let mut policy = Uniform::new(1, 2).unwrap();
    for least in [0.5, 0.0, -1.0, f64::NAN] {
        let refused = Replay::run(&mut policy, &log, Some(least), &mut rng);
        assert!(matches!(refused, Err(Error::Parameter { name: "least propensity", .. })), "{refused:?}");
    }
    assert!(matches!(Replay::run(&mut policy, &[], None, &mut rng), Err(Error::TooFewObservations { .. })));
}

#[test]
fn arms_that_a_policy_lacks_it_is_judged_never_to_choose() {
    let mut rng = rng(6);
    // Three arms are available, and the third pays nothing. The policy has arms 0 and 1, and removed arm 2.
    let probabilities = [0.5, 0.3, 0.2];
    let offered: Vec<_> = (0..3).chain([7]).map(arm).collect();
    let mut log = Vec::new();
    for _ in 0..4000 {
        let draw = rng.random::<f64>();
        let chosen = if draw < 0.5 { 0 } else { 1 + usize::from(draw >= 0.8) };
        let reward = f64::from(u8::from(rng.random::<f64>() < [0.2, 0.6, 0.0][chosen]));
        let row = LoggedDecision::new(vec![1.0], arm(chosen), probabilities[chosen], reward);
        log.push(LoggedDecision { available: Some(offered.clone()), ..row });
    }
    let mut policy = Uniform::new(1, 3).unwrap();
    policy.remove_arm(arm(2)).unwrap();
    let bare = EvaluationSettings::default().with_model(None);
    let table = Evaluation::run(&log, &[Target::from_policy("smaller", &policy)], &bare, &mut rng).unwrap();
    // The value is ½·.2 + ½·.6, and the log supports all choices of the policy.
    let estimate = table.row("smaller", "IPS").unwrap().estimate;
    assert!((estimate.value - 0.4).abs() < 3.0 * estimate.standard_error, "{estimate:?}");
    assert!((estimate.mean_weight - 1.0).abs() < 0.06 && estimate.unsupported == 0.0, "{estimate:?}");
    let probabilities = Target::from_policy("smaller", &policy).probabilities(&log[..1]).unwrap();
    assert_eq!(probabilities, [[(arm(0), 0.5), (arm(1), 0.5)]]);
    // The result is the same with features, whose rows follow their arms.
    let shares = Target::from_policy("hybrid", &Hybrid::new(1, 1, 2, 1.0, Ucb { alpha: 0.0 }).unwrap())
        .probabilities(&[LoggedDecision { features: Some(vec![0.1, 0.2, 0.3, 0.4]), ..log[0].clone() }])
        .map(|all| all[0].iter().map(|entry| entry.0).collect::<Vec<_>>());
    assert_eq!(shares.unwrap(), [arm(0), arm(1)]);
    // The policy has none of the available arms, so that no answer is right.
    log[9].available = Some(vec![arm(2), arm(7)]);
    (log[9].arm, log[9].reward) = (arm(2), 0.0);
    match Evaluation::run(&log, &[Target::from_policy("smaller", &policy)], &bare, &mut rng).unwrap_err() {
        Error::InRound { round: 9, source } => assert_eq!(*source, Error::RemovedArm { arm: arm(2) }),
        other => panic!("{other:?}"),
    }
}

#[test]
fn policies_to_be_judged_have_names_of_their_own() {
    let mut rng = rng(7);
    let log = log(&mut rng, 50);
    let same = |names: [&str; 2], rng: &mut rand_chacha::ChaCha8Rng| {
        let targets = names.map(|name| Target::new(name, |request| Ok(target(request.context))));
        match Evaluation::run(&log, &targets, &EvaluationSettings::default().with_model(None), rng) {
            Err(Error::DuplicateName { name, .. }) => Some(name),
            other => {
                other.unwrap();
                None
            }
        }
    };
    assert_eq!(same(["new", "new"], &mut rng).as_deref(), Some("new"));
    assert_eq!(same(["(the log)", "new"], &mut rng).as_deref(), Some("(the log)"));
    assert_eq!(same(["new", "newer"], &mut rng), None);
}

#[test]
fn probabilities_of_arms_that_could_not_be_chosen_are_refused() {
    let mut row = LoggedDecision::new(vec![1.0], arm(0), 0.5, 1.0);
    row.available = Some(vec![arm(0), arm(1)]);
    row.probabilities = Some(vec![(arm(0), 0.5), (arm(7), 0.5)]);
    let refused = row.check(3).unwrap_err().to_string();
    assert!(refused.contains("logged round 3") && refused.contains("could not be chosen"), "{refused}");
    row.probabilities = Some(vec![(arm(0), 0.5), (arm(1), 0.5), (arm(7), 0.0)]);
    row.check(3).unwrap();
}

#[test]
fn replay_skips_rounds_whose_logged_arm_the_policy_lacks() {
    let (mut draws, arms) = (rng(8), [0, 1, 2].map(arm));
    let means = [0.2, 0.5, 0.9];
    let rows: Vec<_> = (0..6000)
        .map(|round| {
            let chosen = draws.random_range(0..3);
            let reward = f64::from(u8::from(draws.random::<f64>() < means[chosen]));
            let row = LoggedDecision::new(vec![1.0], arm(chosen), 1.0 / 3.0, reward);
            // Half of the rows list the available arms.
            LoggedDecision { available: (round % 2 == 0).then(|| arms.to_vec()), ..row }
        })
        .collect();
    let logged = rows.iter().filter(|row| row.arm == arm(2)).count();
    let mut policy = Uniform::new(1, 3).unwrap();
    policy.remove_arm(arm(2)).unwrap();
    let outcome = Replay::run(&mut policy, &rows, None, &mut draws).unwrap();
    assert_eq!(outcome.lacking, logged);
    // The value is half of what arms 0 and 1 earn, from about a third of the log.
    assert!((outcome.estimate.value - 0.35).abs() < 0.05, "{:?}", outcome.estimate);
    assert!((outcome.acceptance - 1.0 / 3.0).abs() < 0.03, "{}", outcome.acceptance);
    // With all arms, no row is lacking. A row with none of the policy's arms is skipped.
    assert_eq!(Replay::run(&mut Uniform::new(1, 3).unwrap(), &rows, None, &mut draws).unwrap().lacking, 0);
    let foreign = LoggedDecision { available: Some(vec![arm(2)]), ..LoggedDecision::new(vec![1.0], arm(2), 0.5, 1.0) };
    let mixed = [rows, vec![foreign; 3]].concat();
    assert_eq!(Replay::run(&mut policy, &mixed, None, &mut draws).unwrap().lacking, logged + 3);
}
