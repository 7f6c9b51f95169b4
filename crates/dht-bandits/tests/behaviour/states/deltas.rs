//! Deltas from elsewhere are learned completely, or refused with nothing changed.

use dht_bandits::{
    ArmId, Error, LinUcb, Policy, Ridge, Thompson, Ucb,
    policy::{Delta, Disjoint},
    posterior::DiagonalLaplace,
};
use serde_json::Value;

use crate::support::{normals, rng};

fn blank() -> LinUcb {
    LinUcb::new(3, 3, Ridge::default(), Ucb { alpha: 1.0 }).unwrap()
}

fn trained(seed: u64) -> LinUcb {
    let (mut policy, mut rng) = (blank(), rng(seed));
    for round in 0..30 {
        let context = normals(&mut rng, 3);
        policy.update(ArmId::new(round % 3), &context, context[0], 1.0).unwrap();
    }
    policy
}

/// Valid delta with one invalid value.
fn spoiled(spoil: impl FnOnce(&mut Value)) -> Delta {
    let mut value = serde_json::to_value(trained(1).diff(&blank()).unwrap()).unwrap();
    let before = value.clone();
    spoil(&mut value["learned"]["weights"]);
    assert_ne!(value, before);
    serde_json::from_value(value).unwrap()
}

/// Error with which a policy, and a valid delta, refuse a delta. Neither may change.
fn refused(delta: &Delta) -> Error {
    let mut policy = trained(2);
    let before = policy.state();
    let error = policy.apply(delta).unwrap_err();
    assert_eq!(policy.state(), before);
    let mut healthy = trained(3).diff(&blank()).unwrap();
    let unchanged = healthy.clone();
    assert_eq!(healthy.combine(delta).unwrap_err(), error);
    assert_eq!(healthy, unchanged);
    let mut receiver = delta.clone();
    assert_eq!(receiver.combine(&unchanged).unwrap_err(), error);
    assert_eq!(&receiver, delta);
    error
}

#[test]
fn a_delta_with_an_arm_number_too_large_changes_nothing() {
    let error = refused(&spoiled(|delta| delta["arms"][2][0] = (1u64 << 63).into()));
    assert!(matches!(error, Error::Parameter { name: "arm number", .. }), "{error}");
}

#[test]
fn a_delta_that_lists_an_arm_twice_is_refused() {
    let error = refused(&spoiled(|delta| delta["arms"][1][0] = 0.into()));
    assert_eq!(error, Error::DuplicateArm { arm: ArmId::new(0) });
}

#[test]
fn a_delta_whose_arms_are_out_of_order_is_refused() {
    let error = refused(&spoiled(|delta| delta["arms"].as_array_mut().unwrap().swap(0, 2)));
    assert!(matches!(error, Error::InvalidState { what: "arm of delta", index: 1, .. }), "{error}");
}

#[test]
fn a_delta_with_values_missing_or_too_many_is_refused() {
    for part in ["precision", "moment"] {
        let shorter = spoiled(|delta| drop(delta["arms"][1][1][part].as_array_mut().unwrap().pop()));
        let longer = spoiled(|delta| delta["arms"][1][1][part].as_array_mut().unwrap().push(1.0.into()));
        for error in [refused(&shorter), refused(&longer)] {
            assert!(matches!(error, Error::InvalidState { index: 1, .. }), "{error}");
        }
    }
}

#[test]
fn a_delta_of_more_updates_than_can_be_counted_is_refused() {
    for updates in [u64::MAX, 1 << 63] {
        let error = refused(&spoiled(|delta| delta["updates"] = updates.into()));
        assert!(matches!(error, Error::InvalidState { what: "updates of delta", .. }), "{error}");
        let error = refused(&spoiled(|delta| delta["arms"][0][1]["updates"] = updates.into()));
        assert!(matches!(error, Error::InvalidState { what: "updates of arm of delta", .. }), "{error}");
    }
}

#[test]
fn deltas_whose_sums_overflow_are_not_combined() {
    let huge = spoiled(|delta| delta["arms"][1][1]["moment"][0] = 1.7e308.into());
    let mut sum = huge.clone();
    let error = sum.combine(&huge).unwrap_err();
    assert!(matches!(error, Error::NotFinite { what: "moment", index: 0, .. }), "{error}");
    assert_eq!(sum, huge);
}

#[test]
fn a_prior_of_another_mean_is_another_prior() {
    let options = |mean| DiagonalLaplace::default().with_prior_mean(mean).with_prior_precision(0.5);
    let make = |mean| Disjoint::new(2, 1, options(mean), Thompson { alpha: 1.0 }).unwrap();
    let (mut zero, one) = (make(0.0), make(1.0));
    let refused = zero.merge(&one).unwrap_err();
    assert_eq!(refused, Error::Unlike { what: "prior mean", ours: 0.0, theirs: 1.0 });
}
