//! Warm-ups of scalings whose arms come and go.

use crate::support::rng;
use dht_bandits::{
    ArmId, Choice, Error, LinUcb, Normalizer, Observation, Policy, Request, Result, Ridge, Ucb,
    exploration::EpsilonGreedy,
    policy::{ArmSet, Disjoint, Normalised, Propensity, Uniform},
};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

#[test]
fn removing_an_arm_of_the_warm_up_never_lowers_the_version() {
    let inner = Disjoint::<Ridge, _>::new(2, 3, Ridge::default(), EpsilonGreedy::new(0.0).with_first(8)).unwrap();
    let mut policy = Normalised::new(inner, Normalizer::new(2).unwrap(), 10, false).unwrap();
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
        let loaded: Normalised<Disjoint<Ridge, EpsilonGreedy>> =
            serde_json::from_str(&serde_json::to_string(&policy).unwrap()).unwrap();
        assert_eq!(loaded.version(), before);
        decisions.push(decision);
    }
    // Three rewards of the removed arm were left out.
    assert_eq!((policy.version(), policy.inner().version()), (30, 27));
    let mut damaged = serde_json::to_value(&policy).unwrap();
    damaged["left_out"] = 11.into();
    assert!(serde_json::from_value::<Normalised<Disjoint<Ridge, EpsilonGreedy>>>(damaged).is_err());
    // Late rewards of the warm-up are learned still.
    policy.learn(&decisions[8], 0.5).unwrap();
    assert_eq!(policy.learn(&decisions[1], 0.5), Err(Error::RemovedArm { arm: ArmId::new(1) }));
}

/// A policy that counts how often it is copied.
#[derive(Debug)]
struct Counting {
    inner: Uniform,
    tells: bool,
    copies: Arc<AtomicUsize>,
}

