//! Policies from settings: saving and loading, stored scalings, and policies without contexts.

use dht_bandits::{
    ArmId, Error, LinUcb, Normalizer, Policy, Request, Ridge, Ucb,
    exploration::{EpsilonGreedy, Softmax, SquareCb},
    policy::{
        AnyPolicy, AnyRule, BetaThompson, ChangeTest, ContextFree, Disjoint, Feedback, Normalised, NormaliserSettings,
        PolicyKind, PolicySettings, ResetOnChange, Slate, SlidingWindow, Ucb1,
    },
    posterior::{DecayClock, DiscountedRidge},
};
use rand_chacha::ChaCha8Rng;

use crate::support::{featured, normals, rng};

/// Settings of every type, with contexts of length 3 and 2 features.
pub fn every_kind() -> Vec<PolicySettings> {
    use PolicyKind::{
        ContextFree, DiagonalLogistic, Hybrid, Linear, LinearNoise, Logistic, SharedDiagonalLogistic, SharedLinear,
        SharedLogistic, TopKDiagonalLogistic, TopKLinear, Uniform,
    };
    let normaliser =
        Some(NormaliserSettings::default().with_warm_up(5).with_bias(true).with_floor(1e-9).with_clip(Some(4.0)));
    let of = |kind, exploration| {
        let shared = matches!(kind, SharedLinear | SharedLogistic | SharedDiagonalLogistic);
        let dimension = if kind == ContextFree { 0 } else { 3 };
        PolicySettings::new(kind, dimension, if shared { 0 } else { 4 }, Some(exploration))
    };
    let with_features = |kind, exploration| {
        let shared = matches!(kind, SharedLinear | SharedLogistic | SharedDiagonalLogistic);
        let interactions = shared.then(|| vec![("context".to_owned(), "features".to_owned())]);
        of(kind, exploration).with_features(2).with_interactions(interactions)
    };
    let thompson = AnyRule::Thompson(dht_bandits::Thompson { alpha: 0.5 });
    let ucb = AnyRule::Ucb(Ucb { alpha: 0.5 });
    let softmax = AnyRule::Softmax(Softmax { temperature: 0.4 });
    vec![
        of(Linear, ucb),
        of(Linear, thompson).with_seed(9),
        of(Linear, thompson).with_decay(0.8).with_clock(Some(DecayClock::Updates)),
        of(Linear, AnyRule::SquareCb(SquareCb::new(5.0))).with_normaliser(normaliser),
        of(Linear, ucb).with_window(Some(4)),
        of(Linear, thompson).with_window(Some(100)).with_normaliser(normaliser),
        of(Linear, ucb).with_reset(Some(ChangeTest::Adwin { delta: 0.01, range: 1.0 })),
        of(Linear, thompson)
            .with_reset(Some(ChangeTest::PageHinkley { tolerance: 0.01, threshold: 0.4 }))
            .with_normaliser(normaliser),
        with_features(TopKLinear, ucb),
        with_features(TopKDiagonalLogistic, thompson).with_normaliser(normaliser),
        of(LinearNoise, thompson).with_prior_precision(2.0),
        of(Logistic, softmax).with_prior_precision(2.0),
        of(DiagonalLogistic, AnyRule::EpsilonGreedy(EpsilonGreedy::new(0.3))),
        with_features(Hybrid, thompson).with_shared_prior_precision(3.0).with_normaliser(normaliser),
        with_features(SharedLinear, thompson),
        with_features(SharedLogistic, ucb).with_normaliser(normaliser),
        with_features(SharedDiagonalLogistic, softmax),
        of(ContextFree, AnyRule::Ucb1(Ucb1::default())),
        of(ContextFree, AnyRule::BetaThompson(BetaThompson { successes: 0.5, failures: 2.0 })),
        PolicySettings::new(Uniform, 3, 4, None),
        of(Logistic, ucb).with_decay(0.9).with_clock(Some(DecayClock::Updates)),
        of(LinearNoise, thompson).with_decay(0.97).with_clock(Some(DecayClock::Updates)),
        of(DiagonalLogistic, thompson).with_window(Some(6)).with_normaliser(normaliser),
        with_features(Hybrid, ucb).with_window(Some(5)),
        with_features(SharedLogistic, ucb).with_decay(0.9).with_clock(Some(DecayClock::Time)),
        with_features(TopKLinear, ucb).with_reset(Some(ADWIN)).with_normaliser(normaliser),
    ]
}

