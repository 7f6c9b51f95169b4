//! Policies from settings in service: arms with ids of the caller, changed exploration, requirements of requests, and
//! files.

use dht_bandits::{
    ArmId, Error, Observation, Policy, Request, Ucb,
    exploration::{EpsilonGreedy, SquareCb},
    policy::{
        AnyPolicy, AnyRule, BetaThompson, ChangeTest, ContextFree, NormaliserSettings, PolicyKind, PolicySettings,
        Ucb1, Uniform,
    },
};

use super::any_policy::{every_kind, round};
use crate::support::{featured, normals, rng};

const UCB: AnyRule = AnyRule::Ucb(Ucb { alpha: 0.5 });

fn is_shared(kind: PolicyKind) -> bool {
    matches!(kind, PolicyKind::SharedLinear | PolicyKind::SharedLogistic | PolicyKind::SharedDiagonalLogistic)
}

#[test]
fn kinds_with_their_own_arms_insert_one_under_an_unused_id() {
    for settings in every_kind() {
        let mut policy = AnyPolicy::new(settings.clone()).unwrap();
        let arm = ArmId::new(40);
        if is_shared(settings.kind) {
            assert!(matches!(policy.insert_arm(arm), Err(Error::Settings { .. })), "{settings:?}");
            continue;
        }
        policy.insert_arm(arm).unwrap();
        assert_eq!(policy.insert_arm(arm), Err(Error::ArmExists { arm }));
        assert_eq!(policy.add_arm(), Ok(ArmId::new(41)));
        // The new arm is chosen and learned like the others.
        let (context, features) = (normals(&mut rng(1), 3), normals(&mut rng(2), 2));
        let decision = policy.decide(&featured(&context, &[arm], &features), &mut rng(3)).unwrap();
        policy.learn(&decision, 1.0).unwrap();
        policy.remove_arm(arm).unwrap();
        assert_eq!(policy.insert_arm(arm), Err(Error::RemovedArm { arm }));
        assert!(policy.insert_arm(ArmId::new(1 << 63)).is_err());
    }
}

#[test]
fn a_new_exploration_is_saved_and_keeps_what_was_learned() {
    for settings in every_kind() {
        let mut policy = AnyPolicy::new(settings.clone()).unwrap();
        let mut draws = rng(1);
        (0..8).for_each(|number| _ = round(&mut policy, number, &mut draws));
        let rule = match settings.exploration {
            None => {
                assert!(matches!(policy.set_exploration(UCB), Err(Error::Settings { .. })));
                continue;
            }
            Some(AnyRule::Ucb1(_)) => AnyRule::Ucb1(Ucb1 { alpha: 0.25 }),
            Some(AnyRule::BetaThompson(_)) => AnyRule::BetaThompson(BetaThompson::default()),
            Some(_) => AnyRule::EpsilonGreedy(EpsilonGreedy::new(1.0)),
        };
        policy.set_exploration(rule).unwrap();
        assert_eq!(policy.settings(), &settings.clone().with_exploration(Some(rule)));
        assert_eq!(policy.version(), 8);
        let mut loaded: AnyPolicy = serde_json::from_str(&serde_json::to_string(&policy).unwrap()).unwrap();
        let mut same = draws.clone();
        let decided = round(&mut policy, 8, &mut draws);
        assert_eq!(round(&mut loaded, 8, &mut same), decided);
        if matches!(rule, AnyRule::EpsilonGreedy(_)) {
            // With ε = 1 each of four arms has the same probability.
            assert!((decided.1.unwrap() - 0.25).abs() < 1e-12, "{settings:?}: {decided:?}");
        }
        // A setting that does not fit is refused, and nothing changes.
        let saved = serde_json::to_string(&policy).unwrap();
        let contextual = !matches!(rule, AnyRule::Ucb1(_) | AnyRule::BetaThompson(_));
        let foreign = if contextual { AnyRule::Ucb1(Ucb1::default()) } else { UCB };
        for refused in [foreign, AnyRule::SquareCb(SquareCb::new(f64::NAN))] {
            assert!(policy.set_exploration(refused).is_err(), "{settings:?}");
        }
        assert_eq!(serde_json::to_string(&policy).unwrap(), saved);
    }
}

#[test]
fn the_resets_of_a_change_test_are_told() {
    let settings = PolicySettings::new(PolicyKind::Linear, 1, 1, Some(UCB))
        .with_reset(Some(ChangeTest::PageHinkley { tolerance: 0.01, threshold: 3.0 }));
    assert_eq!(AnyPolicy::new(settings.clone().with_reset(None)).unwrap().resets(), None);
    let mut policy = AnyPolicy::new(settings).unwrap();
    for number in 0..400 {
        let decision = policy.decide(&Request::new(&[1.0]), &mut rng(number)).unwrap();
        policy.learn(&decision, if number < 200 { 0.0 } else { 5.0 }).unwrap();
        assert_eq!(policy.resets().unwrap() > 0, number >= 200, "{number}");
    }
}

