//! Warm-ups of scalings whose arms come and go.

use crate::support::rng;
use dht_bandits::features::NormalizerOptions;
use dht_bandits::policy::{Normalised, Propensity, Uniform};
use dht_bandits::{
    ArmId, Choice, Error, LinUcb, Policy, Request, Result, RidgeOptions, Ucb,
    exploration::ExploreFirst,
    policy::{ArmSet, Disjoint},
    posterior::Ridge,
};
use std::cell::Cell;
use std::rc::Rc;

#[test]
fn the_version_never_falls_when_an_arm_of_the_warm_up_is_removed() {
    let inner = Disjoint::<Ridge, _>::new(2, 3, RidgeOptions::default(), ExploreFirst { rewards: 8 }).unwrap();
    let mut policy = Normalised::new(inner, 2, NormalizerOptions::default(), 10, false).unwrap();
    let (mut before, mut decisions) = (0, Vec::new());
    for number in 0..30u64 {
        if number == 7 {
            policy.inner_mut().remove_arm(ArmId::new(1)).unwrap();
        }
        let context = [number as f64, 1.0 / (1.0 + number as f64)];
        let arms = [ArmId::new(number % 2)];
        let request = Request::new(&context);
        let request = if number < 7 { request.only(&arms) } else { request };
        let decision = policy.decide(&request, &mut rng(number)).unwrap();
        assert_eq!(decision.choice.version, policy.version());
        assert_eq!(policy.select(&request, &mut rng(number)).unwrap().version, policy.version());
        policy.learn(&decision, 1.0).unwrap();
        assert_eq!(policy.version(), before + 1, "{number}");
        before = policy.version();
        // What is saved goes on from there.
        let loaded: Normalised<Disjoint<Ridge, ExploreFirst>> =
            serde_json::from_str(&serde_json::to_string(&policy).unwrap()).unwrap();
        assert_eq!(loaded.version(), before);
        decisions.push(decision);
    }
    // Three rewards of the removed arm were left out.
    assert_eq!((policy.version(), policy.inner().version()), (30, 27));
    let mut damaged = serde_json::to_value(&policy).unwrap();
    damaged["left_out"] = 11.into();
    assert!(serde_json::from_value::<Normalised<Disjoint<Ridge, ExploreFirst>>>(damaged).is_err());
    // Late rewards of the warm-up are learned still.
    policy.learn(&decisions[8], 0.5).unwrap();
    assert_eq!(policy.learn(&decisions[1], 0.5), Err(Error::RemovedArm { arm: ArmId::new(1) }));
}

/// A policy that counts how often it is copied.
#[derive(Debug)]
struct Counting {
    inner: Uniform,
    tells: bool,
    copies: Rc<Cell<usize>>,
}

impl Clone for Counting {
    fn clone(&self) -> Self {
        self.copies.set(self.copies.get() + 1);
        Self { inner: self.inner.clone(), tells: self.tells, copies: Rc::clone(&self.copies) }
    }
}

impl Policy for Counting {
    fn dimension(&self) -> usize {
        self.inner.dimension()
    }

    fn arms(&self) -> &ArmSet {
        self.inner.arms()
    }

    fn version(&self) -> u64 {
        self.inner.version()
    }

    fn select(&self, request: &Request<'_>, rng: &mut dyn rand::Rng) -> Result<Choice> {
        self.inner.select(request, rng)
    }

    fn propensities(&self, request: &Request<'_>) -> Result<Vec<Propensity>> {
        self.inner.propensities(request)
    }

    fn update(&mut self, arm: ArmId, context: &[f64], reward: f64, weight: f64) -> Result<()> {
        self.inner.update(arm, context, reward, weight)
    }

    fn check_update(&self, arm: ArmId, context: &[f64], reward: f64, weight: f64) -> Result<bool> {
        if self.tells { self.inner.check_update(arm, context, reward, weight) } else { Ok(false) }
    }
}