pub fn round(policy: &mut AnyPolicy, number: u64, rng: &mut ChaCha8Rng) -> (ArmId, Option<f64>) {
    let arms = [0, 1, 2, 3].map(ArmId::new);
    let (context, features) = (normals(rng, 3), normals(rng, 8));
    let request = featured(&context, &arms, &features);
    let decision = policy.decide(&request, rng).unwrap();
    if policy.settings().kind != PolicyKind::ContextFree {
        assert_eq!(decision.context[..3], context, "the raw context is kept");
    }
    policy.learn(&decision, (number % 2) as f64).unwrap();
    (decision.arm(), decision.choice.propensity)
}

#[test]
fn every_policy_kind_resumes_identically_after_a_load() {
    for settings in every_kind() {
        let text = serde_json::to_string(&settings).unwrap();
        let again: PolicySettings = serde_json::from_str(&text).unwrap();
        assert_eq!(again, settings);
        let mut policy = AnyPolicy::new(again).unwrap();
        let mut draws = rng(settings.seed);
        for number in 0..14 {
            let saved = serde_json::to_string(&policy).unwrap();
            let mut loaded: AnyPolicy = serde_json::from_str(&saved).unwrap();
            assert_eq!(serde_json::to_string(&loaded).unwrap(), saved);
            assert_eq!(loaded.settings(), &settings);
            let mut same = draws.clone();
            let decided = round(&mut policy, number, &mut draws);
            assert_eq!(round(&mut loaded, number, &mut same), decided, "{settings:?}");
            assert!(decided.1.unwrap() > 0.0);
        }
        assert_eq!(policy.version(), 14);
    }
}

#[test]
fn settings_that_do_nothing_are_refused_by_name() {
    let refused = |change: &dyn Fn(&mut PolicySettings)| {
        let mut settings = PolicySettings::new(PolicyKind::Linear, 3, 4, Some(AnyRule::Ucb(Ucb { alpha: 0.5 })));
        change(&mut settings);
        AnyPolicy::new(settings).unwrap_err().to_string()
    };
    type Change<'a> = (&'a str, &'a dyn Fn(&mut PolicySettings));
    let changes: [Change<'_>; 22] = [
        ("features", &|settings| settings.features = 2),
        ("features", &|settings| settings.kind = PolicyKind::Hybrid),
        ("shared_prior_precision", &|settings| settings.shared_prior_precision = 2.0),
        ("exploration", &|settings| settings.exploration = None),
        ("exploration", &|settings| settings.exploration = Some(AnyRule::Ucb1(Ucb1::default()))),
        ("exploration", &|settings| (settings.kind, settings.dimension) = (PolicyKind::ContextFree, 0)),
        ("dimension", &|settings| {
            settings.kind = PolicyKind::ContextFree;
            settings.exploration = Some(AnyRule::Ucb1(Ucb1::default()));
        }),
        ("arms", &|settings| (settings.kind, settings.features) = (PolicyKind::SharedLinear, 2)),
        ("decay", &|settings| {
            (settings.kind, settings.exploration, settings.decay) = (PolicyKind::Uniform, None, 0.5);
        }),
        ("clock", &|settings| settings.clock = Some(DecayClock::Updates)),
        ("clock", &|settings| {
            (settings.kind, settings.clock) = (PolicyKind::DiagonalLogistic, Some(DecayClock::Time));
        }),
        ("window", &|settings| settings.window = Some(0)),
        ("window", &|settings| {
            (settings.kind, settings.exploration, settings.window) = (PolicyKind::Uniform, None, Some(9));
        }),
        ("window", &|settings| (settings.decay, settings.window) = (0.5, Some(9))),
        ("reset", &|settings| (settings.window, settings.reset) = (Some(9), Some(ADWIN))),
        ("reset", &|settings| {
            (settings.kind, settings.exploration, settings.reset) = (PolicyKind::Uniform, None, Some(ADWIN));
        }),
        ("delta", &|settings| settings.reset = Some(ChangeTest::Adwin { delta: 1.5, range: 1.0 })),
        ("threshold", &|settings| {
            settings.reset = Some(ChangeTest::PageHinkley { tolerance: 0.1, threshold: 0.0 });
        }),
        ("alpha", &|settings| settings.exploration = Some(AnyRule::Ucb(Ucb { alpha: -1.0 }))),
        ("prior_precision", &|settings| settings.prior_precision = -1.0),
        ("dimension", &|settings| settings.dimension = 0),
        ("warm-up", &|settings| {
            settings.normaliser = Some(NormaliserSettings::default().with_warm_up(0).with_floor(0.0));
        }),
    ];
    for (name, change) in changes {
        let error = refused(change);
        assert!(error.contains(name), "{name}: {error}");
    }
}

