//! Warm-ups of scalings while arms are added and removed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dht_bandits::{
    ArmId, Choice, Error, LinUcb, Normalizer, Observation, Policy, Request, Result, Ridge, Ucb,
    exploration::EpsilonGreedy,
    policy::{
        AnyPolicy, ArmSet, Disjoint, Feedback, Hybrid, Normalised, PolicyKind, PolicySettings, Propensity, RewardType,
        Uniform,
    },
};

use crate::support::{normals, rng};

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
        // A saved policy continues from the same state.
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
    // Late rewards of the warm-up are still learned.
    policy.learn(&decisions[8], 0.5).unwrap();
    assert_eq!(policy.learn(&decisions[1], 0.5), Err(Error::RemovedArm { arm: ArmId::new(1) }));
}

/// Policy that counts how often it is copied.
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
    // The policy is rebuilt after 1 to 8, 10, 12, 15, 18, 22, 27, 33 and 41 rewards. At the end it is copied once.
    for (can_check, tried) in [(true, 0), (false, 100)] {
        let copies = Arc::new(AtomicUsize::new(0));
        let inner = Counting { inner: Uniform::new(2, 2).unwrap(), tells: can_check, copies: Arc::clone(&copies) };
        let mut policy = Normalised::new(inner, Normalizer::new(2).unwrap(), 50, false).unwrap();
        for number in 0..60u64 {
            let context = [number as f64, 1.0];
            let decision = policy.decide(&Request::new(&context), &mut rng(number)).unwrap();
            // Both policies refuse it.
            assert!(policy.update(ArmId::new(9), &context, 1.0, 1.0).is_err());
            policy.learn(&decision, 1.0).unwrap();
        }
        assert!(policy.normalizer().is_frozen());
        assert_eq!(copies.load(Ordering::Relaxed), 16 + 1 + tried, "{can_check}");
    }
}

/// Environment with two arms on raw features of different scales. Arm 1 is best where the first feature is above its
/// mean.
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
    // Scales that are powers of two without offset give the same bits. For others, rounding may change a choice between
    // near ties.
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
        // A later reward is refused because its own mean overflows.
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

/// Rewards of 3 in a warm-up of 10 and after it, with their contexts.
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
    // σ² = (5 − 3)²/31: the inner policy has learned 30 zeros, then √31, and later (4 − 3)/σ.
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
        let (score, reference) = (policy.inner().score(arm, &row(&last)), expected.score(arm, &row(&last)));
        let (score, reference) = (score.unwrap(), reference.unwrap());
        assert!(
            (score.mean - reference.mean).abs() < 1e-12 && (score.width - reference.width).abs() < 1e-12,
            "{score:?}"
        );
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
            // There is one purchase in 50 rounds, and none in the warm-up.
            policy.learn(&decision, if number % 50 == 49 { unit } else { 0.0 }).unwrap();
            arms.push(decision.arm());
        }
        arms
    };
    // Scales that are powers of two give the same bits.
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
    // A policy's scale of rewards cannot be open while rewards vary, or before the scale of contexts is frozen.
    let mut damaged: serde_json::Value = serde_json::from_str(&settled).unwrap();
    damaged["rewards"]["frozen"] = false.into();
    assert!(serde_json::from_value::<Normalised<LinUcb>>(damaged).is_err());
}

/// Context and reward of one round.
fn round(number: u32) -> ([f64; 2], f64) {
    ([1e6 + f64::from(number % 7), 1e-6 * f64::from(number % 5)], f64::from(number % 3))
}

/// Rewards of some rounds, for these arms in turn.
fn teach(policy: &mut impl Policy, rounds: std::ops::Range<u32>, arms: &[u64]) {
    for number in rounds {
        let (context, reward) = round(number);
        policy.update(ArmId::new(arms[number as usize % arms.len()]), &context, reward, 1.0).unwrap();
    }
}

#[test]
fn an_arm_added_like_another_in_a_warm_up_has_its_state() {
    let mut policy = scaled(40);
    teach(&mut policy, 0..20, &[0, 1]);
    let twin = policy.add_arm_like(ArmId::new(1)).unwrap();
    // The arm is copied immediately, with the provisional scaling.
    let mean = |policy: &Normalised<LinUcb>, arm| {
        let choice = policy.select(&Request::new(&[1e6 + 2.0, 3e-6]).only(&[arm]), &mut rng(1)).unwrap();
        (choice.mean, choice.width)
    };
    assert_eq!(mean(&policy, twin), mean(&policy, ArmId::new(1)));
    assert_ne!(mean(&policy, twin), mean(&policy, ArmId::new(0)));
    assert_eq!(policy.version(), 20);
    // The copies agree after a save, and in the final scaling, as long as neither learns anything else.
    let mut policy: Normalised<LinUcb> = serde_json::from_str(&serde_json::to_string(&policy).unwrap()).unwrap();
    teach(&mut policy, 20..45, &[0]);
    assert!(policy.normalizer().is_frozen());
    assert_eq!(mean(&policy, twin), mean(&policy, ArmId::new(1)));
    assert_ne!(mean(&policy, twin), mean(&policy, ArmId::new(0)));
    assert_eq!((policy.version(), policy.inner().version()), (45, 45));
    teach(&mut policy, 45..46, &[twin.number()]);
    assert_ne!(mean(&policy, twin), mean(&policy, ArmId::new(1)));
    // An arm can start as a copy of a copied arm.
    let mut later = policy.clone();
    later.warm_start(ArmId::new(0), twin).unwrap();
    assert_eq!(mean(&later, ArmId::new(0)), mean(&policy, twin));
}

