//! Pseudo-inverse estimator, checked by enumeration.

use dht_bandits::{
    ArmId, Error, Request, Ridge,
    evaluation::{Estimate, LoggedRound, OffPolicy, PseudoInverse},
    exploration::EpsilonGreedy,
    log::{LoggedSlate, ShownArm},
    policy::{ArmFeedback, Feedback, TopK},
};
use rand::RngExt;

use crate::world::{arm, moments, rng};

type Slates = Vec<(Vec<ArmId>, f64)>;

/// All rankings of two of four arms, with uneven probabilities.
fn rankings(tilt: f64) -> Slates {
    let mut all = Vec::new();
    for first in 0..4usize {
        for second in (0..4usize).filter(|second| *second != first) {
            all.push((vec![arm(first), arm(second)], 1.0 + tilt * (first * 2 + second) as f64));
        }
    }
    let sum: f64 = all.iter().map(|entry| entry.1).sum();
    all.into_iter().map(|(slate, share)| (slate, share / sum)).collect()
}

/// Reward that is a sum of effects, each of an arm at a position.
fn reward(slate: &[ArmId]) -> f64 {
    let effect = |(position, arm): (usize, &ArmId)| {
        [[0.3, 1.0, -0.5, 0.2], [0.1, 0.4, 0.9, -0.7]][position][arm.number() as usize]
    };
    slate.iter().enumerate().map(effect).sum()
}

#[test]
fn it_is_unbiased_for_rewards_that_are_sums_over_positions() {
    let (logging, target) = (rankings(0.2), vec![(vec![arm(3), arm(1)], 0.7), (vec![arm(1), arm(2)], 0.3)]);
    let pseudo_inverse = PseudoInverse::new(&logging).unwrap();
    let value: f64 = target.iter().map(|(slate, share)| share * reward(slate)).sum();
    let weights: Vec<_> = logging.iter().map(|(slate, _)| pseudo_inverse.weight(&target, slate).unwrap()).collect();
    let expected: f64 =
        logging.iter().zip(&weights).map(|((slate, share), weight)| share * weight * reward(slate)).sum();
    assert!((expected - value).abs() < 1e-10, "{expected} {value}");
    let mean: f64 = logging.iter().zip(&weights).map(|((_, share), weight)| share * weight).sum();
    assert!((mean - 1.0).abs() < 1e-10, "{mean}");
    // If the logging policy is evaluated on its own log, every slate has weight 1.
    for (slate, _) in &logging {
        assert!((pseudo_inverse.weight(&logging, slate).unwrap() - 1.0).abs() < 1e-10);
    }
}

#[test]
fn with_independent_positions_the_matrix_gives_the_closed_form() {
    let (logging_shares, target_shares) = ([[0.5, 0.3, 0.2], [0.1, 0.6, 0.3]], [[0.2, 0.2, 0.6], [0.8, 0.1, 0.1]]);
    let product = |shares: [[f64; 3]; 2]| -> Slates {
        (0..9).map(|pair| (vec![arm(pair / 3), arm(pair % 3)], shares[0][pair / 3] * shares[1][pair % 3])).collect()
    };
    let (logging, target) = (product(logging_shares), product(target_shares));
    let pseudo_inverse = PseudoInverse::new(&logging).unwrap();
    let mut slates = Vec::new();
    let mut rounds = Vec::new();
    for (slate, _) in &logging {
        let entries = [0, 1].map(|position| {
            let number = slate[position].number() as usize;
            let (propensity, target) = (logging_shares[position][number], target_shares[position][number]);
            LoggedRound::new(0.5 * reward(slate), propensity, target)
        });
        let closed = 1.0 + entries.iter().map(|entry| entry.weight().unwrap() - 1.0).sum::<f64>();
        let weight = pseudo_inverse.weight(&target, slate).unwrap();
        assert!((weight - closed).abs() < 1e-10, "{weight} {closed}");
        slates.push(entries.to_vec());
        rounds.push((weight, reward(slate)));
    }
    let (left, right) = (
        OffPolicy::from_slates(&slates).unwrap().pseudo_inverse().unwrap(),
        Estimate::from_weights(&rounds, false).unwrap(),
    );
    assert!((left.value - right.value).abs() < 1e-10 && (left.standard_error - right.standard_error).abs() < 1e-10);
}

