//! Cross-fitted models: never fitted on the rows that they predict, right if the reward is linear, and MRDR.

use dht_bandits::{
    ArmId, Error,
    evaluation::{Estimator, LoggedRound, OffPolicy, OutcomeModel},
    log::LoggedDecision,
};
use nalgebra::{Matrix2, Matrix3, Vector2, Vector3};
use rand::{Rng, RngExt};

use crate::world::{VALUE, arm, log, moments, rng, targets};

type Targets = Vec<Vec<(dht_bandits::ArmId, f64)>>;

const RIDGE: OutcomeModel = OutcomeModel::Ridge { prior_precision: 1e-6 };

#[test]
fn a_weighted_fit_is_weighted_least_squares() {
    let rows: Vec<_> = [(0.0, 1.0), (1.0, 3.0), (2.0, 2.0), (4.0, 6.0)]
        .map(|(x, reward)| LoggedDecision::new(vec![x], arm(0), 0.5, reward))
        .to_vec();
    let weights = [1.0, 2.0, 0.0, 0.5];
    let fitted = RIDGE.fit(rows.iter().zip(weights)).unwrap();
    let (mut a, mut b) = (Matrix2::zeros(), Vector2::zeros());
    for (row, weight) in rows.iter().zip(weights) {
        let x = Vector2::new(row.context[0], 1.0);
        a += x * x.transpose() * weight;
        b += x * (row.reward * weight);
    }
    let solved = a.lu().solve(&b).unwrap();
    let asked = |context: &[f64]| LoggedDecision::new(context.to_vec(), arm(0), 0.5, 0.0);
    for x in [-1.0, 0.5, 3.0] {
        let expected = solved.dot(&Vector2::new(x, 1.0));
        assert!((fitted.predict(&asked(&[x]), arm(0)).unwrap() - expected).abs() < 1e-4, "{expected}");
    }
    // (1 + 6 + 0 + 3)/3.5: the weighted mean, for an arm without data.
    assert!((fitted.predict(&asked(&[1.0]), arm(7)).unwrap() - 10.0 / 3.5).abs() < 1e-12);
    assert!(fitted.predict(&asked(&[1.0, 2.0]), arm(0)).is_err());
}

/// Rows with two new arms each, the first with the feature `z`. The reward is 1 + 2·x − z of the chosen arm, with
/// noise.
fn short_lived(rows: usize, rng: &mut impl Rng) -> Vec<LoggedDecision> {
    (0..rows)
        .map(|row| {
            let arms: [ArmId; 2] = [0, 1].map(|position| arm(2 * row + position));
            let (x, features) = (rng.random::<f64>(), [rng.random::<f64>(), rng.random::<f64>()]);
            let chosen = usize::from(rng.random::<f64>() < 0.5);
            let reward = 1.0 + 2.0 * x - features[chosen] + 0.1 * (rng.random::<f64>() - 0.5);
            LoggedDecision {
                available: Some(arms.to_vec()),
                features: Some(features.to_vec()),
                ..LoggedDecision::new(vec![x], arms[chosen], 0.5, reward)
            }
        })
        .collect()
}

#[test]
fn a_shared_model_knows_arms_by_their_features() {
    let rows = short_lived(400, &mut rng(11));
    // The policy takes the arm with the smaller feature. Its value is 1 + 2·½ − ⅓.
    let targets: Targets = rows
        .iter()
        .map(|row| {
            let [first, second] = row.available.as_ref().unwrap()[..] else { panic!("two arms") };
            let best = if row.features_of(first).unwrap() < row.features_of(second).unwrap() { first } else { second };
            vec![(best, 1.0)]
        })
        .collect();
    let value = 1.0 + 1.0 - 1.0 / 3.0;
    let direct = |model: OutcomeModel| {
        let rounds = model.cross_fit(5, &rows, &targets).unwrap();
        OffPolicy::new(&rounds).unwrap().estimate(Estimator::Direct).unwrap().value
    };
    let shared = direct(OutcomeModel::SharedRidge { prior_precision: 1e-6 });
    assert!((shared - value).abs() < 0.06, "{shared} for {value}");
    // A model for each arm has never seen the arms of another fold, and predicts the mean reward.
    let (per_arm, mean) = (direct(RIDGE), rows.iter().map(|row| row.reward).sum::<f64>() / rows.len() as f64);
    assert!((per_arm - mean).abs() < 1e-9 && value - per_arm > 0.1, "{per_arm} for {mean}");

    // Weighted least squares on context, feature and intercept.
    let fitted = OutcomeModel::SharedRidge { prior_precision: 1e-6 }.fit(rows.iter().map(|row| (row, 1.0))).unwrap();
    let (mut a, mut b) = (Matrix3::zeros(), Vector3::zeros());
    let input = |row: &LoggedDecision, arm| Vector3::new(row.context[0], row.features_of(arm).unwrap()[0], 1.0);
    for row in &rows {
        let x = input(row, row.arm);
        a += x * x.transpose();
        b += x * row.reward;
    }
    let solved = a.lu().solve(&b).unwrap();
    for (row, target) in rows.iter().zip(&targets) {
        let expected = solved.dot(&input(row, target[0].0));
        assert!((fitted.predict(row, target[0].0).unwrap() - expected).abs() < 1e-6, "{expected}");
    }
}

