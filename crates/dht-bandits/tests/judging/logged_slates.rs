//! Slate policies evaluated from the log of another policy, compared with their true rewards.

use dht_bandits::{
    ArmId, Error, Policy, Request, Ridge, Thompson,
    evaluation::{LoggedRound, OffPolicy},
    exploration::{EpsilonGreedy, Exploration},
    features::Interactions,
    log::{LoggedSlate, ShownArm},
    policy::{Feedback, TopK},
};
use rand::{Rng, RngExt};

use crate::world::{arm, rng};

/// Probability of a click on each of six items, by context. The position does not matter.
const CLICKS: [[f64; 6]; 2] = [[0.1, 0.2, 0.3, 0.4, 0.5, 0.6], [0.7, 0.1, 0.5, 0.1, 0.3, 0.1]];
const THOMPSON: Thompson = Thompson { alpha: 0.3 };
const CONTEXTS: [[f64; 2]; 2] = [[1.0, 0.0], [1.0, 1.0]];

fn clicks<R: Rng + ?Sized>(context: usize, shown: impl Iterator<Item = ArmId>, rng: &mut R) -> Vec<Feedback> {
    shown.map(|arm| Feedback::from(rng.random::<f64>() < CLICKS[context][arm.number() as usize])).collect()
}

/// Policy that has learned for this number of rounds.
fn learned<E: Exploration>(rule: E, rounds: usize, seed: u64) -> TopK<Ridge, E> {
    let mut policy = TopK::per_arm(2, 6, Ridge::default(), rule).unwrap();
    let mut rng = rng(seed);
    for _ in 0..rounds {
        let context = rng.random_range(0..2);
        let slate = policy.select_slate(2, &Request::new(&CONTEXTS[context]), &mut rng).unwrap();
        let feedback = clicks(context, slate.arms(), &mut rng);
        policy.learn_slate(&slate, &feedback).unwrap();
    }
    policy
}

/// Expected reward of a policy per slate: the sum over items of P(item is shown) times P(click on the item).
fn value(policy: &dyn Policy, arms: &[ArmId]) -> f64 {
    let of_context = |context: usize| {
        let shown = policy.slate_propensities(2, &Request::new(&CONTEXTS[context]).only(arms)).unwrap();
        shown.iter().map(|entry| entry.probability * CLICKS[context][entry.arm.number() as usize]).sum::<f64>()
    };
    0.5 * (of_context(0) + of_context(1))
}

/// Log of a policy that learns while it is logged, and explores half of its positions.
fn logged(count: usize, seed: u64) -> Vec<LoggedSlate> {
    let mut rng = rng(seed);
    let mut policy = TopK::<Ridge, _>::per_arm(2, 6, Ridge::default(), EpsilonGreedy::new(0.5)).unwrap();
    let row = |_| {
        let context = rng.random_range(0..2);
        let slate = policy.decide_slate(2, &Request::new(&CONTEXTS[context]), &mut rng).unwrap();
        let feedback = clicks(context, slate.arms(), &mut rng);
        policy.learn_slate(&slate, &feedback).unwrap();
        let shown = slate.choices().iter().zip(feedback);
        let shown =
            shown.map(|(choice, feedback)| ShownArm { arm: choice.arm, propensity: choice.propensity, feedback });
        LoggedSlate { context: CONTEXTS[context].to_vec(), shown: shown.collect(), ..LoggedSlate::default() }
    };
    (0..count).map(row).collect()
}

#[test]
fn intervals_from_a_log_cover_what_another_policy_earns() {
    let all: Vec<_> = (0..6).map(arm).collect();
    let target = learned(EpsilonGreedy::new(0.1), 1000, 1);
    let truth = value(&target, &all);
    let (mut covered, mut means, mut spreads) = ([0; 2], [0.0; 2], [0.0; 2]);
    for seed in 0..100 {
        let rounds = LoggedRound::from_slates(&logged(400, 100 + seed), &target).unwrap();
        let judge = OffPolicy::from_slates(&rounds).unwrap();
        for (position, estimate) in [judge.independent(), judge.pooled_self_normalised()].into_iter().enumerate() {
            let estimate = estimate.unwrap();
            covered[position] += i32::from(estimate.low <= truth && truth <= estimate.high);
            means[position] += estimate.value / 100.0;
            spreads[position] += estimate.standard_error / 100.0;
            assert!((estimate.mean_weight - 1.0).abs() < 0.3 && estimate.unsupported == 0.0, "{estimate:?}");
        }
    }
    // Binomial(100, .95) has mean 95 and deviation 2.2.
    assert!(covered.iter().all(|count| *count >= 86), "{covered:?}");
    // The mean of a hundred estimates is unbiased to four standard errors.
    assert!((0..2).all(|i| (means[i] - truth).abs() < 4.0 * spreads[i] / 10.0), "{means:?} {truth} {spreads:?}");
    assert!(spreads[1] < spreads[0], "{spreads:?}");
    // The value differs from what the log earned, since the policies differ.
    let own: f64 = logged(400, 7).iter().flat_map(|slate| slate.shown.clone()).map(|entry| entry.reward()).sum();
    assert!((own / 400.0 - truth).abs() > 0.1, "{own} {truth}");
}