#[test]
fn its_variance_is_far_below_that_of_slates_as_arms() {
    let (logging, target) = (rankings(0.0), vec![(vec![arm(1), arm(2)], 1.0)]);
    let pseudo_inverse = PseudoInverse::new(&logging).unwrap();
    let value = reward(&target[0].0);
    let mut rng = rng(1);
    let mut values = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..500 {
        let (mut by_position, mut whole) = (Vec::new(), Vec::new());
        for _ in 0..200 {
            let (slate, share) = &logging[rng.random_range(0..logging.len())];
            let reward = reward(slate) + rng.random::<f64>() - 0.5;
            by_position.push((pseudo_inverse.weight(&target, slate).unwrap(), reward));
            whole.push((if slate == &target[0].0 { 1.0 / share } else { 0.0 }, reward));
        }
        values[0].push(Estimate::from_weights(&by_position, false).unwrap().value);
        values[1].push(Estimate::from_weights(&by_position, true).unwrap().value);
        values[2].push(Estimate::from_weights(&whole, false).unwrap().value);
    }
    let spreads = values.each_ref().map(|values| {
        let (mean, spread) = moments(values);
        assert!((mean - value).abs() < 5.0 * spread / 500f64.sqrt() + 0.01, "{mean} {value}");
        spread
    });
    assert!(spreads[0] < 0.75 * spreads[2] && spreads[1] < spreads[0], "{spreads:?}");
}

#[test]
fn what_the_logging_policy_says_nothing_of_is_refused() {
    let logging = rankings(0.1);
    let pseudo_inverse = PseudoInverse::new(&logging).unwrap();
    let unseen = [(vec![arm(1), arm(9)], 1.0)];
    let refused = pseudo_inverse.weight(&unseen, &logging[0].0).unwrap_err();
    assert_eq!(refused, Error::NoOverlap { position: 1, weights: 0.0 });
    // With only two possible slates, the log gives no evidence about mixtures of them.
    let two: Slates = vec![(vec![arm(0), arm(1)], 0.5), (vec![arm(2), arm(3)], 0.5)];
    let pseudo_inverse = PseudoInverse::new(&two).unwrap();
    let mixed = [(vec![arm(0), arm(3)], 1.0)];
    assert_eq!(pseudo_inverse.weight(&mixed, &two[0].0).unwrap_err(), Error::NoOverlap { position: 0, weights: 0.0 });
    assert!((pseudo_inverse.weight(&[(two[0].0.clone(), 1.0)], &two[0].0).unwrap() - 2.0).abs() < 1e-10);
    assert!(PseudoInverse::new(&[(vec![arm(0)], 0.5)]).is_err());
    assert!(PseudoInverse::new(&[(vec![], 1.0)]).is_err());
    assert!(PseudoInverse::new(&[(vec![arm(0)], 0.5), (vec![arm(0), arm(1)], 0.5)]).is_err());
    assert!(Estimate::from_weights(&[(1.0, 1.0), (f64::NAN, 1.0)], false).is_err());
    assert!(Estimate::from_weights(&[(1.0, 1.0), (-1.0, 1.0)], true).is_err());
}

/// Shows two of four items at random, in either order. The reward is a sum over items.
fn logged_pairs(count: usize, seed: u64) -> Vec<LoggedSlate> {
    let mut rng = rng(seed);
    (0..count)
        .map(|_| {
            let first = rng.random_range(0..4usize);
            let second = (first + rng.random_range(1..4usize)) % 4;
            let shown = [first, second].map(|item| {
                let reward = PAYS[item] + rng.random::<f64>() - 0.5;
                ShownArm { arm: arm(item), propensity: Some(0.5), feedback: Feedback::Observed(reward) }
            });
            LoggedSlate { context: vec![1.0], shown: shown.to_vec(), ..LoggedSlate::default() }
        })
        .collect()
}

const PAYS: [f64; 4] = [0.1, 0.9, 0.4, 0.2];