const ADWIN: ChangeTest = ChangeTest::Adwin { delta: 0.01, range: 1.0 };

fn linear() -> PolicySettings {
    PolicySettings::new(PolicyKind::Linear, 3, 4, Some(AnyRule::Ucb(Ucb { alpha: 0.5 })))
}

#[test]
fn a_window_or_change_test_in_settings_equals_its_type() {
    let test = ChangeTest::PageHinkley { tolerance: 0.0, threshold: 2.0 };
    let reset = Some(ChangeTest::PageHinkley { tolerance: 0.0, threshold: 2.0 });
    let ridge = || LinUcb::new(3, 4, Ridge::default(), Ucb { alpha: 0.5 }).unwrap();
    let mut windowed = AnyPolicy::new(linear().with_window(Some(7))).unwrap();
    let mut window = SlidingWindow::new(ridge(), 7).unwrap();
    let mut tested = AnyPolicy::new(linear().with_reset(reset)).unwrap();
    let mut resetting = ResetOnChange::new(ridge(), test).unwrap();
    let mut draws = rng(4);
    for number in 0..120 {
        let context = normals(&mut draws, 3);
        let request = Request::new(&context);
        // The environment changes in the middle.
        let reward = |arm: ArmId| if number < 60 { arm.number() as f64 } else { 3.0 - arm.number() as f64 };
        let pairs: [(&mut dyn Policy, &mut dyn Policy); 2] =
            [(&mut windowed, &mut window), (&mut tested, &mut resetting)];
        for (ours, other) in pairs {
            let mut alike = draws.clone();
            let decision = ours.decide(&request, &mut draws).unwrap();
            let same = other.decide(&request, &mut alike).unwrap();
            assert_eq!(decision, same);
            ours.learn(&decision, reward(decision.arm())).unwrap();
            other.learn(&same, reward(same.arm())).unwrap();
        }
    }
    assert!(resetting.resets() > 0, "the test is asked where policies come from settings, too");
}

