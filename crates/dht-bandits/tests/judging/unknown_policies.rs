//! Logs of unknown policies, and policies that learned from the log that judges them.

use dht_bandits::{
    ArmId, Error, LinUcb, Policy, Ridge, Ucb,
    evaluation::{
        Estimator, Evaluation, EvaluationSettings, EvaluationWarning, OffPolicy, OutcomeModel, PropensityModel, Target,
        Verdict,
    },
    log::LoggedDecision,
};
use rand::RngExt;

use crate::world::{VALUE, arm, log, rng, target};

fn better() -> Target<'static> {
    Target::new("better", |request| Ok(target(request.context)))
}

/// Log whose policy is unknown.
fn unknown(rows: usize, seed: u64) -> Vec<LoggedDecision> {
    let mut rows = log(&mut rng(seed), rows);
    rows.iter_mut().for_each(|row| row.propensity = None);
    rows
}

#[test]
fn a_log_without_propensities_is_judged_with_a_warning() {
    let rows = unknown(2000, 1);
    let table = Evaluation::run(&rows, &[better()], &EvaluationSettings::default(), &mut rng(2)).unwrap();
    assert_eq!(table.rows.len(), 2);
    let row = table.row("better", "DM").unwrap();
    assert!((row.estimate.value - VALUE).abs() < 0.05 && !row.estimate.has_interval(), "{:?}", row.estimate);
    assert_eq!(table.warnings, [EvaluationWarning::NoPropensities]);
    assert!(table.to_markdown().contains("Warning: no row has a propensity"));
    assert_eq!(table.verdict("better"), Some(Verdict::Undecided));
    // Without a model there is no estimator at all.
    let bare = EvaluationSettings::default().with_model(None);
    let refused = Evaluation::run(&rows, &[better()], &bare, &mut rng(2)).unwrap_err();
    assert!(matches!(refused, Error::NoPropensity { round: 0, .. }), "{refused}");
}

#[test]
fn estimated_propensities_judge_as_known_ones_do() {
    let (mut difference, logs) = (0.0, 20);
    for seed in 0..logs {
        let rows = unknown(1000, 100 + seed);
        let settings = EvaluationSettings::default().with_propensity_model(Some(PropensityModel::default()));
        let table = Evaluation::run(&rows, &[better()], &settings, &mut rng(2)).unwrap();
        assert_eq!(table.warnings, [EvaluationWarning::EstimatedPropensities { rows: 1000 }]);
        let known = log(&mut rng(100 + seed), 1000);
        let expected = Evaluation::run(&known, &[better()], &EvaluationSettings::default(), &mut rng(2)).unwrap();
        for estimator in ["SNIPS", "DR", "SNDR"] {
            let [ours, theirs] = [&table, &expected].map(|table| table.row("better", estimator).unwrap().estimate);
            assert!((ours.value - theirs.value).abs() < 2.0 * theirs.standard_error, "{ours:?} {theirs:?}");
            difference += (ours.value - VALUE) / 60.0;
        }
    }
    // The mean over twenty logs has a deviation of .007.
    assert!(difference.abs() < 0.025, "{difference}");
}

#[test]
fn known_propensities_stay_and_missing_ones_are_filled_in() {
    let mut rows = log(&mut rng(3), 500);
    rows.iter_mut().step_by(5).for_each(|row| row.propensity = None);
    let refused = Evaluation::run(&rows, &[better()], &EvaluationSettings::default(), &mut rng(2)).unwrap_err();
    assert!(matches!(refused, Error::NoPropensity { round: 0, .. }), "{refused}");
    let mut filled = rows.clone();
    assert_eq!(PropensityModel::default().fill(&mut filled, 5), Ok(100));
    for (position, (row, before)) in filled.iter().zip(&rows).enumerate() {
        assert_eq!(before.propensity.is_none(), position % 5 == 0);
        if before.propensity.is_some() {
            assert_eq!(row, before);
        }
        assert!(row.check(position).is_ok() && (row.propensity_error > 0.0) == (position % 5 == 0));
    }
    // The log is refused, and no row is changed.
    for (broken, folds) in [(f64::NAN, 5), (-1.0, 5), (1.0, 1), (1.0, 501)] {
        let before = rows.clone();
        assert!(PropensityModel { prior_precision: broken }.fill(&mut rows, folds).is_err());
        assert_eq!(rows, before);
    }
    rows[7].available = Some(vec![rows[7].arm]);
    rows[7].features = Some(vec![1.0]);
    let refused = PropensityModel::default().fill(&mut rows, 5).unwrap_err();
    assert!(matches!(refused, Error::InRound { round: 7, .. }), "{refused}");
}