impl Clone for Counting {
    fn clone(&self) -> Self {
        self.copies.fetch_add(1, Ordering::Relaxed);
        Self { inner: self.inner.clone(), tells: self.tells, copies: Arc::clone(&self.copies) }
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
fn a_warm_up_copies_its_policy_at_each_rebuild_alone() {
    // Rebuilds after 1 to 8, 10, 12, 15, 18, 22, 27, 33 and 41 rewards; at the end the policy is copied once.
    for (can_check, tried) in [(true, 0), (false, 100)] {
        let copies = Arc::new(AtomicUsize::new(0));
        let inner = Counting { inner: Uniform::new(2, 2).unwrap(), tells: can_check, copies: Arc::clone(&copies) };
        let mut policy = Normalised::new(inner, Normalizer::new(2).unwrap(), 50, false).unwrap();
        for number in 0..60u64 {
            let context = [number as f64, 1.0];
            let decision = policy.decide(&Request::new(&context), &mut rng(number)).unwrap();
            // Refused by the one as by the other.
            assert!(policy.update(ArmId::new(9), &context, 1.0, 1.0).is_err());
            policy.learn(&decision, 1.0).unwrap();
        }
        assert!(policy.normalizer().is_frozen());
        assert_eq!(copies.load(Ordering::Relaxed), 16 + 1 + tried, "{can_check}");
    }
}

/// Two arms on raw features of different scales: arm 1 is right where the first is above its mean.
fn serve(policy: &mut dyn Policy, rounds: std::ops::Range<u64>) -> (f64, Vec<Choice>) {
    let (mut total, mut choices) = (0.0, Vec::new());
    for number in rounds {
        let value = ((number * 7919) % 101) as f64 / 101.0;
        let context = [1e6 + 100.0 * value, 1e-6 * ((number * 31) % 17) as f64];
        let decision = policy.decide(&Request::new(&context), &mut rng(number)).unwrap();
        let reward = f64::from(u8::from((value > 0.5) == (decision.arm() == ArmId::new(1))));
        policy.learn(&decision, reward).unwrap();
        total += reward;
        choices.push(decision.choice);
    }
    (total, choices)
}

fn scaled(warm_up: u64) -> Normalised<LinUcb> {
    let inner = LinUcb::new(3, 2, Ridge::default(), Ucb { alpha: 0.25 }).unwrap();
    Normalised::new(inner, Normalizer::new(2).unwrap(), warm_up, true).unwrap()
}

#[test]
fn a_warm_up_costs_no_uniform_draws() {
    let (reward, _) = serve(&mut scaled(1000), 0..200);
    assert!(reward > 160.0, "{reward} of 200, uniform draws give 100");
}

#[test]
fn a_policy_loaded_in_its_warm_up_decides_as_before() {
    for rounds in [0, 1, 2, 9, 40, 60] {
        let mut policy = scaled(50);
        serve(&mut policy, 0..rounds);
        let mut loaded: Normalised<LinUcb> = serde_json::from_str(&serde_json::to_string(&policy).unwrap()).unwrap();
        let next = rounds..rounds + 30;
        assert_eq!(serve(&mut loaded, next.clone()).1, serve(&mut policy, next).1, "{rounds}");
        assert_eq!(serde_json::to_string(&loaded).unwrap(), serde_json::to_string(&policy).unwrap());
    }
}

#[test]
fn arms_that_come_in_a_warm_up_can_be_chosen_at_once() {
    let mut policy = scaled(1000);
    serve(&mut policy, 0..50);
    let new = policy.inner_mut().add_arm().unwrap();
    policy.inner_mut().remove_arm(ArmId::new(0)).unwrap();
    let propensities = policy.propensities(&Request::new(&[1e6, 0.0])).unwrap();
    assert_eq!(propensities.iter().map(|entry| entry.arm).collect::<Vec<_>>(), [new, ArmId::new(1)]);
}

#[test]
fn scaled_rewards_make_choices_independent_of_their_unit() {
    let run = |scale: f64, offset: f64| {
        let mut policy = scaled(20).with_scaled_rewards().unwrap();
        let mut arms = Vec::new();
        for number in 0..200u64 {
            let value = ((number * 7919) % 101) as f64 / 101.0;
            let context = [1e6 + 100.0 * value, 1e-6 * ((number * 31) % 17) as f64];
            let decision = policy.decide(&Request::new(&context), &mut rng(number)).unwrap();
            let noise = ((number * 613) % 89) as f64 / 89.0;
            let reward = if decision.arm() == ArmId::new(1) { value } else { 0.5 } + 0.2 * noise;
            policy.learn(&decision, offset + scale * reward).unwrap();
            arms.push(decision.arm());
        }
        let choice = policy.select(&Request::new(&[1e6 + 90.0, 0.0]), &mut rng(1)).unwrap();
        assert!((choice.mean - offset - scale).abs() < 0.3 * scale, "{choice:?} in units of the reward");
        arms
    };
    // Powers of two and no offset: the same bits. Otherwise rounding may move a choice between near ties.
    assert_eq!(run(1.0, 0.0), run(1024.0, 0.0));
    let moved = run(1.0, 0.0).iter().zip(&run(1e-3, 50.0)).filter(|(left, right)| left != right).count();
    assert!(moved <= 4, "{moved} of 200");
    let mut late = scaled(20);
    serve(&mut late, 0..3);
    assert!(matches!(late.with_scaled_rewards(), Err(Error::Parameter { .. })));
}

#[test]
fn a_reward_that_would_block_the_end_of_warm_up_is_rejected() {
    let inner = LinUcb::new(2, 3, Ridge::default(), Ucb { alpha: 0.5 }).unwrap();
    let mut policy = Normalised::new(inner, Normalizer::new(2).unwrap(), 3, false).unwrap();
    for reward in [1e200, f64::NAN] {
        assert!(policy.update(ArmId::new(0), &[1.0, 2.0], reward, 1e100).is_err());
    }
    assert_eq!(policy.version(), 0);
}

#[test]
fn a_reward_that_the_final_scaling_rejects_blocks_no_other() {
    for (reward, weight) in [(1e100, 1.0), (1.0, 1e15), (1.0, 1.0)] {
        let options = Ridge::new(1e-80);
        let inner = LinUcb::new(3, 2, options, Ucb { alpha: 0.5 }).unwrap();
        let mut policy = Normalised::new(inner, Normalizer::new(2).unwrap(), 8, true).unwrap();
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
fn malformed_pending_rewards_in_a_saved_state_are_rejected() {
    let inner = LinUcb::new(3, 2, Ridge::default(), Ucb { alpha: 0.5 }).unwrap();
    let mut policy = Normalised::new(inner, Normalizer::new(2).unwrap(), 8, true).unwrap();
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

/// Rewards of 3 in a warm-up of 10 and after it, and their contexts.
fn equal_rewards(rounds: u32) -> (Normalised<LinUcb>, Vec<[f64; 2]>) {
    let (mut policy, mut contexts) = (scaled(10).with_scaled_rewards().unwrap(), Vec::new());
    for number in 0..rounds {
        let context = [f64::from(number % 7), 1e-6 * f64::from(number % 5)];
        policy.update(ArmId::new(u64::from(number % 2)), &context, 3.0, 1.0).unwrap();
        contexts.push(context);
    }
    (policy, contexts)
}

#[test]
fn the_first_reward_that_differs_sets_the_scale() {
    let (mut policy, contexts) = equal_rewards(30);
    assert!(policy.normalizer().is_frozen());
    let last = [4.0, 2e-6];
    policy.update(ArmId::new(1), &last, 5.0, 1.0).unwrap();
    // σ² = (5 − 3)²/31: the policy inside has learned 30 zeros, then √31, and later (4 − 3)/σ.
    policy.update(ArmId::new(0), &last, 4.0, 1.0).unwrap();
    let scaling = policy.normalizer().clone();
    let row = |context: &[f64]| [scaling.normalise(context).unwrap(), vec![1.0]].concat();
    let mut expected = LinUcb::new(3, 2, Ridge::default(), Ucb { alpha: 0.25 }).unwrap();
    for (number, context) in (0..).zip(&contexts) {
        expected.update(ArmId::new(number % 2), &row(context), 0.0, 1.0).unwrap();
    }
    expected.update(ArmId::new(1), &row(&last), 31f64.sqrt(), 1.0).unwrap();
    expected.update(ArmId::new(0), &row(&last), 31f64.sqrt() / 2.0, 1.0).unwrap();
    for arm in [0, 1].map(ArmId::new) {
        let (found, wanted) = (policy.inner().score(arm, &row(&last)), expected.score(arm, &row(&last)));
        let (found, wanted) = (found.unwrap(), wanted.unwrap());
        assert!((found.mean - wanted.mean).abs() < 1e-12 && (found.width - wanted.width).abs() < 1e-12, "{found:?}");
    }
    assert_eq!(policy.version(), 32);
}

#[test]
fn rare_rewards_are_scaled_in_any_unit() {
    let run = |unit: f64| {
        let (mut policy, mut arms) = (scaled(20).with_scaled_rewards().unwrap(), Vec::new());
        for number in 0..600u64 {
            let context = [((number * 7919) % 101) as f64, ((number * 31) % 17) as f64];
            let decision = policy.decide(&Request::new(&context), &mut rng(number)).unwrap();
            // One purchase in 50 rounds, none in the warm-up.
            policy.learn(&decision, if number % 50 == 49 { unit } else { 0.0 }).unwrap();
            arms.push(decision.arm());
        }
        arms
    };
    // Powers of two: the same bits.
    assert_eq!(run(1.0), run(1024.0));
    assert_eq!(run(1.0), run(1.0 / 1024.0));
}

#[test]
fn a_scale_of_rewards_that_waits_is_saved_and_left_by_errors() {
    let (mut policy, _) = equal_rewards(30);
    let again = |policy: &Normalised<LinUcb>| -> Normalised<LinUcb> {
        serde_json::from_str(&serde_json::to_string(policy).unwrap()).unwrap()
    };
    let before = serde_json::to_string(&policy).unwrap();
    assert!(policy.update(ArmId::new(9), &[1.0, 0.0], 5.0, 1.0).is_err());
    assert!(policy.update(ArmId::new(1), &[1.0, 0.0], f64::NAN, 1.0).is_err());
    assert!(policy.update(ArmId::new(1), &[1.0, 0.0], 5.0, -1.0).is_err());
    let decision = policy.decide(&Request::new(&[1.0, 0.0]), &mut rng(1)).unwrap();
    let mut batch = vec![Observation::new(decision, 5.0); 2];
    batch[1].reward = f64::INFINITY;
    assert!(policy.learn_batch(&batch).is_err());
    assert_eq!(serde_json::to_string(&policy).unwrap(), before);
    batch[1].reward = 3.5;
    let (mut loaded, mut single) = (again(&policy), policy.clone());
    policy.learn_batch(&batch).unwrap();
    batch.iter().for_each(|seen| single.learn(&seen.decision, seen.reward).unwrap());
    loaded.learn_batch(&batch).unwrap();
    let settled = serde_json::to_string(&policy).unwrap();
    assert_ne!(settled.replace("true", "false"), before.replace("true", "false"));
    for other in [&loaded, &single, &again(&policy)] {
        assert_eq!(serde_json::to_string(other).unwrap(), settled);
    }
    // A scale that waits although rewards vary, or before that of contexts is frozen, is no state of a policy.
    let mut damaged: serde_json::Value = serde_json::from_str(&settled).unwrap();
    damaged["rewards"]["frozen"] = false.into();
    assert!(serde_json::from_value::<Normalised<LinUcb>>(damaged).is_err());
}