#[test]
fn arms_added_like_a_removed_one_inherit_its_rewards() {
    // Arm 1 is copied after 8, 16 and 24 of its rewards, and the second copy is copied as well. Arm 1 is then removed,
    // or not.
    let run = |removes: bool| {
        let mut policy = scaled(60);
        teach(&mut policy, 0..8, &[0, 1]);
        let mut copies = vec![policy.add_arm_like(ArmId::new(1)).unwrap()];
        teach(&mut policy, 8..16, &[1]);
        copies.push(policy.add_arm_like(ArmId::new(1)).unwrap());
        teach(&mut policy, 16..24, &[1, copies[1].number()]);
        copies.push(policy.add_arm_like(copies[1]).unwrap());
        copies.push(policy.add_arm_like(ArmId::new(1)).unwrap());
        teach(&mut policy, 24..30, &[1, 0]);
        if removes {
            policy.remove_arm(ArmId::new(1)).unwrap();
            assert_eq!(policy.add_arm_like(ArmId::new(1)), Err(Error::RemovedArm { arm: ArmId::new(1) }));
            // The copied arm was itself added as a copy.
            policy.remove_arm(copies[1]).unwrap();
            policy = serde_json::from_str(&serde_json::to_string(&policy).unwrap()).unwrap();
        }
        teach(&mut policy, 30..60, &[0]);
        assert!(policy.normalizer().is_frozen());
        assert_eq!(policy.version(), 60);
        let row = [policy.normalizer().normalise(&[1e6 + 2.0, 3e-6]).unwrap(), vec![1.0]].concat();
        [copies[0], copies[2], copies[3]].map(|arm| policy.inner().score(arm, &row).unwrap())
    };
    let (complete, removed) = (run(false), run(true));
    for (complete, removed) in complete.iter().zip(&removed) {
        assert!(
            (complete.mean - removed.mean).abs() < 1e-12 && (complete.width - removed.width).abs() < 1e-12,
            "{removed:?}"
        );
    }
    assert!(removed[0].width > removed[1].width && removed[1] != removed[2], "{removed:?}");
}

#[test]
fn copied_arms_count_once_in_shared_weights() {
    let make = || {
        let inner = Hybrid::new(2, 1, 2, 1.0, Ucb { alpha: 0.5 }).unwrap();
        Normalised::new(inner, Normalizer::new(2).unwrap(), 30, false).unwrap()
    };
    let teach = |policy: &mut Normalised<Hybrid<Ucb>>, rounds: std::ops::Range<u32>, arm| {
        for number in rounds {
            let (context, reward) = round(number);
            policy.update(ArmId::new(arm), &[context[0], context[1], 0.5], reward, 1.0).unwrap();
        }
    };
    let (mut copied, mut plain) = (make(), make());
    for policy in [&mut copied, &mut plain] {
        teach(policy, 0..20, 1);
    }
    let twin = copied.add_arm_like(ArmId::new(1)).unwrap();
    for policy in [&mut copied, &mut plain] {
        teach(policy, 20..30, 0);
    }
    let score = |policy: &Normalised<Hybrid<Ucb>>, arm| {
        let row = policy.normalizer().normalise(&[1e6 + 2.0, 3e-6]).unwrap();
        policy.inner().score(arm, &row, &[0.5]).unwrap()
    };
    assert_eq!(score(&copied, twin), score(&plain, ArmId::new(1)));
    assert_eq!([0, 1].map(|arm| score(&copied, ArmId::new(arm))), [0, 1].map(|arm| score(&plain, ArmId::new(arm))));
    assert_eq!((copied.version(), copied.inner().version()), (30, 30));
}

