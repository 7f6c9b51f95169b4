//! Counts at their limits: a typed error, never an overflow. Every accepted state can be loaded again.

use dht_bandits::{
    ArmId, Error, LinUcb, Policy, Request, Ridge, Thompson, Ucb,
    policy::{ArmFeedback, Disjoint, Feedback, Hybrid, TopK, Uniform},
    posterior::DiagonalLaplace,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::support::featured;

/// Largest number of updates that a policy counts.
const MOST: u64 = u64::MAX / 2;

fn learner() -> LinUcb {
    LinUcb::new(2, 2, Ridge::default(), Ucb { alpha: 1.0 }).unwrap()
}

/// Policy after this number of updates.
fn aged<T: Serialize + DeserializeOwned>(policy: &T, version: u64) -> T {
    let mut value = serde_json::to_value(policy).unwrap();
    value["version"] = version.into();
    serde_json::from_value(value).unwrap()
}

fn again<T: Serialize + DeserializeOwned>(value: &T) -> T {
    serde_json::from_str(&serde_json::to_string(value).unwrap()).unwrap()
}

fn is_limit(error: &Error) -> bool {
    matches!(error, Error::CountLimit { what: "version", .. })
}

#[test]
fn a_policy_at_its_counter_limit_rejects_updates_unchanged() {
    let context = [1.0, 0.5];
    let mut single = aged(&learner(), MOST - 1);
    single.update(ArmId::new(0), &context, 1.0, 1.0).unwrap();
    let before = single.state();
    assert!(is_limit(&single.update(ArmId::new(0), &context, 1.0, 1.0).unwrap_err()));
    let decision = single.decide(&Request::new(&context), &mut crate::support::rng(1)).unwrap();
    assert!(is_limit(&single.learn_batch(&[dht_bandits::Observation::new(decision, 1.0)]).unwrap_err()));
    assert_eq!(again(&single).state(), before);

    let options = DiagonalLaplace::default();
    let mut slates = aged(&TopK::per_arm(2, 2, options, Thompson { alpha: 1.0 }).unwrap(), MOST);
    let before = slates.state();
    let feedback = [ArmFeedback::new(ArmId::new(1), &context, Feedback::from(true))];
    assert!(is_limit(&slates.update_batch(&feedback).unwrap_err()));
    assert_eq!(again(&slates).state(), before);

    let mut hybrid = aged(&Hybrid::new(2, 1, 2, 1.0, Ucb { alpha: 1.0 }).unwrap(), MOST);
    let before = hybrid.state();
    assert!(is_limit(&hybrid.update(ArmId::new(0), &context, &[1.0], 1.0, 1.0).unwrap_err()));
    assert_eq!(again(&hybrid).state(), before);

    let mut uniform = aged(&Uniform::new(2, 2).unwrap(), MOST);
    assert!(is_limit(&uniform.update(ArmId::new(0), &context, 1.0, 1.0).unwrap_err()));
    assert_eq!(again(&uniform), uniform);
}

#[test]
fn merging_beyond_what_can_be_counted_is_refused() {
    let (mut old, young) = (aged(&learner(), MOST), aged(&learner(), 1));
    let before = old.state();
    assert!(is_limit(&old.merge(&young).unwrap_err()));
    assert_eq!(old.state(), before);
    let mut sum = old.diff(&learner()).unwrap();
    let unchanged = sum.clone();
    assert!(matches!(sum.combine(&young.diff(&learner()).unwrap()), Err(Error::CountLimit { .. })));
    assert_eq!(sum, unchanged);
}

#[test]
fn a_count_beyond_the_limit_is_not_loaded() {
    let with = |path: &[&str], count: u64| {
        let mut value = serde_json::to_value(learner()).unwrap();
        let position = path.iter().fold(&mut value, |value, key| match key.parse::<usize>() {
            Ok(index) => &mut value[index],
            Err(_) => &mut value[*key],
        });
        *position = count.into();
        serde_json::from_value::<LinUcb>(value).map(drop).map_err(|error| error.to_string())
    };
    for path in [&["version"][..], &["learned", "1", "updates"]] {
        assert_eq!(with(path, MOST), Ok(()));
        assert!(with(path, MOST + 1).is_err(), "{path:?}");
    }
    let mut uniform = serde_json::to_value(Uniform::new(2, 2).unwrap()).unwrap();
    uniform["version"] = u64::MAX.into();
    assert!(serde_json::from_value::<Uniform>(uniform).is_err());
}

#[test]
fn an_arm_that_can_count_no_more_refuses_to_learn() {
    let mut value = serde_json::to_value(learner()).unwrap();
    value["learned"][0]["updates"] = MOST.into();
    let mut policy: LinUcb = serde_json::from_value(value).unwrap();
    let before = policy.state();
    let refused = policy.update(ArmId::new(0), &[1.0, 0.5], 1.0, 1.0).unwrap_err();
    assert!(matches!(refused, Error::CountLimit { what: "updates of the arm", .. }), "{refused}");
    assert_eq!(policy.state(), before);
}

#[test]
fn the_last_arm_number_can_be_given_and_none_after_it() {
    let mut policy = learner();
    policy.insert_arm(ArmId::new((1 << 63) - 1)).unwrap();
    let before = policy.state();
    let refused = policy.add_arm().unwrap_err();
    assert!(matches!(refused, Error::CountLimit { what: "number of the next arm", .. }), "{refused}");
    assert!(policy.add_arm_like(ArmId::new(0)).is_err());
    assert_eq!(again(&policy).state(), before);
    // Lower ids are still free.
    policy.insert_arm(ArmId::new(77)).unwrap();
    assert_eq!(again(&policy).state(), policy.state());
}

#[test]
fn expiring_decisions_never_overflows() {
    let mut value = serde_json::to_value(aged(&learner(), MOST)).unwrap();
    value["epoch"] = u64::MAX.into();
    let mut policy: LinUcb = serde_json::from_value(value).unwrap();
    policy.expire_decisions().unwrap();
    assert_eq!(again(&policy).state(), policy.state());
}

#[test]
fn a_ridge_that_forgets_its_prior_before_restoring_is_rejected() {
    let make = |dimension, decay| {
        let forgetting = decay;
        LinUcb::new(dimension, 1, Ridge::default().with_decay(forgetting), Ucb { alpha: 1.0 })
    };
    assert!(make(300, 0.5).is_ok());
    for (dimension, decay) in [(600, 0.5), (2, 1e-60)] {
        let refused = make(dimension, decay).unwrap_err();
        assert!(matches!(refused, Error::Parameter { name: "decay", .. }), "{refused}");
    }
    let mut policy = make(300, 0.5).unwrap();
    let mut context = vec![0.0; 300];
    context[0] = 1.0;
    for _ in 0..700 {
        policy.update(ArmId::new(0), &context, 1.0, 1.0).unwrap();
        assert!(LinUcb::from_state(&policy.state()).is_ok());
    }
}

#[test]
fn information_that_would_overflow_is_refused() {
    let storing = Ridge::default().with_keep_information(true);
    let mut value = serde_json::to_value(LinUcb::new(1, 1, storing, Ucb { alpha: 1.0 }).unwrap()).unwrap();
    value["learned"][0]["information"]["moment"][0] = 9.5e249.into();
    let mut policy: LinUcb = serde_json::from_value(value.clone()).unwrap();
    let before = policy.state();
    let refused = policy.update(ArmId::new(0), &[9e49], 1e199, 1.0).unwrap_err();
    assert!(matches!(refused, Error::TooLarge { what: "moment b", .. }), "{refused}");
    assert_eq!(policy.state(), before);
    policy.update(ArmId::new(0), &[9e49], 1e198, 1.0).unwrap();
    assert_eq!(again(&policy).state(), policy.state());
    value["learned"][0]["information"]["moment"][0] = 1.1e250.into();
    assert!(serde_json::from_value::<LinUcb>(value).is_err());
}

#[test]
fn a_precision_at_its_limit_stays_there() {
    let options = DiagonalLaplace::default();
    let policy = Disjoint::new(1, 1, options, Thompson { alpha: 1.0 }).unwrap();
    let mut value = serde_json::to_value(&policy).unwrap();
    value["learned"][0]["precision"][0] = 1e250.into();
    let mut policy: Disjoint<DiagonalLaplace, Thompson> = serde_json::from_value(value).unwrap();
    policy.update(ArmId::new(0), &[1e100], 1.0, 1e100).unwrap();
    assert_eq!(again(&policy).state(), policy.state());
}

#[test]
fn a_shared_model_runs_out_of_ids_like_any_other() {
    let shared = TopK::shared(2, DiagonalLaplace::default(), Thompson { alpha: 1.0 }).unwrap();
    let mut value = serde_json::to_value(&shared).unwrap();
    value["arms"]["next"] = (1u64 << 63).into();
    let mut policy: TopK<DiagonalLaplace, Thompson> = serde_json::from_value(value).unwrap();
    assert!(policy.add_arm().is_err());
    let arms = [ArmId::new(5)];
    assert!(policy.select_slate(1, &featured(&[], &arms, &[1.0, 2.0]), &mut crate::support::rng(1)).is_ok());
}
