//! Decisions whose rewards arrive after the process has ended.

use dht_bandits::{
    ArmId, Decision, Error, LinUcb, Observation, Policy, Request, Ridge, Thompson, Ucb,
    policy::{BetaThompson, ContextFree, Feedback, Hybrid, Slate, TopK, Uniform},
    posterior::DiagonalLaplace,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::support::{featured, normals, rng};

fn learner(arms: usize) -> LinUcb {
    LinUcb::new(2, arms, Ridge::default(), Ucb { alpha: 1.0 }).unwrap()
}

fn again<T: Serialize + DeserializeOwned>(value: &T) -> T {
    serde_json::from_str(&serde_json::to_string(value).unwrap()).unwrap()
}

#[test]
fn decisions_in_flight_survive_a_restore_from_the_last_save() {
    let (mut policy, mut rng) = (learner(3), rng(1));
    let mut saved = policy.clone();
    let mut parked: Vec<Decision> = Vec::new();
    for round in 0..60 {
        if round == 50 {
            saved = again(&policy);
        }
        let context = normals(&mut rng, 2);
        let decision = policy.decide(&Request::new(&context), &mut rng).unwrap();
        policy.update(decision.arm(), &context, 0.5, 1.0).unwrap();
        if round >= 40 {
            parked.push(again(&decision));
        }
    }
    // The process ends here. Rewards since the save are lost, but not the rewards that arrive later.
    let mut restored = saved;
    assert_eq!(restored.version(), 50);
    assert!(parked.iter().any(|decision| decision.choice.version > restored.version()));
    let mut batch = restored.clone();
    for decision in &parked {
        restored.learn(decision, 1.0).unwrap();
    }
    let observations: Vec<_> = parked.into_iter().map(|decision| Observation::new(decision, 1.0)).collect();
    batch.learn_batch(&observations).unwrap();
    assert_eq!(batch.state(), restored.state());
    assert_eq!(restored.version(), 70);
}

#[test]
fn slates_and_hybrid_decisions_in_flight_survive_a_restore() {
    let mut rng = rng(2);
    let arms = [0, 1, 2].map(ArmId::new);
    let rows = normals(&mut rng, 6);
    let mut slates = TopK::per_arm(2, 3, DiagonalLaplace::default(), Thompson { alpha: 1.0 }).unwrap();
    let mut saved = slates.clone();
    let first = slates.select_slate(2, &featured(&[], &arms, &rows), &mut rng).unwrap();
    slates.learn_slate(&first, &[Feedback::from(true); 2]).unwrap();
    let later: Slate = again(&slates.select_slate(2, &featured(&[], &arms, &rows), &mut rng).unwrap());
    saved.learn_slate(&later, &[Feedback::from(true); 2]).unwrap();

    let mut hybrid = Hybrid::new(1, 2, 3, 1.0, Ucb { alpha: 1.0 }).unwrap();
    let mut saved = hybrid.clone();
    hybrid.update(arms[0], &[1.0], &[0.5, 0.5], 1.0, 1.0).unwrap();
    let later = hybrid.decide(&featured(&[1.0], &arms, &rows), &mut rng).unwrap();
    saved.learn(&again(&later), 1.0).unwrap();
}

#[test]
fn decisions_from_before_an_expiry_stay_expired_after_a_restore() {
    let (mut policy, mut rng) = (learner(3), rng(3));
    let saved = policy.clone();
    for _ in 0..5 {
        policy.update(ArmId::new(0), &[1.0, 0.0], 1.0, 1.0).unwrap();
    }
    let old = policy.decide(&Request::new(&[1.0, 0.0]), &mut rng).unwrap();
    // The policy is restored to version 0 and then expires decisions. A decision of version 5 is older than the expiry.
    let mut restored = saved;
    restored.expire_decisions().unwrap();
    let before = restored.state();
    assert_eq!(restored.learn(&old, 1.0), Err(Error::StaleDecision { made_in: 0, epoch: 1 }));
    assert_eq!(restored.learn_batch(&[Observation::new(old, 1.0)]), Err(Error::StaleDecision { made_in: 0, epoch: 1 }));
    assert_eq!(restored.state(), before);
}

#[test]
fn decisions_from_an_unseen_epoch_are_foreign() {
    let (mut policy, mut rng) = (learner(3), rng(4));
    let mut saved: LinUcb = again(&policy);
    policy.expire_decisions().unwrap();
    let decision = policy.decide(&Request::new(&[1.0, 0.0]), &mut rng).unwrap();
    assert_eq!(saved.learn(&decision, 1.0), Err(Error::ForeignDecision { made_in: 1, epoch: 0 }));
    again(&policy).learn(&decision, 1.0).unwrap();
}

#[test]
fn decisions_with_an_unknown_arm_or_wrong_length_are_rejected() {
    let (mut policy, mut rng) = (learner(2), rng(5));
    let other = LinUcb::new(3, 2, Ridge::default(), Ucb { alpha: 1.0 }).unwrap();
    let longer = other.decide(&Request::new(&[1.0, 0.0, 0.5]), &mut rng).unwrap();
    let refused = policy.learn(&longer, 1.0).unwrap_err();
    assert_eq!(refused, Error::Dimension { what: "context", expected: 2, got: 3 });
    let last = [ArmId::new(8)];
    let unknown = learner(9).decide(&Request::new(&[1.0, 0.0]).only(&last), &mut rng).unwrap();
    assert_eq!(policy.learn(&unknown, 1.0), Err(Error::UnknownArm { arm: last[0] }));
}

#[test]
fn what_was_saved_before_epochs_were_counted_is_read() {
    let policy = learner(2);
    let decision = policy.decide(&Request::new(&[1.0, 0.0]), &mut rng(6)).unwrap();
    let mut old = serde_json::to_value(&decision).unwrap();
    old["choice"].as_object_mut().unwrap().remove("epoch").unwrap();
    let old: Decision = serde_json::from_value(old).unwrap();
    let load = |oldest_accepted: u64| -> LinUcb {
        let mut value = serde_json::to_value(&policy).unwrap();
        value["header"]["format"] = 1.into();
        value["version"] = 7.into();
        value.as_object_mut().unwrap().remove("epoch").unwrap();
        value["oldest_accepted"] = oldest_accepted.into();
        serde_json::from_value(value).unwrap()
    };
    load(0).learn(&old, 1.0).unwrap();
    // Decisions had been expired at version 4. Decisions without an epoch are not known to be later.
    assert!(matches!(load(4).learn(&old, 1.0), Err(Error::StaleDecision { .. })));
}

/// Refuses a decision of the previous epoch, also after the policy was saved and loaded.
fn assert_saves_its_epoch<P: Policy + Serialize + DeserializeOwned>(mut policy: P, request: &Request<'_>) {
    let old = policy.decide(request, &mut rng(7)).unwrap();
    policy.expire_decisions().unwrap();
    let stale = Err(Error::StaleDecision { made_in: 0, epoch: 1 });
    let (mut loaded, new): (P, _) = (again(&policy), policy.decide(request, &mut rng(8)).unwrap());
    assert_eq!((loaded.epoch(), loaded.learn(&old, 1.0)), (1, stale));
    loaded.learn(&new, 1.0).unwrap();
}

#[test]
fn every_policy_saves_its_epoch() {
    let arms = [0, 1].map(ArmId::new);
    let (context, rows) = ([1.0, 0.5], [0.5, 1.0]);
    let request = Request::new(&context);
    assert_saves_its_epoch(Uniform::new(2, 2).unwrap(), &request);
    assert_saves_its_epoch(learner(2), &request);
    assert_saves_its_epoch(ContextFree::new(2, BetaThompson::default()).unwrap(), &request);
    assert_saves_its_epoch(Hybrid::new(2, 1, 2, 1.0, Ucb { alpha: 1.0 }).unwrap(), &featured(&context, &arms, &rows));
    let per_arm = TopK::<Ridge, _>::per_arm(2, 2, Ridge::default(), Ucb { alpha: 1.0 }).unwrap();
    assert_saves_its_epoch(per_arm, &request);
    // Former states of baselines had no epoch.
    let mut old = serde_json::to_value(Uniform::new(2, 2).unwrap()).unwrap();
    old.as_object_mut().unwrap().remove("epoch").unwrap();
    assert_eq!(serde_json::from_value::<Uniform>(old).unwrap().epoch(), 0);
}