#[test]
fn a_policy_that_tells_what_it_would_refuse_is_copied_once_in_a_warm_up() {
    for (tells, most) in [(true, 1), (false, 51)] {
        let copies = Rc::new(Cell::new(0));
        let inner = Counting { inner: Uniform::new(2, 2).unwrap(), tells, copies: Rc::clone(&copies) };
        let mut policy = Normalised::new(inner, 2, NormalizerOptions::default(), 50, false).unwrap();
        for number in 0..60u64 {
            let context = [number as f64, 1.0];
            let decision = policy.decide(&Request::new(&context), &mut rng(number)).unwrap();
            // Refused by the one as by the other.
            assert!(policy.update(ArmId::new(9), &context, 1.0, 1.0).is_err());
            policy.learn(&decision, 1.0).unwrap();
        }
        assert!(policy.normalizer().is_frozen() && copies.get() >= 1, "{}", copies.get());
        let tried = if tells { 0 } else { 50 };
        assert_eq!(copies.get(), most + tried, "{tells}");
    }
}

#[test]
fn a_reward_that_would_stop_the_end_of_a_warm_up_is_refused_at_once() {
    let inner = LinUcb::new(2, 3, RidgeOptions::default(), Ucb { alpha: 0.5 }).unwrap();
    let mut policy = Normalised::new(inner, 2, NormalizerOptions::default(), 3, false).unwrap();
    for reward in [1e200, f64::NAN] {
        assert!(policy.update(ArmId::new(0), &[1.0, 2.0], reward, 1e100).is_err());
    }
    assert_eq!(policy.version(), 0);
}

#[test]
fn a_reward_that_the_final_scaling_does_not_allow_is_left_out_and_keeps_none_from_being_learned() {
    for (reward, weight) in [(1e100, 1.0), (1.0, 1e15), (1.0, 1.0)] {
        let options = RidgeOptions { prior_precision: 1e-80, ..RidgeOptions::default() };
        let inner = LinUcb::new(3, 2, options, Ucb { alpha: 0.5 }).unwrap();
        let mut policy = Normalised::new(inner, 2, NormalizerOptions::default(), 8, true).unwrap();
        policy.update(ArmId::new(0), &[0.5, 0.1], reward, weight).unwrap();
        let mut refused = 0;
        for number in 0..30u64 {
            let context = [number as f64, 1.0 / (1.0 + number as f64)];
            let decision = policy.decide(&Request::new(&context), &mut rng(number)).unwrap();
            refused += u64::from(policy.learn(&decision, 1.0).is_err());
            assert_eq!(policy.version(), 2 + number - refused);
        }
        // What is refused later is refused for a mean of its own that overflows.
        assert!(policy.normalizer().is_frozen() && refused < 5, "{reward} {weight}: {refused}");
    }
}

#[test]
fn what_waits_in_a_saved_state_has_the_form_that_the_policy_takes() {
    let inner = LinUcb::new(3, 2, RidgeOptions::default(), Ucb { alpha: 0.5 }).unwrap();
    let mut policy = Normalised::new(inner, 2, NormalizerOptions::default(), 8, true).unwrap();
    for number in 0..4 {
        policy.update(ArmId::new(number % 2), &[number as f64, 1.0], 1.0, 1.0).unwrap();
    }
    let saved = serde_json::to_value(&policy).unwrap();
    let load = |state| serde_json::from_value::<Normalised<LinUcb>>(state);
    assert_eq!(load(saved.clone()).unwrap().version(), 4);
    for (field, value) in [
        ("context", serde_json::json!([1.0, 2.0, 3.0])),
        ("context", serde_json::json!([1.0])),
        ("arm", serde_json::json!(99)),
        ("weight", serde_json::json!(-1.0)),
    ] {
        let mut damaged = saved.clone();
        damaged["waiting"][2][field] = value;
        assert!(load(damaged).is_err(), "{field}");
    }
}