#[test]
fn damaged_windows_and_tests_are_refused() {
    let reset = Some(ChangeTest::PageHinkley { tolerance: 0.0, threshold: 2.0 });
    let damages = [
        (linear().with_window(Some(3)), "\"length\":3", "\"length\":4", "disagree"),
        (linear().with_window(Some(3)), "\"since_relearned\":", "\"since_relearned\":9", "window"),
        (linear().with_window(Some(3)), "\"weight\":1.0", "\"weight\":-1.0", "weight"),
        (
            linear().with_reset(reset),
            "\"tolerance\":0.0,\"threshold\":2.0,\"count\":",
            "\"tolerance\":0.0,\"threshold\":2.0,\"count\":-",
            "change test",
        ),
        (linear().with_reset(Some(ADWIN)), "\"count\":1.0", "\"count\":0.0", "change test"),
        (
            linear().with_reset(Some(ADWIN)),
            "\"delta\":0.01,\"range\":1.0,\"buckets\"",
            "\"delta\":0.02,\"range\":1.0,\"buckets\"",
            "disagree",
        ),
    ];
    for (settings, from, to, expected) in damages {
        let mut policy = AnyPolicy::new(settings).unwrap();
        let mut draws = rng(3);
        for number in 0..5 {
            round(&mut policy, number, &mut draws);
        }
        let saved = serde_json::to_string(&policy).unwrap();
        assert!(saved.contains(from), "{from} in {saved}");
        let error = serde_json::from_str::<AnyPolicy>(&saved.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(error.contains(expected), "{from} to {to}: {error}");
    }
}

#[test]
fn slate_policies_choose_slates_and_the_others_report_an_error() {
    let arms = [0, 1, 2, 3].map(ArmId::new);
    for settings in every_kind() {
        let slates = settings.features > 0 && settings.kind != PolicyKind::Hybrid;
        let mut policy = AnyPolicy::new(settings.clone()).unwrap();
        let mut draws = rng(5);
        let (context, features) = (normals(&mut draws, 3), normals(&mut draws, 8));
        let request = featured(&context, &arms, &features);
        if !slates {
            let error = policy.decide_slate(2, &request, &mut draws).unwrap_err().to_string();
            assert!(error.contains("slates"), "{settings:?}: {error}");
            assert!(policy.slate_propensities(2, &request).is_err());
            assert!(policy.learn_slate(&Slate::default(), &[]).is_err());
            continue;
        }
        let slate = policy.decide_slate(2, &request, &mut draws).unwrap();
        let total: f64 = policy.slate_propensities(2, &request).unwrap().iter().map(|entry| entry.probability).sum();
        assert!((total - 2.0).abs() < 0.05, "{settings:?}: {total}");
        policy.learn_slate(&slate, &[Feedback::from(true), Feedback::Unobserved]).unwrap();
        let mut memory = Slate::default();
        policy.select_slate(3, &request, &mut draws, &mut memory).unwrap();
        assert_eq!((slate.choices().len(), memory.choices().len(), policy.version()), (2, 3, 1));
    }
}

#[test]
fn a_clock_in_the_settings_is_that_of_a_discounted_ridge() {
    let forgetting = 0.9;
    let rule = AnyRule::Ucb(Ucb { alpha: 0.5 });
    for clock in [DecayClock::Updates, DecayClock::Time] {
        let settings = PolicySettings::new(PolicyKind::Linear, 2, 3, Some(rule))
            .with_prior_precision(2.0)
            .with_decay(forgetting)
            .with_clock(Some(clock));
        let mut policy = AnyPolicy::new(settings).unwrap();
        let options = DiscountedRidge::new(forgetting).with_prior_precision(2.0).with_clock(clock);
        let mut same = Disjoint::<DiscountedRidge, _>::new(2, 3, options, rule).unwrap();
        for round in 0..40u32 {
            let context = [1.0, f64::from(round % 5)];
            let (arm, reward) = (ArmId::new(u64::from(round % 2)), f64::from(round % 3));
            policy.update(arm, &context, reward, 1.0).unwrap();
            same.update(arm, &context, reward, 1.0).unwrap();
            if clock == DecayClock::Time {
                policy.elapse(0.5).unwrap();
                same.elapse(0.5).unwrap();
            }
            // After saving and loading, the clock continues.
            policy = serde_json::from_str(&serde_json::to_string(&policy).unwrap()).unwrap();
        }
        let request = Request::new(&[0.3, 1.0]);
        let choice = policy.select(&request, &mut rng(1)).unwrap();
        let expected = same.select(&request, &mut rng(1)).unwrap();
        assert_eq!((choice.arm, choice.mean, choice.width), (expected.arm, expected.mean, expected.width));
        assert!(policy.elapse(f64::NAN).is_err());
        assert_eq!(policy.elapse(1.0).is_ok(), clock == DecayClock::Time);
    }
}

#[test]
fn arms_of_a_policy_from_settings_come_and_go() {
    for settings in every_kind() {
        let mut policy = AnyPolicy::new(settings.clone()).unwrap();
        use PolicyKind::{SharedDiagonalLogistic, SharedLinear, SharedLogistic};
        if matches!(settings.kind, SharedLinear | SharedLogistic | SharedDiagonalLogistic) {
            assert!(matches!(policy.add_arm(), Err(Error::Settings { .. })));
            assert!(matches!(policy.remove_arm(ArmId::new(0)), Err(Error::Settings { .. })));
            continue;
        }
        let (gone, new) = (ArmId::new(2), policy.add_arm().unwrap());
        assert_eq!(new, ArmId::new(4));
        policy.remove_arm(gone).unwrap();
        assert_eq!(policy.remove_arm(gone), Err(Error::RemovedArm { arm: gone }));
        let (arms, mut draws) = ([0, 1, 3, 4].map(ArmId::new), rng(3));
        let (context, features) = (normals(&mut draws, 3), normals(&mut draws, 8));
        let request = featured(&context, &arms, &features);
        for number in 0..9 {
            let decision = policy.decide(&request, &mut draws).unwrap();
            assert_ne!(decision.arm(), gone);
            policy.learn(&decision, f64::from(number % 2)).unwrap();
        }
        let saved = serde_json::to_string(&policy).unwrap();
        let mut loaded: AnyPolicy = serde_json::from_str(&saved).unwrap();
        assert_eq!(loaded.remove_arm(gone), Err(Error::RemovedArm { arm: gone }), "{settings:?}");
    }
}

#[test]
fn unknown_keys_are_refused_with_their_name() {
    let good = r#"{"kind":"linear","dimension":2,"arms":3,"exploration":{"rule":"ucb","alpha":0.5}}"#;
    let settings: PolicySettings = serde_json::from_str(good).unwrap();
    assert_eq!(settings, PolicySettings::new(PolicyKind::Linear, 2, 3, Some(AnyRule::Ucb(Ucb { alpha: 0.5 }))));
    for (from, to, name) in [
        ("\"arms\"", "\"armz\"", "armz"),
        ("\"alpha\"", "\"alhpa\"", "alhpa"),
        ("\"linear\"", "\"linaer\"", "linaer"),
        ("\"ucb\"", "\"ubc\"", "ubc"),
        ("\"arms\":3", "\"normaliser\":{\"warm_up\":9,\"biass\":true}", "biass"),
    ] {
        let error = serde_json::from_str::<PolicySettings>(&good.replace(from, to)).unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
    }
}

#[test]
fn a_file_whose_settings_and_policy_disagree_is_refused() {
    let policy = AnyPolicy::new(every_kind().swap_remove(0)).unwrap();
    let saved = serde_json::to_value(&policy).unwrap();
    type Change = fn(&mut serde_json::Value);
    let changes: [(Change, &str); 6] = [
        (|file| file["settings"]["dimension"] = 2.into(), "disagree"),
        (|file| file["settings"]["kind"] = "logistic".into(), "disagree"),
        (|file| file["settings"]["exploration"]["alpha"] = 0.25.into(), "disagree"),
        (|file| file["header"]["format"] = 99.into(), "format version 99"),
        (|file| file["header"]["kind"] = "disjoint/ridge/ucb".into(), "any-policy"),
        (|file| file["more"] = 1.into(), "more"),
    ];
    for (change, what) in changes {
        let mut file = saved.clone();
        change(&mut file);
        let error = serde_json::from_value::<AnyPolicy>(file).unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    }
}

#[test]
fn a_normalised_policy_equals_one_under_the_frozen_scaling() {
    let lin_ucb = || LinUcb::new(4, 2, Ridge::default(), Ucb { alpha: 0.5 }).unwrap();
    let mut policy = Normalised::new(lin_ucb(), Normalizer::new(3).unwrap(), 8, true).unwrap();
    let (mut by_hand, mut normalizer) = (lin_ucb(), Normalizer::new(3).unwrap());
    let mut draws = rng(3);
    let mut seen = Vec::new();
    for number in 0..20u64 {
        let raw: Vec<_> = normals(&mut draws, 3).iter().map(|value| 1e4 + 100.0 * value).collect();
        let decision = policy.decide(&Request::new(&raw), &mut draws).unwrap();
        assert_eq!(decision.context, raw);
        if number < 8 {
            assert!(decision.choice.propensity.unwrap() > 0.0);
            assert!(!policy.normalizer().is_frozen());
            assert_eq!(policy.inner().version(), 0);
        }
        let reward = (number % 3) as f64;
        policy.learn(&decision, reward).unwrap();
        seen.push((decision.arm(), raw, reward));
        assert_eq!(policy.version(), number + 1);
    }
    seen.iter().take(8).for_each(|(_, raw, _)| normalizer.observe(raw).unwrap());
    for (arm, raw, reward) in &seen {
        let mut context = normalizer.normalise(raw).unwrap();
        context.push(1.0);
        by_hand.update(*arm, &context, *reward, 1.0).unwrap();
    }
    assert_eq!(policy.inner().state(), by_hand.state());
    let short = policy.update(ArmId::new(0), &[1.0], 1.0, 1.0).unwrap_err();
    assert_eq!(short, Error::Dimension { what: "context", expected: 3, got: 1 });
    let wrong = Normalised::new(lin_ucb(), Normalizer::new(3).unwrap(), 8, false).unwrap_err();
    assert_eq!(wrong, Error::Dimension { what: "context of the policy inside", expected: 3, got: 4 });
}

#[test]
fn ucb1_tries_every_arm_and_then_takes_the_highest_bound() {
    let mut policy = ContextFree::new(3, Ucb1::default()).unwrap();
    let (mut draws, request) = (rng(5), Request::new(&[]));
    let propensities = |policy: &ContextFree<Ucb1>| -> Vec<f64> {
        policy.propensities(&request).unwrap().iter().map(|entry| entry.probability).collect()
    };
    assert_eq!(propensities(&policy), [1.0 / 3.0; 3]);
    policy.update(ArmId::new(1), &[], 0.0, 1.0).unwrap();
    assert_eq!(propensities(&policy), [0.5, 0.0, 0.5]);
    for (arm, reward) in [(0, 1.0), (2, 0.5), (0, 0.0), (2, 0.5)] {
        policy.update(ArmId::new(arm), &[], reward, 1.0).unwrap();
    }
    // n = 5: means .5, 0, .5 over 2, 1, 2 rewards; bounds .5 + √ln 5 (twice) and √(2 ln 5) = 1.794 against 1.769.
    assert_eq!(propensities(&policy), [0.0, 1.0, 0.0]);
    let choice = policy.select(&request, &mut draws).unwrap();
    assert_eq!(choice.arm, ArmId::new(1));
    assert!((choice.score - (2.0 * 5f64.ln()).sqrt()).abs() < 1e-15);
    policy.update(ArmId::new(1), &[], 0.0, 1.0).unwrap();
    assert_eq!(propensities(&policy), [0.5, 0.0, 0.5]);
    // The policy ignores contexts, but not the available actions.
    let two = [1, 2].map(ArmId::new);
    let request = Request::new(&[4.0; 7]).only(&two);
    assert_eq!(policy.decide(&request, &mut draws).unwrap().arm(), two[1]);
    policy.remove_arm(two[1]).unwrap();
    assert_eq!(policy.update(two[1], &[], 0.0, 1.0), Err(Error::RemovedArm { arm: two[1] }));
}

#[test]
fn beta_thompson_has_exact_propensities_and_rejects_bad_rewards() {
    let mut policy = ContextFree::new(2, BetaThompson::default()).unwrap();
    let request = Request::new(&[]);
    for reward in [1.0, 1.0, 0.0] {
        policy.update(ArmId::new(0), &[], reward, 1.0).unwrap();
    }
    // Beta(3, 2) against Beta(1, 1): the probability is the mean of the first, 3/5.
    let propensities = policy.propensities(&request).unwrap();
    assert!(
        (propensities[0].probability - 0.6).abs() < 1e-9 && (propensities[1].probability - 0.4).abs() < 1e-9,
        "{propensities:?}"
    );
    let mut draws = rng(6);
    let wins = (0..20_000).filter(|_| policy.select(&request, &mut draws).unwrap().arm.number() == 0).count();
    // The standard deviation is 69: the tolerance is five deviations.
    assert!(wins.abs_diff(12_000) < 346, "{wins}");
    let refused = policy.update(ArmId::new(0), &[], 1.5, 1.0);
    assert_eq!(refused, Err(Error::Reward { reward: 1.5, low: 0.0, high: 1.0 }));
    assert!(ContextFree::new(2, BetaThompson { successes: 0.1, failures: 1.0 }).is_err());
    let text = serde_json::to_string(&policy).unwrap();
    let again: ContextFree<BetaThompson> = serde_json::from_str(&text).unwrap();
    assert_eq!(again, policy);
    for damaged in [text.replace("\"sum\":2.0", "\"sum\":7.0"), text.replace("\"weight\":3.0", "\"weight\":-3.0")] {
        assert_ne!(damaged, text);
        assert!(serde_json::from_str::<ContextFree<BetaThompson>>(&damaged).is_err());
    }
}

#[test]
fn a_certain_arm_beside_a_drawn_one_is_chosen_by_chance() {
    let mut policy = ContextFree::new(2, BetaThompson::default()).unwrap();
    // After this many rewards arm 0 has the value ½, and a draw from Beta(1, 1) exceeds it with probability ½.
    policy.update(ArmId::new(0), &[], 0.5, 2e15).unwrap();
    let (request, mut draws, mut chosen) = (Request::new(&[]), rng(7), [0; 2]);
    for _ in 0..20 {
        assert_eq!(policy.select(&request, &mut draws).unwrap().propensity, None);
        let choice = policy.decide(&request, &mut draws).unwrap().choice;
        assert!((choice.propensity.unwrap() - 0.5).abs() < 1e-9, "{choice:?}");
        chosen[choice.arm.number() as usize] += 1;
    }
    assert!(chosen.iter().all(|count| *count > 0), "{chosen:?}");
    // If both values are certain, so is the choice.
    policy.update(ArmId::new(1), &[], 0.75, 2e15).unwrap();
    let choice = policy.select(&request, &mut draws).unwrap();
    assert_eq!((choice.arm, choice.propensity), (ArmId::new(1), Some(1.0)));
}

#[test]
fn a_warm_up_refuses_what_the_policy_inside_would_refuse() {
    let normaliser = Some(NormaliserSettings::default().with_warm_up(9).with_floor(1e-9));
    for settings in every_kind() {
        if matches!(settings.kind, PolicyKind::ContextFree | PolicyKind::Uniform) {
            continue;
        }
        let policy = AnyPolicy::new(settings.clone().with_normaliser(normaliser)).unwrap();
        let (ids, mut draws) = ([3, 1].map(ArmId::new), rng(3));
        let (context, features) = (normals(&mut draws, 3), normals(&mut draws, 4));
        let request = featured(&context, &ids, &features);
        let drawn = policy.propensities(&request).unwrap();
        let mut arms: Vec<_> = drawn.iter().map(|entry| entry.arm.number()).collect();
        arms.sort_unstable();
        assert_eq!(arms, [1, 3], "{settings:?}");
        assert!((drawn.iter().map(|entry| entry.probability).sum::<f64>() - 1.0).abs() < 1e-9);
        let needs_features = settings.features > 0;
        assert_eq!(policy.decide(&Request::new(&context), &mut draws).is_err(), needs_features, "{settings:?}");
        assert_eq!(policy.decide(&featured(&context, &ids, &features[..2]), &mut draws).is_err(), needs_features);
        assert!(policy.decide(&Request::new(&context[..2]), &mut draws).is_err());
        assert!(policy.decide(&Request::new(&context).only(&[]), &mut draws).is_err());
    }
}

#[test]
fn shared_kinds_reject_context_and_features_of_wrong_lengths() {
    let settings = PolicySettings::new(PolicyKind::SharedLinear, 2, 0, Some(AnyRule::Ucb(Ucb { alpha: 0.5 })))
        .with_features(3)
        .with_interactions(Some(vec![("context".to_owned(), "features".to_owned())]));
    let policy = AnyPolicy::new(settings).unwrap();
    let arms = [ArmId::new(4), ArmId::new(9)];
    for (context, width, right) in [(2, 3, true), (1, 4, false), (0, 5, false), (4, 1, false)] {
        let (context, features) = (vec![0.5; context], vec![0.25; 2 * width]);
        let request = Request::new(&context).featured(&arms, &features, width).unwrap();
        assert_eq!(policy.propensities(&request).is_ok(), right, "{width}");
        assert_eq!(policy.decide(&request, &mut rng(1)).is_ok(), right, "{width}");
        assert_eq!(policy.slate_propensities(1, &request).is_ok(), right, "{width}");
    }
}
