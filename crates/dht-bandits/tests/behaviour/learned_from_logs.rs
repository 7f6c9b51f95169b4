//! Policies learned from logs by gradients, and rewards estimated for every arm.

use dht_bandits::evaluation::OutcomeModel;
use dht_bandits::features::{FeatureSpace, SparseContext};
use dht_bandits::log::LoggedDecision;
use dht_bandits::policy::SoftmaxPolicy;
use dht_bandits::{ArmId, Error, LinUcb, Policy, Request, Ridge, Ucb};
use rand::RngExt;

use crate::support::rng;

/// Rows of a policy that prefers arm 0. The best arm is 2 where x > ½, 1 where x < −½, and 0 in between.
fn log(seed: u64, rows: usize) -> Vec<LoggedDecision> {
    let mut rng = rng(seed);
    let probabilities = [0.7, 0.2, 0.1];
    (0..rows)
        .map(|_| {
            let x: f64 = rng.random_range(-2.0..2.0);
            let point: f64 = rng.random();
            let arm = if point < 0.7 {
                0
            } else if point < 0.9 {
                1
            } else {
                2
            };
            let rate = if arm == best(x) { 0.8 } else { 0.2 };
            let reward = f64::from(u8::from(rng.random::<f64>() < rate));
            LoggedDecision::new(vec![x, x * x], ArmId::new(arm as u64), probabilities[arm], reward)
        })
        .collect()
}

fn best(x: f64) -> usize {
    if x > 0.5 {
        2
    } else if x < -0.5 {
        1
    } else {
        0
    }
}

/// Expected reward of the policy on newly drawn contexts.
fn value(policy: &dyn Policy) -> f64 {
    let contexts: Vec<f64> = (0..400).map(|step| f64::from(step) / 100.0 - 1.995).collect();
    let of = |x: &f64| {
        let all = policy.propensities(&Request::new(&[*x, x * x])).unwrap();
        0.2 + 0.6 * all[best(*x)].probability
    };
    contexts.iter().map(of).sum::<f64>() / contexts.len() as f64
}

#[test]
fn gradients_from_a_poor_log_find_the_planted_arms() {
    for seed in 0..5 {
        let log = log(seed, 4000);
        let logged = log.iter().map(|row| row.reward).sum::<f64>() / log.len() as f64;
        for policy in [SoftmaxPolicy::new(2, 3).unwrap(), SoftmaxPolicy::new(2, 3).unwrap().doubly_robust().unwrap()] {
            let mut policy = policy;
            assert!((value(&policy) - 0.4).abs() < 1e-9);
            for _ in 0..10 {
                policy.fit(&log).unwrap();
            }
            // The best policy earns .8, and the log about .4.
            assert!(value(&policy) > 0.7 && value(&policy) > logged + 0.2, "seed {seed}: {}", value(&policy));
            assert_eq!(policy.version(), 40_000);
        }
    }
}

/// Open Bandit Pipeline #129 (negative rewards) and #150 (arms without rows): costs are from −1 to 0. A third arm was
/// never logged, and a reward model around 0 prefers it.
#[test]
fn arms_without_rows_do_not_win_by_negative_rewards() {
    for (shift, scale) in [(0.0, 1.0), (-1.0, 1.0), (-10.0, 1.0), (5.0, 1.0), (0.0, 100.0)] {
        let mut rng = rng(3);
        let row = |_| {
            let (x, arm): (f64, _) = (rng.random_range(-1.0..1.0), rng.random_range(0..2));
            let rate = if (x > 0.0) == (arm == 1) { 0.7 } else { 0.2 };
            let click = f64::from(u8::from(rng.random::<f64>() < rate));
            LoggedDecision::new(vec![x], ArmId::new(arm), 0.5, shift + scale * click)
        };
        let log: Vec<_> = (0..4000).map(row).collect();
        for policy in [SoftmaxPolicy::new(1, 3).unwrap(), SoftmaxPolicy::new(1, 3).unwrap().doubly_robust().unwrap()] {
            let mut policy = policy;
            (0..10).for_each(|_| policy.fit(&log).unwrap());
            for (x, right) in [(0.8, 1), (-0.8, 0)] {
                let shares = policy.propensities(&Request::new(&[x])).unwrap();
                assert!(shares[right].probability > 0.6, "{shift} {scale} {x}: {shares:?}");
            }
        }
    }
}

#[test]
fn sparse_and_dense_gradients_agree() {
    let space = FeatureSpace::new(4).unwrap();
    for robust in [false, true] {
        let (mut dense, mut sparse) = (SoftmaxPolicy::new(2, 3).unwrap(), SoftmaxPolicy::sparse(space, 3).unwrap());
        if robust {
            (dense, sparse) = (dense.doubly_robust().unwrap(), sparse.doubly_robust().unwrap());
        }
        for row in log(7, 500) {
            let context = [(0, row.context[0]), (1, row.context[1]), (2, 1.0)];
            let context = SparseContext::new(space, context).unwrap();
            dense.fit_row(&row).unwrap();
            sparse.fit_row(&LoggedDecision { context: context.values().to_vec(), ..row.clone() }).unwrap();
            let (ours, theirs) =
                (dense.propensities(&Request::new(&row.context)), sparse.propensities(&(&context).into()));
            for (ours, theirs) in ours.unwrap().iter().zip(theirs.unwrap()) {
                assert!((ours.probability - theirs.probability).abs() < 1e-12);
            }
        }
    }
}