#[test]
fn a_policy_is_refused_on_the_rows_that_it_learned() {
    let rows = log(&mut rng(4), 400);
    let (train, test) = rows.split_at(200);
    let mut policy = LinUcb::new(1, 2, Ridge::default(), Ucb { alpha: 0.0 }).unwrap();
    policy.fit(train).unwrap();
    let run = |trained_on: Option<&[LoggedDecision]>, on: &[LoggedDecision]| {
        let target = Target::from_policy("new", &policy);
        let targets = [match trained_on {
            None => target,
            // The slice need only live as long as the call.
            Some(rows) => target.trained_on(rows),
        }];
        Evaluation::run(on, &targets, &EvaluationSettings::default(), &mut rng(5)).map(|table| table.warnings)
    };
    let learned = |round| Err(Error::LearnedFromLog { policy: "new".to_owned(), round });
    assert_eq!(run(Some(train), test), Ok(vec![]));
    assert_eq!(run(Some(train), train), learned(0));
    // Overlapping slices, and copies of them.
    assert_eq!(run(Some(&rows[..250]), test), learned(0));
    assert_eq!(run(Some(train), &rows[150..]), learned(0));
    let (later, middle) = (rows[100..].to_vec(), rows[250..300].to_vec());
    assert_eq!(run(Some(train), &later), learned(0));
    assert_eq!(run(Some(&middle), test), learned(50));
    assert_eq!(run(Some(&[]), train), Ok(vec![]));
    // The rows are unknown, and the result warns about it.
    let unknown = EvaluationWarning::UnknownTraining { policy: "new".to_owned(), updates: 200 };
    assert_eq!(run(None, test), Ok(vec![unknown]));
}

#[test]
fn rows_that_only_look_alike_are_not_taken_for_the_same() {
    // With two contexts, two arms and two rewards, every row occurs hundreds of times.
    for seed in 0..20 {
        let rows = log(&mut rng(1000 + seed), 4000);
        let (train, test) = (rows[..2000].to_vec(), &rows[2000..]);
        let targets = [Target::always(arm(0)).trained_on(&train)];
        Evaluation::run(test, &targets, &EvaluationSettings::default(), &mut rng(5)).unwrap();
    }
    // A run of equal rows identifies no position.
    let row = LoggedDecision::new(vec![1.0], arm(0), 1.0, 0.0);
    let (train, test) = (vec![row.clone(); 100], vec![row; 100]);
    let targets = [Target::always(arm(0)).trained_on(&train)];
    Evaluation::run(&test, &targets, &EvaluationSettings::default(), &mut rng(5)).unwrap();
}

#[test]
fn cross_fitting_takes_the_optimism_out_of_learning() {
    // Rewards are random, whatever the policy does. Contexts are long enough to be memorised.
    let (mut by_heart, mut crossed) = (0.0, 0.0);
    for seed in 0..30 {
        let mut rng = rng(2000 + seed);
        let rows: Vec<_> = (0..150)
            .map(|_| {
                let context = (0..20).map(|_| rng.random::<f64>() - 0.5).collect();
                let reward = f64::from(u8::from(rng.random::<bool>()));
                LoggedDecision::new(context, arm(rng.random_range(0..3)), 1.0 / 3.0, reward)
            })
            .collect();
        let fresh = LinUcb::new(20, 3, Ridge::new(0.1), Ucb { alpha: 0.0 }).unwrap();
        let mut learned = fresh.clone();
        learned.fit(&rows).unwrap();
        let targets = [Target::from_policy("by heart", &learned), Target::cross_fitted("crossed", &fresh, 5).unwrap()];
        let settings = EvaluationSettings::default().with_model(None);
        let table = Evaluation::run(&rows, &targets, &settings, &mut rng).unwrap();
        by_heart += table.row("by heart", "SNIPS").unwrap().estimate.value / 30.0;
        crossed += table.row("crossed", "SNIPS").unwrap().estimate.value / 30.0;
        assert_eq!(table.warnings.len(), 1);
        assert!(Target::cross_fitted("crossed", &learned, 5).is_err());
        assert!(Target::cross_fitted("crossed", &fresh, 1).is_err());
        let all = targets[1].probabilities(&rows).unwrap();
        assert_eq!((all.len(), all[0].len()), (150, 3));
    }
    // The mean over 30 logs of about 50 matches has an error of .013.
    assert!(by_heart > 0.6 && (crossed - 0.5).abs() < 0.05, "{by_heart} {crossed}");
}

