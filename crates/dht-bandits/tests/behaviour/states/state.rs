//! Saving and loading.

use dht_bandits::{
    ArmId, Error, LinTs, LinUcb, Normalizer, Policy, Request, Ridge, Thompson, Ucb,
    features::PyramidPool,
    policy::{Disjoint, Fixed, TopK, Uniform},
    posterior::DiagonalLaplace,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::support::{normals, rng};

fn again<T: Serialize + DeserializeOwned>(value: &T) -> T {
    serde_json::from_str(&serde_json::to_string(value).unwrap()).unwrap()
}

fn learned() -> LinUcb {
    let options = Ridge::new(0.3).with_decay(0.99).with_keep_information(true);
    let mut policy = LinUcb::new(11, 4, options, Ucb { alpha: 0.7 }).unwrap();
    let mut rng = rng(1);
    for round in 0..60 {
        let context = normals(&mut rng, 11);
        policy.update(ArmId::new(round % 4), &context, context[0], 1.0).unwrap();
    }
    policy.remove_arm(ArmId::new(1)).unwrap();
    policy.add_arm().unwrap();
    policy
}

#[test]
fn a_policy_that_was_saved_goes_on_to_the_bit() {
    let mut policy = learned();
    let mut loaded = again(&policy);
    assert_eq!(loaded.state(), policy.state());
    let (mut left, mut right) = (rng(2), rng(2));
    let mut contexts = rng(3);
    for _ in 0..50 {
        let context = normals(&mut contexts, 11);
        let choice = policy.select(&Request::new(&context), &mut left).unwrap();
        assert_eq!(loaded.select(&Request::new(&context), &mut right).unwrap(), choice);
        policy.update(choice.arm, &context, context[1], 1.0).unwrap();
        loaded.update(choice.arm, &context, context[1], 1.0).unwrap();
    }
    assert_eq!(loaded.state(), policy.state());
}

#[test]
fn everything_that_learns_survives_saving() {
    let mut logistic = Disjoint::new(3, 2, DiagonalLaplace::default(), Thompson { alpha: 1.0 }).unwrap();
    logistic.update(ArmId::new(1), &[0.3, 0.1, 1.0], 1.0, 1.0).unwrap();
    assert_eq!(again(&logistic).state(), logistic.state());
    let slates = TopK::per_arm(3, 4, DiagonalLaplace::default(), Thompson { alpha: 1.0 }).unwrap();
    let slates = slates.with_pinned(&[ArmId::new(2)]).unwrap();
    assert_eq!(again(&slates).state(), slates.state());
    let mut norm = Normalizer::new(2).unwrap();
    norm.observe(&[0.1, 0.2]).unwrap();
    assert_eq!(again(&norm), norm);
    let pool = PyramidPool::grid(0..=1, 2..=4).unwrap();
    assert_eq!(again(&pool), pool);
    let uniform = Uniform::new(2, 3).unwrap();
    assert_eq!(again(&uniform), uniform);
    let fixed = Fixed::new(2, 3, ArmId::new(1)).unwrap();
    assert_eq!(again(&fixed), fixed);
}

#[test]
fn a_state_of_another_kind_or_a_newer_version_is_refused() {
    let mut state = learned().state();
    state.header.format = 99;
    assert_eq!(LinUcb::from_state(&state).unwrap_err(), Error::NewerState { supported: 4, found: 99 });
    state.header.format = 4;
    state.header.kind = "disjoint/ridge/thompson".to_owned();
    assert!(matches!(LinUcb::from_state(&state), Err(Error::ForeignState { .. })));
    let text = serde_json::to_string(&learned()).unwrap();
    assert!(serde_json::from_str::<LinTs>(&text).is_err());
    // The header is read first and reports a newer version or another family, whatever the rest of the state contains.
    let newer = text.replacen("\"format\":4", "\"format\":5", 1).replacen(
        "\"prior_precision\"",
        "\"something_new\":1,\"prior_precision\"",
        1,
    );
    let refused = serde_json::from_str::<LinUcb>(&newer).unwrap_err().to_string();
    assert!(refused.starts_with("saved state has format version 5; versions up to 4 can be read"), "{refused}");
    let refused = serde_json::from_str::<Normalizer>(&text).unwrap_err().to_string();
    assert!(refused.starts_with("saved state is a \"disjoint/ridge/ucb\", expected a \"running-norm\""), "{refused}");
    let header: dht_bandits::policy::StateHeader =
        serde_json::from_value(serde_json::from_str::<serde_json::Value>(&text).unwrap()["header"].clone()).unwrap();
    assert_eq!(header.kind, "disjoint/ridge/ucb");
}

#[test]
fn a_state_that_contradicts_itself_is_refused() {
    let good = serde_json::to_value(learned()).unwrap();
    let refuse = |spoil: &dyn Fn(&mut serde_json::Value)| {
        let mut bad = good.clone();
        spoil(&mut bad);
        assert_ne!(bad, good);
        let text = bad.to_string();
        serde_json::from_str::<LinUcb>(&text).unwrap_err().to_string()
    };
    assert!(serde_json::from_value::<LinUcb>(good.clone()).is_ok());
    assert!(refuse(&|state| state["learned"][0]["diagonal"][3] = (-1.0).into()).contains("diagonal of arm 0"));
    assert!(refuse(&|state| state["learned"][2]["diagonal"][0] = 0.0.into()).contains("diagonal of arm 2"));
    assert!(refuse(&|state| state["dimension"] = 12.into()).contains("expected 12"));
    assert!(refuse(&|state| state["arms"]["ids"][1] = 0.into()).contains("there twice"));
    assert!(refuse(&|state| state["arms"]["next"] = 2.into()).contains("not below"));
    assert!(refuse(&|state| state["exploration"]["alpha"] = (-1.0).into()).contains("alpha"));
    assert!(refuse(&|state| state["options"]["prior_precision"] = 0.0.into()).contains("prior_precision"));
    assert!(refuse(&|state| state["options"]["keep_information"] = false.into()).contains("disagree"));
    let mut fewer = learned().state();
    fewer = serde_json::from_value({
        let mut value = serde_json::to_value(fewer).unwrap();
        value["learned"].as_array_mut().unwrap().pop();
        value
    })
    .unwrap();
    assert!(matches!(LinUcb::from_state(&fewer), Err(Error::InvalidState { what: "learned arms", .. })));
}