#[test]
fn judged_on_its_own_propensities_a_log_earns_its_mean() {
    let policy = learned(THOMPSON, 30, 2);
    let mut rng = rng(3);
    let row = |_| {
        let slate = policy.decide_slate(3, &Request::new(&CONTEXTS[0]), &mut rng).unwrap();
        let feedback = Feedback::cascade(3, Some(1));
        let shown = slate.choices().iter().zip(feedback);
        let shown =
            shown.map(|(choice, feedback)| ShownArm { arm: choice.arm, propensity: choice.propensity, feedback });
        LoggedSlate { context: CONTEXTS[0].to_vec(), shown: shown.collect(), ..LoggedSlate::default() }
    };
    let log: Vec<_> = (0..50).map(row).collect();
    let rounds = LoggedRound::from_slates(&log, &policy).unwrap();
    let judge = OffPolicy::from_slates(&rounds).unwrap();
    // There is one click per slate. The item below it was not observed and earned nothing.
    for estimate in [judge.independent().unwrap(), judge.pooled_self_normalised().unwrap()] {
        assert!((estimate.value - 1.0).abs() < 1e-12, "{estimate:?}");
    }
}

#[test]
fn arms_that_a_policy_lacks_it_is_judged_never_to_show() {
    let mut target = learned(THOMPSON, 40, 1);
    target.remove_arm(arm(5)).unwrap();
    let left: Vec<_> = (0..5).map(arm).collect();
    let truth = value(&target, &left);
    let mut log = logged(3000, 5);
    // The rows list the available arms. One of them is an item that no policy has any more.
    log.iter_mut().for_each(|slate| slate.available = Some((0..6).chain([9]).map(arm).collect()));
    let rounds = LoggedRound::from_slates(&log, &target).unwrap();
    let estimate = OffPolicy::from_slates(&rounds).unwrap().independent().unwrap();
    assert!(estimate.low < truth && truth < estimate.high && estimate.unsupported == 0.0, "{estimate:?} {truth}");
    for (slate, entries) in log.iter().zip(&rounds) {
        let zeros = slate.shown.iter().zip(entries).filter(|(shown, _)| shown.arm == arm(5));
        assert!(zeros.into_iter().all(|(_, entry)| entry.target == 0.0));
    }
    // Too few of the available arms remain.
    let position = log.iter().position(|slate| slate.shown.iter().any(|entry| entry.arm == arm(5))).unwrap();
    let mut one = log[position].clone();
    one.available = Some(one.shown.iter().map(|entry| entry.arm).collect());
    match LoggedRound::from_slates(&[one], &target) {
        Err(Error::InRound { round: 0, source }) => assert_eq!(*source, Error::TooFewArms { wanted: 2, available: 1 }),
        other => panic!("{other:?}"),
    }
}

#[test]
fn arms_never_shown_are_unsupported_and_bad_rows_are_rejected() {
    let mut log = logged(300, 8);
    // Item 4 is never shown, and the target policy shows it whenever it can.
    log.retain(|slate| slate.shown.iter().all(|entry| entry.arm != arm(4)));
    let mut target = TopK::<Ridge, _>::per_arm(2, 6, Ridge::default(), EpsilonGreedy::new(0.0)).unwrap();
    for context in CONTEXTS {
        let good = dht_bandits::policy::ArmFeedback::new(arm(4), &context, Feedback::from(true));
        target.update_batch(&[good]).unwrap();
    }
    let rounds = LoggedRound::from_slates(&log, &target).unwrap();
    assert!(rounds.iter().flatten().all(|entry| entry.unsupported == 0.5), "{:?}", rounds[0]);
    let refused = |change: &dyn Fn(&mut LoggedSlate)| {
        let mut bad = log.clone();
        change(&mut bad[3]);
        match LoggedRound::from_slates(&bad, &target).unwrap_err() {
            Error::Propensity { round: 3, .. } => "propensity".to_owned(),
            Error::InRound { round: 3, source } => source.to_string(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(refused(&|slate| slate.shown[0].propensity = Some(0.0)), "propensity");
    assert!(refused(&|slate| slate.shown.clear()).contains("slate has length 0"));
    assert!(refused(&|slate| slate.shown[1] = slate.shown[0]).contains("twice"));
    assert!(refused(&|slate| slate.shown[1].feedback = Feedback::Observed(f64::NAN)).contains("reward"));
    assert!(refused(&|slate| slate.available = Some(vec![arm(0)])).contains("unknown"));
    assert!(refused(&|slate| slate.context.push(1.0)).contains("context"));
    assert!(refused(&|slate| slate.features = Some(vec![1.0])).contains("features"));
    // Features follow their arms.
    let shared = TopK::<Ridge, _>::shared(5, Ridge::default(), EpsilonGreedy::new(0.2)).unwrap();
    let shared = shared.with_interactions(Interactions::new(2, 1).unwrap()).unwrap();
    let items: Vec<_> = (0..6).map(arm).collect();
    let features: Vec<f64> = (0..6).map(f64::from).collect();
    for slate in &mut log {
        (slate.available, slate.features) = (Some(items.clone()), Some(features.clone()));
    }
    let rounds = LoggedRound::from_slates(&log, &shared).unwrap();
    let request = Request::new(&log[0].context).featured(&items, &features, 1).unwrap();
    let all = shared.slate_propensities(2, &request).unwrap();
    let shown = all.iter().find(|entry| entry.arm == log[0].shown[0].arm).unwrap();
    assert_eq!(rounds[0][0].target, shown.probability);
}