#[test]
fn an_arm_served_always_gives_no_verdict_on_others() {
    // A model served the variant that it predicted to be best in each context, and no propensity was logged.
    let mut draws = rng(6);
    let rows: Vec<_> = (0..1000)
        .map(|_| {
            let context = 2.0 * f64::from(u8::from(draws.random::<bool>())) - 1.0;
            let reward = f64::from(u8::from(draws.random::<f64>() < 0.3));
            LoggedDecision::new(vec![context], arm(usize::from(context > 0.0)), None, reward)
        })
        .collect();
    let other = Target::new("the other", |request| Ok(vec![(arm(usize::from(request.context[0] < 0.0)), 1.0)]));
    let settings = EvaluationSettings::default().with_propensity_model(Some(PropensityModel::default()));
    // The policy never takes a logged action.
    let refused = Evaluation::run(&rows, &[other], &settings, &mut rng(7)).unwrap_err();
    assert!(matches!(refused, Error::NoOverlap { .. }), "{refused}");
    let third = Target::new("mostly other", |request| {
        let logged = usize::from(request.context[0] > 0.0);
        Ok(vec![(arm(logged), 0.1), (arm(1 - logged), 0.9)])
    });
    let table = Evaluation::run(&rows, &[third], &settings, &mut rng(7)).unwrap();
    let estimate = table.row("mostly other", "IPS").unwrap().estimate;
    // The support is a tenth, and the table shows it.
    assert!((estimate.mean_weight - 0.1).abs() < 0.02, "{estimate:?}");
    assert_eq!(table.warnings, [EvaluationWarning::EstimatedPropensities { rows: 1000 }]);
}

#[test]
fn a_fit_without_contexts_finds_the_best_arm() {
    // Ten rows of a log with four arms, where arm 2 costs .1 and the others 1.
    let rows = [0, 3, 3, 2, 2, 2, 2, 1, 3, 0].map(|number| {
        let reward = if number == 2 { -0.1 } else { -1.0 };
        LoggedDecision::new(vec![], arm(number), 0.25, reward)
    });
    let with_constant = rows.clone().map(|row| LoggedDecision { context: vec![1.0], ..row });
    let mut policy = LinUcb::new(1, 4, Ridge::new(0.01), Ucb { alpha: 0.0 }).unwrap();
    policy.fit(&with_constant).unwrap();
    let all = policy.propensities(&dht_bandits::Request::new(&[1.0])).unwrap();
    assert_eq!(all[2].probability, 1.0, "{all:?}");
    // A context of another length is refused with the number of its row.
    let before = policy.state();
    let refused = policy.fit(&rows).unwrap_err();
    assert!(matches!(refused, Error::InRound { round: 0, .. }), "{refused}");
    assert_eq!(policy.state(), before);
}

#[test]
fn a_fit_equals_learning_row_by_row_or_changes_nothing() {
    let mut rows = log(&mut rng(8), 300);
    rows[5].drop_probability = 0.5;
    let fresh = LinUcb::new(1, 2, Ridge::default(), Ucb { alpha: 0.5 }).unwrap();
    let (mut fitted, mut learned) = (fresh.clone(), fresh.clone());
    fitted.fit(&rows).unwrap();
    for row in &rows {
        learned.update(row.arm, &row.context, row.reward, row.row_weight()).unwrap();
    }
    assert_eq!(fitted.state(), learned.state());
    let mut boxed: Box<dyn Policy> = Box::new(fresh.clone());
    boxed.fit(&rows).unwrap();
    assert_eq!(boxed.version(), 300);
    let wrong = [
        LoggedDecision { arm: ArmId::new(9), ..rows[7].clone() },
        LoggedDecision { reward: f64::NAN, ..rows[7].clone() },
        LoggedDecision { propensity: Some(0.0), ..rows[7].clone() },
    ];
    for row in wrong {
        let mut damaged = rows.clone();
        damaged[7] = row;
        let mut policy = fresh.clone();
        let refused = policy.fit(&damaged).unwrap_err();
        assert!(refused.to_string().contains("round 7"), "{refused}");
        assert_eq!(policy.state(), fresh.state());
    }
}

#[test]
fn a_fixed_model_gives_the_value_of_dr_for_a_policy_never_taken() {
    // In two events, another action was taken. The doubly robust value is the model's, without noise.
    let rows: Vec<_> = (0..100).map(|_| LoggedDecision::new(vec![1.0], arm(3), 0.85, 1.0)).collect();
    let rounds = OutcomeModel::default().cross_fit(2, &rows, &vec![vec![(arm(0), 1.0)]; 100]).unwrap();
    let judge = OffPolicy::new(&rounds).unwrap();
    assert!(matches!(judge.estimate(Estimator::DoublyRobust), Err(Error::NoOverlap { .. })));
}