#[test]
fn late_warm_up_rewards_in_a_batch_signal_no_change() {
    let settings = PolicySettings::new(PolicyKind::Linear, 1, 1, Some(UCB))
        .with_normaliser(Some(NormaliserSettings::default().with_warm_up(5).with_bias(true).with_floor(1e-9)))
        .with_reset(Some(ChangeTest::PageHinkley { tolerance: 0.01, threshold: 3.0 }));
    let mut policy = AnyPolicy::new(settings).unwrap();
    let decide = |policy: &AnyPolicy, number: u64| {
        let context = normals(&mut rng(number), 1);
        policy.decide(&Request::new(&context), &mut rng(number)).unwrap()
    };
    let late: Vec<Observation> = (0..4).map(|number| Observation::new(decide(&policy, number), 50.0)).collect();
    for number in 0..100 {
        let decision = decide(&policy, number);
        policy.learn(&decision, 0.0).unwrap();
    }
    policy.learn_batch(&late).unwrap();
    assert_eq!((policy.resets(), policy.version()), (Some(0), 104));
    let chosen: Vec<Observation> = (0..20).map(|number| Observation::new(decide(&policy, number), 50.0)).collect();
    policy.learn_batch(&chosen).unwrap();
    assert!(policy.resets() > Some(0), "what was chosen does");
}

#[test]
fn kinds_that_join_context_and_features_check_both_lengths() {
    let of = |dimension, features| {
        let settings = PolicySettings::new(PolicyKind::TopKLinear, dimension, 2, Some(UCB)).with_features(features);
        AnyPolicy::new(settings).unwrap()
    };
    let (with, without) = (of(3, 2), of(5, 0));
    let context = [0.5; 5];
    // A context of the combined length of context and features is not accepted in place of features.
    let refused = Error::NeedsFeatures { width: 2 };
    assert_eq!(with.decide(&Request::new(&context), &mut rng(1)).unwrap_err(), refused);
    assert_eq!(with.propensities(&Request::new(&context)).unwrap_err(), refused);
    assert_eq!(with.slate_propensities(1, &Request::new(&context)).unwrap_err(), refused);
    let arms = [ArmId::new(0), ArmId::new(1)];
    assert!(with.decide(&featured(&context[..3], &arms, &[0.25; 4]), &mut rng(1)).is_ok());
    // A request must not have features if arms have none.
    assert!(without.decide(&Request::new(&context), &mut rng(1)).is_ok());
    for (length, width) in [(3, 2), (0, 5)] {
        let features = vec![0.25; 2 * width];
        let outcome = without.decide(&featured(&context[..length], &arms, &features), &mut rng(1));
        assert_eq!(outcome.unwrap_err(), Error::Dimension { what: "features of an arm", expected: 0, got: width });
    }
}

#[test]
fn what_a_policy_would_refuse_it_tells_without_learning() {
    for settings in every_kind() {
        let mut policy = AnyPolicy::new(settings.clone().with_normaliser(None)).unwrap();
        let mut draws = rng(4);
        (0..9).for_each(|number| _ = round(&mut policy, number, &mut draws));
        let decision = policy.decide(&featured(&[0.1, 0.2, 0.3], &[ArmId::new(2)], &[0.5, -0.5]), &mut draws).unwrap();
        let (context, saved) = (decision.context, serde_json::to_string(&policy).unwrap());
        let huge = vec![1e99; context.len()];
        let attempts = [
            (2, &context[..], 1.0, 1.0),
            (2, &context, f64::NAN, 1.0),
            (2, &context, 0.5, 0.0),
            (2, &context, 1e300, 1e100),
            (2, &huge, 1.0, 1e100),
            (9, &context, 1.0, 1.0),
            (2, &context[..context.len().saturating_sub(1)], 1.0, 1.0),
        ];
        for (arm, context, reward, weight) in attempts {
            let arm = ArmId::new(arm);
            let told = policy.check_update(arm, context, reward, weight);
            assert_ne!(told, Ok(false));
            assert_eq!(serde_json::to_string(&policy).unwrap(), saved);
            let outcome = policy.clone().update(arm, context, reward, weight);
            // Compared as texts, since NaN does not equal itself.
            let [told, outcome] = [told.map(drop), outcome].map(|outcome| outcome.map_err(|error| error.to_string()));
            assert_eq!(told, outcome, "{settings:?} {arm} {context:?} {reward} {weight}");
        }
    }
}

