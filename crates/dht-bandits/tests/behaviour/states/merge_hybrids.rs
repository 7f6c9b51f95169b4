//! Merging and forgetting of hybrid policies, compared with one policy that has seen everything.

use dht_bandits::{
    ArmId, Error, Policy, Ucb,
    policy::{Delta, Hybrid},
};

use crate::support::{assert_close, normals, rng};

type Seen = Vec<(u64, Vec<f64>, Vec<f64>, f64)>;

fn blank() -> Hybrid<Ucb> {
    let hybrid = Hybrid::new(3, 2, 3, 0.5, Ucb { alpha: 0.5 }).unwrap();
    hybrid.with_shared_prior_precision(2.0).unwrap()
}

fn rounds(count: u64, arms: u64, seed: u64) -> Seen {
    let mut rng = rng(seed);
    (0..count)
        .map(|round| {
            let (context, features) = (normals(&mut rng, 3), normals(&mut rng, 2));
            let reward = context[0] - 0.5 * features[1] + (round % arms) as f64;
            (round % arms, context, features, reward)
        })
        .collect()
}

fn learn(policy: &mut Hybrid<Ucb>, seen: &Seen, weight: f64) {
    for (arm, context, features, reward) in seen {
        policy.update(ArmId::new(*arm), context, features, *reward, weight).unwrap();
    }
}

fn assert_alike(left: &Hybrid<Ucb>, right: &Hybrid<Ucb>) {
    let mut rng = rng(99);
    assert_eq!(left.arms().len(), right.arms().len());
    for arm in left.arms().iter() {
        for _ in 0..4 {
            let (context, features) = (normals(&mut rng, 3), normals(&mut rng, 2));
            let [a, b] = [left, right].map(|policy| policy.score(arm, &context, &features).unwrap());
            assert_close(a.mean, b.mean, 1e-9, "mean");
            assert_close(a.width, b.width, 1e-9, "width");
        }
    }
}

#[test]
fn merged_hybrids_know_what_all_have_seen() {
    let (first, second, third) = (rounds(20, 3, 1), rounds(30, 3, 2), rounds(40, 2, 3));
    let mut whole = blank();
    [&first, &second, &third].into_iter().for_each(|seen| learn(&mut whole, seen, 1.0));
    // Whole policies that start from the prior are merged in either order.
    for order in [[&first, &second, &third], [&third, &first, &second]] {
        let mut merged = blank();
        for seen in order {
            let mut worker = blank();
            learn(&mut worker, seen, 1.0);
            merged.merge(&worker).unwrap();
        }
        assert_alike(&merged, &whole);
        assert_eq!(merged.version(), 90);
        // The merged policy continues to learn like the single one.
        let (mut left, mut right) = (merged, whole.clone());
        learn(&mut left, &rounds(10, 3, 4), 1.0);
        learn(&mut right, &rounds(10, 3, 4), 1.0);
        assert_alike(&left, &right);
    }
    // Differences since a common ancestor, sent as JSON.
    let mut base = blank();
    learn(&mut base, &first, 1.0);
    let (mut left, mut right) = (base.clone(), base.clone());
    learn(&mut left, &second, 1.0);
    learn(&mut right, &third, 1.0);
    let wire = serde_json::to_string(&left.diff(&base).unwrap()).unwrap();
    let mut delta: Delta = serde_json::from_str(&wire).unwrap();
    delta.combine(&right.diff(&base).unwrap()).unwrap();
    assert_eq!(delta.updates(), 70);
    base.apply(&delta).unwrap();
    assert_alike(&base, &whole);
}