#[test]
fn a_shared_model_rejects_missing_features_and_unknown_arms() {
    let mut rows = short_lived(20, &mut rng(12));
    let shared = OutcomeModel::SharedLogistic { prior_precision: 1.0 };
    rows.iter_mut().for_each(|row| row.reward = f64::from(u8::from(row.reward > 1.5)));
    let targets: Targets = rows.iter().map(|row| vec![(row.arm, 1.0)]).collect();
    assert!(shared.cross_fit(5, &rows, &targets).is_ok());
    let mut other = targets.clone();
    other[7] = vec![(arm(1000), 1.0)];
    let refused = shared.cross_fit(5, &rows, &other).unwrap_err().to_string();
    assert!(refused.contains('7') && refused.contains("1000"), "{refused}");
    rows[3].features = None;
    assert!(shared.cross_fit(5, &rows, &targets).unwrap_err().to_string().contains("no features"));
    rows[3].features = Some(vec![1.0, 2.0, 3.0, 4.0]);
    assert!(matches!(shared.cross_fit(5, &rows, &targets), Err(Error::Dimension { .. } | Error::InRound { .. })));
}

#[test]
fn no_row_is_predicted_by_a_model_that_saw_it() {
    // One row has an extreme reward. Predictions of its own fold are not affected, those of the other folds are.
    let mut rows: Vec<_> = (0..20).map(|_| LoggedDecision::new(vec![1.0], arm(0), 0.5, 1.0)).collect();
    rows[3].reward = 1000.0;
    let targets = vec![vec![(arm(0), 1.0)]; 20];
    let judged = RIDGE.cross_fit(4, &rows, &targets).unwrap();
    for (position, round) in judged.iter().enumerate() {
        let prediction = round.prediction.unwrap();
        let knows = position % 4 != 3;
        assert_eq!((prediction.logged - 1.0).abs() > 1.0, knows, "{position}: {prediction:?}");
        assert_eq!(prediction.logged, prediction.expected);
    }
}

#[test]
fn cross_fitted_doubly_robust_is_unbiased_with_less_variance() {
    let mut rng = rng(5);
    let models = [(RIDGE, false), (OutcomeModel::Logistic { prior_precision: 0.1 }, false), (RIDGE, true)];
    let (mut plain, mut robust) = (Vec::new(), [Vec::new(), Vec::new(), Vec::new()]);
    let mut direct = Vec::new();
    for _ in 0..400 {
        let log = log(&mut rng, 300);
        let targets = targets(&log);
        let without = LoggedRound::from_log(&log, &targets).unwrap();
        plain.push(OffPolicy::new(&without).unwrap().inverse_propensity().unwrap().value);
        for ((model, more_robust), values) in models.into_iter().zip(&mut robust) {
            let fit = if more_robust { OutcomeModel::cross_fit_mrdr } else { OutcomeModel::cross_fit };
            let rounds = fit(model, 5, &log, &targets).unwrap();
            let judge = OffPolicy::new(&rounds).unwrap();
            values.push(judge.doubly_robust().unwrap().value);
            if !more_robust && values.len() > direct.len() {
                direct.push(judge.direct().unwrap().value);
            }
        }
    }
    let (_, plain_spread) = moments(&plain);
    for values in &robust {
        let (mean, spread) = moments(values);
        assert!((mean - VALUE).abs() < 5.0 * spread / 20.0, "{mean}");
        assert!(spread < 0.9 * plain_spread, "{spread} {plain_spread}");
    }
    // The reward is linear in the context for each arm, so that the direct method is right as well.
    assert!((moments(&direct).0 - VALUE).abs() < 0.01);
}

#[test]
fn more_robust_fits_lower_the_variance_where_the_model_is_wrong() {
    // The reward of one arm is a parabola. The evaluated policy plays this arm where the logging policy hardly does. A
    // line that is fitted where the log is dense is wrong where the policy plays.
    use rand::RngExt;
    let mut rng = rng(6);
    let mut values = [Vec::new(), Vec::new()];
    for _ in 0..600 {
        let (mut log, mut targets) = (Vec::new(), Vec::new());
        for _ in 0..400 {
            let x = rng.random::<f64>() * 2.0 - 1.0;
            let often = if x < 0.5 { 0.9 } else { 0.1 };
            let one = rng.random::<f64>() < often;
            let reward = if one { 4.0 * x * x } else { 0.0 } + rng.random::<f64>() - 0.5;
            let propensity = if one { often } else { 1.0 - often };
            log.push(LoggedDecision::new(vec![x], arm(usize::from(one)), propensity, reward));
            targets.push(vec![(arm(usize::from(x > 0.5)), 1.0)]);
        }
        let fitted = [RIDGE.cross_fit(2, &log, &targets), RIDGE.cross_fit_mrdr(2, &log, &targets)];
        for (rounds, values) in fitted.map(Result::unwrap).into_iter().zip(&mut values) {
            values.push(OffPolicy::new(&rounds).unwrap().doubly_robust().unwrap().value);
        }
    }
    // Arm 1 is played from x > ½. E 4x² there is ∫_{.5}^1 4x²/2 = 7/12.
    let spreads = values.each_ref().map(|values| {
        let (mean, spread) = moments(values);
        assert!((mean - 7.0 / 12.0).abs() < 5.0 * spread / 600f64.sqrt(), "{mean}");
        spread
    });
    assert!(spreads[1] < 0.7 * spreads[0], "{spreads:?}");
}