#[test]
fn only_the_closed_form_is_biased_on_slates_without_repetition() {
    let mut target = TopK::<Ridge, _>::per_arm(1, 4, Ridge::default(), EpsilonGreedy::new(0.2)).unwrap();
    for item in [1, 2] {
        target.update_batch(&[ArmFeedback::new(arm(item), &[1.0], Feedback::Observed(1.0 + item as f64))]).unwrap();
    }
    let shown = target.slate_propensities(2, &Request::new(&[1.0])).unwrap();
    let truth: f64 = shown.iter().map(|entry| entry.probability * PAYS[entry.arm.number() as usize]).sum();
    let logging: f64 = 0.5 * PAYS.iter().sum::<f64>();
    let log = logged_pairs(40_000, 3);
    let rounds = LoggedRound::from_slates(&log, &target).unwrap();
    let judge = OffPolicy::from_slates(&rounds).unwrap();
    let near = |estimate: Estimate, expected: f64| {
        let away = (estimate.value - expected).abs() / estimate.standard_error;
        assert!(away < 4.0, "{estimate:?} {expected}");
    };
    near(judge.independent().unwrap(), truth);
    near(judge.pooled_self_normalised().unwrap(), truth);
    // The estimate has (n − k)/(n − 1) = 2/3 of the covariance that independent positions would have.
    let closed = judge.pseudo_inverse().unwrap();
    near(closed, logging + 2.0 / 3.0 * (truth - logging));
    assert!((closed.value - truth).abs() > 8.0 * closed.standard_error, "{closed:?} {truth}");
    // The matrix accounts for slates without repeated items. From the total rewards alone, it gives the true value.
    let pairs = |of: &dyn Fn(usize, usize) -> f64| -> Slates {
        let all = (0..16).map(|pair| (pair / 4, pair % 4)).filter(|(first, second)| first != second);
        all.map(|(first, second)| (vec![arm(first), arm(second)], of(first, second))).collect()
    };
    let pseudo_inverse = PseudoInverse::new(&pairs(&|_, _| 1.0 / 12.0)).unwrap();
    // The ranking is item 2, then 1, then 0 and 3 tied. Each position explores with .2.
    let best = |left: &[usize]| {
        let top = [2, 1].into_iter().find(|item| left.contains(item));
        let count = left.len() as f64;
        left.iter().map(|&item| (item, 0.2 / count + if Some(item) == top { 0.8 } else { 0.0 })).collect::<Vec<_>>()
    };
    let by_position = pairs(&|first, second| {
        let left: Vec<_> = (0..4).filter(|item| *item != first).collect();
        let of = |all: Vec<(usize, f64)>, item| all.into_iter().find(|entry| entry.0 == item).unwrap().1;
        of(best(&[0, 1, 2, 3]), first) * of(best(&left), second)
    });
    let weighted: Vec<_> = log
        .iter()
        .map(|slate| {
            let arms: Vec<_> = slate.shown.iter().map(|entry| entry.arm).collect();
            let reward = slate.shown.iter().map(ShownArm::reward).sum();
            (pseudo_inverse.weight(&by_position, &arms).unwrap(), reward)
        })
        .collect();
    near(Estimate::from_weights(&weighted, false).unwrap(), truth);
}

#[test]
fn the_closed_form_is_unbiased_for_independent_positions() {
    let (shares, targets) = ([[0.5, 0.3, 0.2], [0.1, 0.6, 0.3]], [[0.2, 0.2, 0.6], [0.8, 0.1, 0.1]]);
    let effects = [[0.3, 1.0, -0.5], [0.1, 0.4, 0.9]];
    let mut rng = rng(5);
    let mut drawn = |position: usize| {
        let draw: f64 = rng.random();
        let item = if draw < shares[position][0] { 0 } else { 1 + usize::from(draw >= 1.0 - shares[position][2]) };
        let noise = rng.random::<f64>() - 0.5;
        LoggedRound::new(effects[position][item] + noise, shares[position][item], targets[position][item])
    };
    let slates: Vec<_> = (0..20_000).map(|_| vec![drawn(0), drawn(1)]).collect();
    let truth: f64 = (0..2)
        .flat_map(|at| (0..3).map(move |item| (at, item)))
        .map(|(at, item)| targets[at][item] * effects[at][item])
        .sum();
    let judge = OffPolicy::from_slates(&slates).unwrap();
    for estimate in [judge.pseudo_inverse().unwrap(), judge.independent().unwrap()] {
        assert!((estimate.value - truth).abs() < 4.0 * estimate.standard_error, "{estimate:?} {truth}");
    }
}

#[test]
fn standard_errors_include_that_of_slate_lengths() {
    // Every position earns 1, so that only the lengths 1 and 2 vary. The error of their mean is ½/√999.
    let round = LoggedRound::new(1.0, 0.5, 0.5);
    let slates: Vec<_> = (0..1000).map(|slate| vec![round; 1 + slate % 2]).collect();
    let judge = OffPolicy::from_slates(&slates).unwrap();
    let expected = 0.5 / 999f64.sqrt();
    for estimate in [judge.independent(), judge.pooled_self_normalised(), judge.independent_self_normalised()] {
        let estimate = estimate.unwrap();
        assert!((estimate.value - 1.5).abs() < 1e-12, "{estimate:?}");
        assert!((estimate.standard_error - expected).abs() < 1e-12, "{estimate:?}");
    }
}
