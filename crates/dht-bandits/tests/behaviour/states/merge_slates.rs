//! Semi-bandits: merging, forgetting, and pinned arms that are refused.

use dht_bandits::{
    ArmId, Error, Policy, Ridge, Thompson, Ucb,
    policy::{Delta, Feedback, TopK},
    posterior::DiagonalLaplace,
};

use crate::support::{assert_close, featured, normals, rng};

fn per_arm() -> TopK<Ridge, Ucb> {
    TopK::per_arm(3, 4, Ridge::default(), Ucb { alpha: 0.5 }).unwrap()
}

fn shared() -> TopK<Ridge, Ucb> {
    TopK::shared(3, Ridge::default(), Ucb { alpha: 0.5 }).unwrap()
}

/// Rounds in which a slate shows two arms out of four.
fn train(policy: &mut TopK<Ridge, Ucb>, rounds: u64, seed: u64, seen: &mut Vec<(ArmId, Vec<f64>, f64)>) {
    let (mut rng, arms) = (rng(seed), [0, 1, 2, 3].map(ArmId::new));
    for _ in 0..rounds {
        let rows = normals(&mut rng, 12);
        let slate = policy.select_slate(2, &featured(&[], &arms, &rows), &mut rng).unwrap();
        let feedback: Vec<_> =
            slate.choices().iter().map(|choice| Feedback::Observed(choice.arm.number() as f64)).collect();
        policy.learn_slate(&slate, &feedback).unwrap();
        let rows = slate.feedback(&feedback);
        seen.extend(rows.map(|entry| (entry.arm, entry.context.to_vec(), entry.arm.number() as f64)));
    }
}

fn assert_alike(left: &TopK<Ridge, Ucb>, right: &TopK<Ridge, Ucb>) {
    let mut rng = rng(99);
    // A removed arm has no score.
    for arm in (0..4).map(ArmId::new).filter(|arm| left.score(*arm, &[0.0; 3]).is_ok()) {
        let context = normals(&mut rng, 3);
        let (a, b) = (left.score(arm, &context).unwrap(), right.score(arm, &context).unwrap());
        assert_close(a.mean, b.mean, 1e-9, "mean");
        assert_close(a.width, b.width, 1e-9, "width");
    }
}

#[test]
fn merged_semi_bandits_know_what_both_have_seen() {
    for make in [per_arm, shared] {
        let base = {
            let (mut base, mut seen) = (make(), Vec::new());
            train(&mut base, 5, 1, &mut seen);
            base
        };
        let (mut left, mut right, mut whole, mut seen) = (base.clone(), base.clone(), base.clone(), Vec::new());
        train(&mut left, 20, 2, &mut seen);
        train(&mut right, 30, 3, &mut seen);
        for (arm, context, reward) in &seen {
            Policy::update(&mut whole, *arm, context, *reward, 1.0).unwrap();
        }
        // Deltas since a common ancestor, sent as JSON and combined.
        let wire = serde_json::to_string(&right.diff(&base).unwrap()).unwrap();
        let mut delta: Delta = serde_json::from_str(&wire).unwrap();
        delta.combine(&left.diff(&base).unwrap()).unwrap();
        let mut merged = base.clone();
        merged.apply(&delta).unwrap();
        assert_alike(&merged, &whole);
        assert_eq!(Policy::version(&merged), Policy::version(&whole));
        // Whole policies are merged if both started from the prior.
        let (mut first, mut second, mut both, mut seen) = (make(), make(), make(), Vec::new());
        train(&mut first, 10, 4, &mut seen);
        train(&mut second, 10, 5, &mut seen);
        for (arm, context, reward) in &seen {
            Policy::update(&mut both, *arm, context, *reward, 1.0).unwrap();
        }
        first.merge(&second).unwrap();
        assert_alike(&first, &both);
    }
}

#[test]
fn what_does_not_belong_together_is_refused_and_changes_nothing() {
    let (mut own, mut all, mut seen) = (per_arm(), shared(), Vec::new());
    train(&mut own, 3, 1, &mut seen);
    train(&mut all, 3, 1, &mut seen);
    let (before, before_all) = (own.state(), all.state());
    assert!(matches!(own.merge(&all), Err(Error::Unlike { .. })));
    assert!(matches!(all.diff(&own), Err(Error::Unlike { .. })));
    let (of_own, of_all) = (own.diff(&per_arm()).unwrap(), all.diff(&shared()).unwrap());
    assert!(matches!(own.apply(&of_all), Err(Error::ForeignState { .. })));
    assert!(matches!(all.apply(&of_own), Err(Error::ForeignState { .. })));
    assert_eq!((own.state(), all.state()), (before, before_all));
}

