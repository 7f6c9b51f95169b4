//! Removed arms stay removed: in the policy, in its saved states, and in policies with which it is merged.

use dht_bandits::{
    ArmId, Error, LinUcb, Policy, Ridge, Ucb,
    policy::{Delta, Hybrid, Uniform},
};
use serde::Serialize;
use serde::de::DeserializeOwned;

fn learner(arms: usize) -> LinUcb {
    LinUcb::new(2, arms, Ridge::default(), Ucb { alpha: 1.0 }).unwrap()
}

fn trained(arms: usize) -> LinUcb {
    let mut policy = learner(arms);
    (0..arms as u64).for_each(|arm| policy.update(ArmId::new(arm), &[1.0, arm as f64], 1.0, 1.0).unwrap());
    policy
}

fn without(arms: usize, removed: &[u64]) -> LinUcb {
    let mut policy = trained(arms);
    removed.iter().for_each(|&arm| policy.remove_arm(ArmId::new(arm)).unwrap());
    policy
}

fn again<T: Serialize + DeserializeOwned>(value: &T) -> T {
    serde_json::from_str(&serde_json::to_string(value).unwrap()).unwrap()
}

fn arms(policy: &LinUcb) -> Vec<u64> {
    let mut arms: Vec<_> = policy.arms().iter().map(ArmId::number).collect();
    arms.sort_unstable();
    arms
}

#[test]
fn a_removed_arm_stays_removed() {
    let removed = ArmId::new(1);
    let mut policy = without(3, &[1]);
    assert_eq!(policy.insert_arm(removed), Err(Error::RemovedArm { arm: removed }));
    assert_eq!(again(&policy).insert_arm(removed), Err(Error::RemovedArm { arm: removed }));
    assert_eq!(again(&policy).score(removed, &[1.0, 0.0]), Err(Error::RemovedArm { arm: removed }));
}

#[test]
fn a_name_that_was_never_given_is_unknown_and_can_be_given() {
    let mut policy = learner(2);
    policy.insert_arm(ArmId::new(10)).unwrap();
    let between = ArmId::new(7);
    assert_eq!(policy.score(between, &[1.0, 0.0]), Err(Error::UnknownArm { arm: between }));
    let mut loaded = again(&policy);
    loaded.insert_arm(between).unwrap();
    loaded.remove_arm(between).unwrap();
    assert_eq!(loaded.insert_arm(between), Err(Error::RemovedArm { arm: between }));
}

#[test]
fn an_arm_that_either_has_removed_is_not_in_their_merge() {
    let here = without(5, &[1, 4]);
    let there = without(5, &[0]);
    for (mut first, second) in [(here.clone(), &there), (there.clone(), &here)] {
        first.merge(second).unwrap();
        assert_eq!(arms(&first), [2, 3]);
        for arm in [0, 1, 4].map(ArmId::new) {
            assert_eq!(first.insert_arm(arm), Err(Error::RemovedArm { arm }));
        }
        let twice = first.score(ArmId::new(2), &[1.0, 2.0]).unwrap();
        assert!(twice.width < here.score(ArmId::new(2), &[1.0, 2.0]).unwrap().width);
    }
}

#[test]
fn deltas_carry_removals_in_any_order_and_grouping() {
    let base = trained(4);
    let mut left = base.clone();
    left.remove_arm(ArmId::new(3)).unwrap();
    let mut right = base.clone();
    right.update(ArmId::new(3), &[1.0, 1.0], 1.0, 1.0).unwrap();
    let (left, right): (Delta, Delta) = (again(&left.diff(&base).unwrap()), again(&right.diff(&base).unwrap()));
    for (mut first, second) in [(left.clone(), &right), (right.clone(), &left)] {
        let mut one_by_one = base.clone();
        one_by_one.apply(&first).unwrap();
        one_by_one.apply(second).unwrap();
        assert_eq!(arms(&one_by_one), [0, 1, 2]);
        first.combine(second).unwrap();
        assert_eq!(first.arms().map(ArmId::number).collect::<Vec<_>>(), [0, 1, 2]);
        let mut at_once = base.clone();
        at_once.apply(&first).unwrap();
        assert_eq!(arms(&at_once), [0, 1, 2]);
    }
}

#[test]
fn new_arms_are_named_after_all_that_were_removed_elsewhere() {
    let mut there = learner(2);
    there.insert_arm(ArmId::new(8)).unwrap();
    there.remove_arm(ArmId::new(8)).unwrap();
    let mut here = learner(2);
    here.merge(&there).unwrap();
    assert_eq!(here.add_arm(), Ok(ArmId::new(9)));
}

#[test]
fn a_format_1_state_treats_missing_arms_as_removed() {
    let mut policy = without(4, &[1]);
    policy.insert_arm(ArmId::new(6)).unwrap();
    let mut value = serde_json::to_value(&policy).unwrap();
    value["header"]["format"] = 1.into();
    value["arms"].as_object_mut().unwrap().remove("removed").unwrap();
    let mut old: LinUcb = serde_json::from_value(value).unwrap();
    for arm in [1, 4, 5].map(ArmId::new) {
        assert_eq!(old.insert_arm(arm), Err(Error::RemovedArm { arm }));
    }
    old.insert_arm(ArmId::new(7)).unwrap();
}

#[test]
fn what_is_saved_does_not_grow_with_the_arms_that_came_and_went() {
    let mut policy = learner(1);
    for _ in 0..1000 {
        let arm = policy.add_arm().unwrap();
        policy.remove_arm(arm).unwrap();
    }
    assert!(serde_json::to_string(&policy).unwrap().len() < 1000);
}

#[test]
fn every_policy_keeps_its_removed_arms() {
    let removed = ArmId::new(1);
    let mut hybrid = Hybrid::new(2, 2, 3, 1.0, Ucb { alpha: 1.0 }).unwrap();
    hybrid.remove_arm(removed).unwrap();
    assert_eq!(again(&hybrid).remove_arm(removed), Err(Error::RemovedArm { arm: removed }));
    let mut uniform = Uniform::new(2, 3).unwrap();
    uniform.remove_arm(removed).unwrap();
    assert_eq!(again(&uniform).remove_arm(removed), Err(Error::RemovedArm { arm: removed }));
}

#[test]
fn a_state_whose_removed_arms_contradict_it_is_refused() {
    let good = serde_json::to_value(without(4, &[1])).unwrap();
    for removed in [
        serde_json::json!([[0, 1]]),
        serde_json::json!([[1, 9]]),
        serde_json::json!([[3, 1]]),
        serde_json::json!([[1, 1], [1, 1]]),
    ] {
        let mut bad = good.clone();
        bad["arms"]["removed"] = removed;
        assert!(serde_json::from_value::<LinUcb>(bad.clone()).is_err(), "{bad}");
    }
}