#[test]
fn uniform_draws_need_no_dimension_and_ucb1_no_alpha() {
    let settings: PolicySettings = serde_json::from_str(r#"{"kind":"uniform","arms":3}"#).unwrap();
    let mut policy = AnyPolicy::new(settings).unwrap();
    for context in [&[][..], &[1.0], &[1.0, 2.0, 3.0]] {
        let decision = policy.decide(&Request::new(context), &mut rng(1)).unwrap();
        assert_eq!(decision.context, context);
        policy.learn(&decision, 1.0).unwrap();
    }
    assert!(policy.decide(&Request::new(&[f64::NAN]), &mut rng(1)).is_err());
    assert!(Uniform::new(2, 3).unwrap().decide(&Request::new(&[1.0]), &mut rng(1)).is_err());
    let loaded: AnyPolicy = serde_json::from_str(&serde_json::to_string(&policy).unwrap()).unwrap();
    assert_eq!(loaded.version(), 3);
    let text = r#"{"kind":"context-free","arms":3,"exploration":{"rule":"ucb1"}}"#;
    let settings: PolicySettings = serde_json::from_str(text).unwrap();
    assert_eq!(settings.exploration, Some(AnyRule::Ucb1(Ucb1 { alpha: 1.0 })));
    assert!(serde_json::from_str::<PolicySettings>(&text.replace("}}", r#","beta":1.0}}"#)).is_err());
}

#[test]
fn merged_policies_without_contexts_know_what_all_have_seen() {
    let mut seen = Vec::new();
    let mut learn = |policy: &mut ContextFree<BetaThompson>, seed: u64| {
        for number in 0..20 {
            let decision = policy.decide(&Request::new(&[]), &mut rng(seed + number)).unwrap();
            let reward = (number % 3) as f64 / 2.0;
            policy.learn(&decision, reward).unwrap();
            seen.push((decision.arm(), reward));
        }
    };
    let blank = || ContextFree::new(3, BetaThompson::default()).unwrap();
    let (mut left, mut right, mut whole) = (blank(), blank(), blank());
    learn(&mut left, 0);
    learn(&mut right, 100);
    right.insert_arm(ArmId::new(7)).unwrap();
    right.update(ArmId::new(7), &[], 0.5, 3.0).unwrap();
    whole.insert_arm(ArmId::new(7)).unwrap();
    whole.update(ArmId::new(7), &[], 0.5, 3.0).unwrap();
    seen.into_iter().for_each(|(arm, reward)| whole.update(arm, &[], reward, 1.0).unwrap());
    let versions = left.version() + right.version();
    for (mut first, second) in [(left.clone(), &right), (right.clone(), &left)] {
        first.merge(second).unwrap();
        assert_eq!(first.version(), versions);
        for arm in whole.arms().iter() {
            let (merged, expected) = (first.score(arm).unwrap(), whole.score(arm).unwrap());
            assert!((merged.mean - expected.mean).abs() + (merged.width - expected.width).abs() < 1e-12, "{arm}");
        }
    }
    // An arm that either policy has removed is removed.
    left.remove_arm(ArmId::new(1)).unwrap();
    right.remove_arm(ArmId::new(7)).unwrap();
    for (mut first, second) in [(left.clone(), &right), (right.clone(), &left)] {
        first.merge(second).unwrap();
        let mut arms: Vec<_> = first.arms().iter().map(ArmId::number).collect();
        arms.sort_unstable();
        assert_eq!(arms, [0, 2]);
    }
    // Sums that overflow are refused, and nothing changes.
    let mut state = serde_json::to_value(blank()).unwrap();
    (state["learned"][0]["weight"], state["learned"][0]["sum"]) = (1e250.into(), 1e250.into());
    let mut huge: ContextFree<BetaThompson> = serde_json::from_value(state).unwrap();
    let before = huge.clone();
    assert!(matches!(huge.merge(&before), Err(Error::TooLarge { .. })));
    assert_eq!(huge, before);
}

#[test]
fn a_probability_of_zero_has_no_sign() {
    let mut policy = ContextFree::new(3, Ucb1::default()).unwrap();
    for arm in 0..3 {
        policy.update(ArmId::new(arm), &[], arm as f64, 5.0).unwrap();
    }
    let propensities = policy.propensities(&Request::new(&[])).unwrap();
    assert!(propensities.iter().all(|entry| entry.probability.is_sign_positive()), "{propensities:?}");
    for settings in every_kind() {
        let policy = AnyPolicy::new(settings.clone().with_normaliser(None)).unwrap();
        let arms = [0, 1, 2, 3].map(ArmId::new);
        let (context, features) = ([0.1, 0.2, 0.3], normals(&mut rng(5), 8));
        let mut all = policy.propensities(&featured(&context, &arms, &features)).unwrap();
        all.extend(policy.slate_propensities(1, &featured(&context, &arms, &features)).into_iter().flatten());
        assert!(all.iter().all(|entry| entry.probability.is_sign_positive()), "{settings:?}: {all:?}");
    }
}

#[cfg(feature = "settings")]
#[test]
fn a_save_that_fails_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let settings =
        PolicySettings::new(PolicyKind::Linear, 2, 2, Some(AnyRule::Thompson(dht_bandits::Thompson { alpha: 1.0 })));
    let policy = AnyPolicy::new(settings).unwrap();
    // A file never replaces a folder that is not empty.
    let path = folder.path().join("policy.json");
    std::fs::create_dir_all(path.join("inside")).unwrap();
    assert!(matches!(policy.save(&path), Err(Error::File { .. })));
    let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["policy.json"]);
    let path = folder.path().join("other.json");
    policy.save(&path).unwrap();
    assert_eq!(AnyPolicy::load(&path).unwrap().to_json(), policy.to_json());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
}