#[test]
fn a_removed_arm_stays_removed_in_merged_semi_bandits() {
    let (mut left, mut right, mut seen) = (per_arm().with_pinned(&[ArmId::new(3)]).unwrap(), per_arm(), Vec::new());
    train(&mut right, 3, 1, &mut seen);
    right.remove_arm(ArmId::new(3)).unwrap();
    left.merge(&right).unwrap();
    assert_eq!(left.score(ArmId::new(3), &[0.0; 3]), Err(Error::RemovedArm { arm: ArmId::new(3) }));
    assert!(left.pinned().is_empty());
}

#[test]
fn forgetting_by_half_is_having_seen_everything_half() {
    for make in [per_arm, shared] {
        let (mut policy, mut half, mut seen) = (make(), make(), Vec::new());
        train(&mut policy, 20, 1, &mut seen);
        policy.forget(0.5).unwrap();
        for (arm, context, reward) in &seen {
            Policy::update(&mut half, *arm, context, *reward, 0.5).unwrap();
        }
        assert_alike(&policy, &half);
    }
}

#[test]
fn pinned_arms_that_are_refused_leave_the_policy() {
    let options = DiagonalLaplace::default();
    let mut policy = TopK::per_arm(2, 3, options, Thompson { alpha: 1.0 }).unwrap();
    policy.set_pinned(&[ArmId::new(1)]).unwrap();
    let before = policy.state();
    let twice = [0, 0].map(ArmId::new);
    assert_eq!(policy.set_pinned(&twice), Err(Error::DuplicateArm { arm: twice[0] }));
    assert_eq!(policy.set_pinned(&[ArmId::new(9)]), Err(Error::UnknownArm { arm: ArmId::new(9) }));
    assert_eq!(policy.state(), before);
    policy.set_pinned(&[]).unwrap();
    assert!(policy.pinned().is_empty());
}

#[test]
fn shared_weights_refuse_removed_arms_also_when_merged() {
    let (gone, arms, rows) = (ArmId::new(0), [0, 1, 2].map(ArmId::new), normals(&mut rng(3), 9));
    let refused = || Error::RemovedArm { arm: gone };
    let refuses = |policy: &TopK<Ridge, Ucb>| {
        let (mut learning, request) = (policy.clone(), featured(&[], &arms, &rows));
        assert_eq!(policy.select_slate(1, &request, &mut rng(1)).unwrap_err(), refused());
        assert_eq!(policy.decide(&request, &mut rng(1)).unwrap_err(), refused());
        assert_eq!(policy.propensities(&request).unwrap_err(), refused());
        assert_eq!(policy.score(gone, &rows[..3]).unwrap_err(), refused());
        assert_eq!(learning.update(gone, &rows[..3], 1.0, 1.0), Err(refused()));
        assert_eq!(learning.set_pinned(&[gone]), Err(refused()));
        assert_eq!(learning.insert_arm(gone), Err(refused()));
        // The other arms may still be chosen, whether or not they were added.
        policy.decide(&featured(&[], &arms[1..], &rows[3..]), &mut rng(1)).unwrap();
    };
    let (mut base, mut seen) = (shared(), Vec::new());
    base.insert_arm(gone).unwrap();
    train(&mut base, 5, 1, &mut seen);
    let mut worker = base.clone();
    train(&mut worker, 5, 2, &mut seen);
    worker.remove_arm(gone).unwrap();
    refuses(&worker);
    refuses(&serde_json::from_str(&serde_json::to_string(&worker).unwrap()).unwrap());
    // A removal reaches policies that have the arm, that have it pinned, and that never had it.
    let (mut other, mut never) = (base.clone().with_pinned(&[gone]).unwrap(), shared());
    let wire = serde_json::to_string(&worker.diff(&base).unwrap()).unwrap();
    other.apply(&serde_json::from_str(&wire).unwrap()).unwrap();
    assert!(other.pinned().is_empty());
    never.merge(&worker).unwrap();
    let mut both = other.diff(&other).unwrap();
    let mut again = base.clone();
    both.combine(&base.diff(&base).unwrap()).unwrap();
    again.apply(&both).unwrap();
    [&other, &never, &again].into_iter().for_each(refuses);
    // Evidence that was learned from the arm stays.
    assert_alike(&other, &worker);
}