#[test]
fn logs_that_cannot_be_judged_are_refused_with_the_round() {
    let good = log(&mut rng(7), 10);
    let targets = targets(&good);
    let fit = OutcomeModel::default();
    let refuse = |change: &dyn Fn(&mut Vec<LoggedDecision>, &mut Targets)| {
        let (mut log, mut targets) = (good.clone(), targets.clone());
        change(&mut log, &mut targets);
        fit.cross_fit(5, &log, &targets).unwrap_err()
    };
    for propensity in [0.0, -0.5, 1.5, f64::NAN] {
        let error = refuse(&|log, _| log[4].propensity = Some(propensity));
        assert!(matches!(error, Error::Propensity { round: 4, .. }), "{error}");
    }
    assert!(matches!(refuse(&|log, _| log[4].reward = f64::NAN), Error::InRound { round: 4, .. }));
    assert!(matches!(refuse(&|log, _| log[4].context = vec![f64::INFINITY]), Error::InRound { round: 4, .. }));
    assert!(matches!(
        refuse(&|log, _| log[4].context = vec![1.0, 2.0]),
        Error::InRound { .. } | Error::Dimension { .. }
    ));
    assert!(matches!(refuse(&|_, targets| targets[4][0].1 = 0.9), Error::InRound { round: 4, .. }));
    assert!(matches!(refuse(&|_, targets| drop(targets.pop())), Error::Dimension { what: "targets", .. }));
    let available = refuse(&|log, _| log[4].available = Some(vec![arm(5)]));
    assert!(matches!(available, Error::InRound { round: 4, .. }));
    let too_few = fit.cross_fit(1, &good, &targets).unwrap_err();
    assert!(matches!(too_few, Error::Parameter { name: "folds", .. }));
    let outside = OutcomeModel::Logistic { prior_precision: 1.0 };
    let mut log = good.clone();
    log[4].reward = 2.0;
    assert!(matches!(outside.cross_fit(5, &log, &targets), Err(Error::Reward { .. })));
}

#[test]
fn items_with_fresh_ids_are_not_unsupported() {
    // Each row has two items with new ids. The log takes the first, the policy the second.
    let mut rng = rng(14);
    let mut rows = short_lived(300, &mut rng);
    let judge = |rows: &[LoggedDecision]| {
        let second = |row: &LoggedDecision| row.available.as_ref().unwrap()[1];
        let targets: Targets = rows.iter().map(|row| vec![(row.arm, 0.25), (second(row), 0.75)]).collect();
        LoggedRound::from_log(rows, &targets).unwrap().iter().map(|round| round.unsupported).sum::<f64>()
            / rows.len() as f64
    };
    for (number, row) in rows.iter_mut().enumerate() {
        let items = [2 * number, 2 * number + 1].map(arm);
        (row.arm, row.available, row.features) = (items[0], Some(items.to_vec()), Some(vec![1.0, 2.0]));
    }
    assert_eq!(judge(&rows), 0.0);
    // Each row has the same two items. The second was often available, and never chosen.
    for row in &mut rows {
        (row.arm, row.available) = (arm(0), Some(vec![arm(0), arm(1)]));
    }
    assert_eq!(judge(&rows), 0.75);
    // In four rows, a uniform policy may well omit it.
    assert_eq!(judge(&rows[..4]), 0.0);
}

#[test]
fn arms_that_could_not_be_chosen_are_unsupported() {
    let mut rng = rng(13);
    let mut rows = short_lived(30, &mut rng);
    // One arm occurs throughout the log, but not in each row.
    for (number, row) in rows.iter_mut().enumerate() {
        row.features = None;
        row.arm = arm(number % 3);
        row.available = Some(if number % 3 == 0 { vec![arm(0), arm(1)] } else { vec![arm(1), arm(2)] });
    }
    let targets: Targets = vec![vec![(arm(0), 0.25), (arm(1), 0.75)]; 30];
    let judged = LoggedRound::from_log(&rows, &targets).unwrap();
    for (number, round) in judged.iter().enumerate() {
        assert_eq!(round.unsupported, if number % 3 == 0 { 0.0 } else { 0.25 }, "{number}");
    }
    // A policy that almost never takes the logged action has no estimate.
    let never: Targets = vec![vec![(arm(0), 1e-60), (arm(1), 1e-60), (arm(2), 1e-60), (arm(9), 1.0)]; 30];
    let refused =
        OffPolicy::new(&LoggedRound::from_log(&rows, &never).unwrap()).unwrap().estimate(Estimator::SelfNormalised);
    assert!(matches!(refused, Err(Error::NoOverlap { .. })), "{refused:?}");
}