#[test]
fn recommended_policies_copy_arms_in_their_warm_up() {
    for reward in [RewardType::Binary, RewardType::Real] {
        let mut policy = AnyPolicy::recommended(2, 2, reward).unwrap();
        let teach = |policy: &mut AnyPolicy, rounds: std::ops::Range<u32>, arm| {
            for number in rounds {
                let (context, reward) = round(number);
                policy.update(ArmId::new(arm), &context, reward / 2.0, 1.0).unwrap();
            }
        };
        teach(&mut policy, 0..30, 1);
        let twin = policy.add_arm_like(ArmId::new(1)).unwrap();
        let of = |policy: &AnyPolicy, arm| {
            let choice = policy.select(&Request::new(&[1e6 + 2.0, 3e-6]).only(&[arm]), &mut rng(1)).unwrap();
            (choice.mean, choice.width)
        };
        assert_eq!(of(&policy, twin), of(&policy, ArmId::new(1)));
        teach(&mut policy, 30..230, 0);
        assert_eq!(of(&policy, twin), of(&policy, ArmId::new(1)));
        assert_ne!(of(&policy, twin), of(&policy, ArmId::new(0)));
    }
    let shared = PolicySettings::recommended_for_items(2, 2, RewardType::Real).with_kind(PolicyKind::SharedLinear);
    assert!(AnyPolicy::new(shared).unwrap().add_arm_like(ArmId::new(0)).is_err());
}

#[test]
fn copied_arms_that_contradict_a_warm_up_are_refused() {
    let mut policy = scaled(40);
    teach(&mut policy, 0..10, &[0, 1]);
    policy.add_arm_like(ArmId::new(1)).unwrap();
    let saved = serde_json::to_value(&policy).unwrap();
    let load = |state| serde_json::from_value::<Normalised<LinUcb>>(state);
    assert!(load(saved.clone()).is_ok());
    for (field, value) in [("arm", 9), ("like", 9), ("like", 2), ("at", 11)] {
        let mut damaged = saved.clone();
        damaged["copies"][0][field] = value.into();
        assert!(load(damaged).is_err(), "{field}");
    }
    // Former states had no copies.
    let mut old = saved;
    old.as_object_mut().unwrap().remove("copies").unwrap();
    assert_eq!(load(old).unwrap().version(), 10);
    // A policy that cannot copy an arm refuses immediately.
    let inner = Counting { inner: Uniform::new(2, 2).unwrap(), tells: true, copies: Arc::default() };
    let mut counting = Normalised::new(inner, Normalizer::new(2).unwrap(), 9, false).unwrap();
    assert!(matches!(counting.add_arm_like(ArmId::new(0)), Err(Error::Unsupported { .. })));
    assert!(matches!(policy.warm_start(ArmId::new(0), ArmId::new(1)), Err(Error::Unsupported { .. })));
}

#[test]
fn slates_hold_raw_contexts_and_are_learned_behind_a_scaling() {
    let settings = PolicySettings::recommended_for_items(2, 3, RewardType::Real);
    let normaliser = settings.normaliser.unwrap().with_warm_up(6);
    let mut policy = AnyPolicy::new(settings.with_normaliser(Some(normaliser))).unwrap();
    let mut single = policy.clone();
    let mut draws = rng(11);
    let arms = [0, 1, 2, 3].map(ArmId::new);
    for round in 0..12 {
        let context = normals(&mut draws, 2).iter().map(|value| 100.0 + 5.0 * value).collect::<Vec<_>>();
        let features = normals(&mut draws, 12);
        let request = Request::new(&context).featured(&arms, &features, 3).unwrap();
        let total: f64 = policy.slate_propensities(2, &request).unwrap().iter().map(|entry| entry.probability).sum();
        assert!((total - 2.0).abs() < 1e-9);
        let slate = policy.decide_slate(2, &request, &mut draws).unwrap();
        assert_eq!(slate.version(), policy.version());
        let rewards = normals(&mut draws, 2);
        let feedback: Vec<_> = rewards.iter().map(|&reward| Feedback::Observed(reward)).collect();
        for (row, &reward) in slate.feedback(&feedback).zip(&rewards) {
            assert_eq!(row.context[..2], context[..], "the raw context");
            assert_eq!(row.context[2..], features[3 * row.arm.number() as usize..][..3], "and the item's features");
            single.update(row.arm, row.context, reward, 1.0).unwrap();
        }
        policy.learn_slate(&slate, &feedback).unwrap();
        assert_eq!(policy.version(), 2 * (round + 1));
        let (ours, theirs) =
            (policy.select(&request, &mut rng(1)).unwrap(), single.select(&request, &mut rng(1)).unwrap());
        assert_eq!(ours.arm, theirs.arm);
        assert!((ours.mean - theirs.mean).abs() < 1e-9 * (1.0 + theirs.mean.abs()), "{ours:?} {theirs:?}");
        let before = serde_json::to_string(&policy).unwrap();
        assert!(policy.learn_slate(&slate, &feedback[..1]).is_err());
        let wrong = [Feedback::Observed(f64::NAN), Feedback::Observed(0.0)];
        assert!(policy.learn_slate(&slate, &wrong).is_err());
        assert_eq!(serde_json::to_string(&policy).unwrap(), before, "a refused slate changes nothing");
    }
}