#[test]
fn logs_that_teach_nothing_are_refused() {
    let mut policy = SoftmaxPolicy::new(2, 3).unwrap().doubly_robust().unwrap();
    let rows = log(1, 50);
    policy.fit(&rows).unwrap();
    let before = policy.state();
    let mut certain = rows.clone();
    certain.iter_mut().for_each(|row| row.propensity = Some(1.0));
    assert_eq!(policy.fit(&certain), Err(Error::NeverExplored { rows: 50 }));
    let refused = |policy: &mut SoftmaxPolicy, edit: &dyn Fn(&mut LoggedDecision)| {
        let mut damaged = rows.clone();
        edit(&mut damaged[20]);
        policy.fit(&damaged).unwrap_err()
    };
    assert!(matches!(refused(&mut policy, &|row| row.propensity = None), Error::InRound { round: 20, .. }));
    assert!(matches!(refused(&mut policy, &|row| row.propensity = Some(0.0)), Error::Propensity { round: 20, .. }));
    assert!(matches!(refused(&mut policy, &|row| row.reward = f64::NAN), Error::InRound { round: 20, .. }));
    assert!(matches!(refused(&mut policy, &|row| row.context = vec![1.0]), Error::InRound { round: 20, .. }));
    assert!(matches!(refused(&mut policy, &|row| row.arm = ArmId::new(9)), Error::InRound { round: 20, .. }));
    let only = |row: &mut LoggedDecision| row.available = Some(vec![ArmId::new(5)]);
    assert!(refused(&mut policy, &only).to_string().contains("round 20"));
    assert!(matches!(policy.update(ArmId::new(0), &[1.0, 2.0], 1.0, 1.0), Err(Error::Unsupported { .. })));
    let mut decision = policy.decide(&Request::new(&[1.0, 2.0]), &mut rng(1)).unwrap();
    decision.choice.propensity = None;
    assert!(matches!(policy.learn(&decision, 1.0), Err(Error::NoPropensity { .. })));
    assert_eq!(policy.state(), before);
}

#[test]
fn a_saved_gradient_policy_continues_with_the_same_bits() {
    let rows = log(3, 400);
    let mut whole = SoftmaxPolicy::new(2, 3).unwrap().with_learning_rate(0.3).unwrap().doubly_robust().unwrap();
    whole.fit(&rows[..200]).unwrap();
    let json = serde_json::to_string(&whole).unwrap();
    let mut loaded: SoftmaxPolicy = serde_json::from_str(&json).unwrap();
    assert_eq!(loaded.state(), whole.state());
    whole.fit(&rows[200..]).unwrap();
    loaded.fit(&rows[200..]).unwrap();
    assert_eq!(loaded.state(), whole.state());
    let state = serde_json::to_value(&whole).unwrap();
    for (key, value) in
        [("learning_rate", "-1"), ("baseline", "[-1,0]"), ("logits", "[[9,0,1,1]]"), ("input", "{\"dense\":0}")]
    {
        let mut damaged = state.clone();
        damaged[key] = serde_json::from_str(value).unwrap();
        assert!(serde_json::from_value::<SoftmaxPolicy>(damaged).is_err(), "{key}");
    }
}

#[test]
fn arms_that_are_not_available_get_no_gradient() {
    let mut policy = SoftmaxPolicy::new(1, 3).unwrap();
    let available = Some([0, 2].map(ArmId::new).to_vec());
    let row = LoggedDecision { available, ..LoggedDecision::new(vec![1.0], ArmId::new(2), 0.5, 1.0) };
    (0..20).for_each(|_| policy.fit_row(&row).unwrap());
    (0..20).for_each(|_| policy.fit_row(&LoggedDecision { reward: 0.0, arm: ArmId::new(0), ..row.clone() }).unwrap());
    let all = policy.propensities(&Request::new(&[1.0])).unwrap();
    assert!(all[2].probability > all[1].probability && all[1].probability > all[0].probability, "{all:?}");
}

#[test]
fn estimated_rewards_are_right_on_average() {
    let log = log(5, 6000);
    let arms = [0, 1, 2].map(ArmId::new);
    let rows = OutcomeModel::default().estimate_rewards(4, &log, &arms).unwrap();
    assert_eq!(rows.len(), 18_000);
    for arm in arms {
        let of_arm: Vec<_> = rows.iter().filter(|row| row.arm == arm).collect();
        let mean = of_arm.iter().map(|row| row.reward).sum::<f64>() / of_arm.len() as f64;
        let truth = of_arm.iter().map(|row| if best(row.context[0]) == arm.number() as usize { 0.8 } else { 0.2 });
        let truth = truth.sum::<f64>() / of_arm.len() as f64;
        // The standard deviation of a mean of 6,000 terms of at most 1/.1 is below .03.
        assert!((mean - truth).abs() < 0.1, "{arm}: {mean} {truth}");
    }
    let mut learned = LinUcb::new(2, 3, Ridge::default(), Ucb { alpha: 0.0 }).unwrap();
    learned.fit(&rows).unwrap();
    assert_eq!(learned.select(&Request::new(&[1.5, 2.25]), &mut rng(1)).unwrap().arm, ArmId::new(2));
    let mut certain = log.clone();
    certain.iter_mut().for_each(|row| row.propensity = Some(1.0));
    let refused = OutcomeModel::default().estimate_rewards(4, &certain, &arms).unwrap_err();
    assert_eq!(refused, Error::NeverExplored { rows: 6000 });
    certain[7].propensity = None;
    let refused = OutcomeModel::default().estimate_rewards(4, &certain, &arms).unwrap_err();
    assert!(matches!(refused, Error::NoPropensity { round: 7, .. }));
}