#[test]
fn arms_that_one_worker_added_or_removed_are_added_or_removed() {
    let (first, second) = (rounds(20, 3, 1), rounds(24, 4, 2));
    let (mut base, mut worker) = (blank(), blank());
    learn(&mut base, &first, 1.0);
    worker.merge(&base).unwrap();
    assert_eq!(worker.add_arm().unwrap(), ArmId::new(3));
    let mut whole = worker.clone();
    learn(&mut worker, &second, 1.0);
    worker.remove_arm(ArmId::new(1)).unwrap();
    let delta = worker.diff(&base).unwrap();
    let mut merged = base.clone();
    merged.apply(&delta).unwrap();
    // What the removed arm contributed to the shared weights stays, as after a removal.
    learn(&mut whole, &second, 1.0);
    whole.remove_arm(ArmId::new(1)).unwrap();
    assert_alike(&merged, &whole);
    // The contribution of an arm that was removed here cannot be separated.
    let mut later = base.clone();
    learn(&mut later, &first, 1.0);
    let of_all = later.diff(&base).unwrap();
    let before = merged.state();
    assert_eq!(merged.apply(&of_all), Err(Error::RemovedArm { arm: ArmId::new(1) }));
    assert_eq!(merged.state(), before);
    assert_eq!(delta.clone().combine(&of_all), Err(Error::RemovedArm { arm: ArmId::new(1) }));
    // Merging of whole policies removes it first.
    merged
        .merge(&{
            let mut worker = blank();
            learn(&mut worker, &first, 1.0);
            worker
        })
        .unwrap();
    assert!(!merged.arms().contains(ArmId::new(1)));
}

#[test]
fn forgetting_by_half_is_having_seen_everything_half() {
    let seen = rounds(30, 3, 5);
    let (mut policy, mut half) = (blank(), blank());
    learn(&mut policy, &seen, 1.0);
    learn(&mut half, &seen, 0.5);
    policy.forget(0.5).unwrap();
    assert_alike(&policy, &half);
    assert_eq!(policy.version(), 30);
}

#[test]
fn deltas_of_other_policies_are_refused_and_change_nothing() {
    let mut policy = blank();
    learn(&mut policy, &rounds(5, 3, 1), 1.0);
    let before = policy.state();
    let delta = policy.diff(&blank()).unwrap();
    let refuse = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut value = serde_json::to_value(&delta).unwrap();
        change(&mut value["learned"]["hybrid"]);
        let damaged: Delta = serde_json::from_value(value).unwrap();
        let mut policy = policy.clone();
        assert!(policy.apply(&damaged).is_err());
        assert!(delta.clone().combine(&damaged).is_err());
        assert_eq!(policy.state(), before);
    };
    refuse(&|delta| delta["dimension"] = 4.into());
    refuse(&|delta| delta["prior"][0] = 1.0.into());
    refuse(&|delta| delta["updates"] = u64::MAX.into());
    refuse(&|delta| delta["arms"][1][0] = 0.into());
    refuse(&|delta| delta["arms"][0][1]["cross"] = vec![0.0].into());
    refuse(&|delta| delta["shared"]["moment"] = vec![1.0].into());
}

#[test]
fn a_delta_without_evidence_of_a_removed_arm_applies() {
    let mut ancestor = blank();
    learn(&mut ancestor, &rounds(12, 3, 7), 1.0);
    // A worker learns only about arms 0 and 1, and arm 2 is removed here.
    let (mut worker, mut here) = (ancestor.clone(), ancestor.clone());
    learn(&mut worker, &rounds(10, 2, 8), 1.0);
    here.remove_arm(ArmId::new(2)).unwrap();
    let delta = worker.diff(&ancestor).unwrap();
    let mut expected = worker.clone();
    expected.remove_arm(ArmId::new(2)).unwrap();
    let mut applied = here.clone();
    applied.apply(&delta).unwrap();
    assert_alike(&applied, &expected);
    assert_eq!(applied.insert_arm(ArmId::new(2)), Err(Error::RemovedArm { arm: ArmId::new(2) }));
    // The result is the same if deltas are added before, in either order.
    let removal = here.diff(&ancestor).unwrap();
    for (mut first, second) in [(delta.clone(), &removal), (removal.clone(), &delta)] {
        first.combine(second).unwrap();
        let mut combined = ancestor.clone();
        combined.apply(&first).unwrap();
        assert_alike(&combined, &expected);
    }
    // After one observation of it, its contribution cannot be separated.
    worker.update(ArmId::new(2), &[1.0, 0.0, 0.0], &[0.0, 1.0], 1.0, 1.0).unwrap();
    let refused = Error::RemovedArm { arm: ArmId::new(2) };
    let delta = worker.diff(&ancestor).unwrap();
    assert_eq!(here.apply(&delta), Err(refused.clone()));
    assert_eq!(removal.clone().combine(&delta), Err(refused.clone()));
    assert_eq!(delta.clone().combine(&removal), Err(refused));
}
