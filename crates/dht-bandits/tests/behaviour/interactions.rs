//! Products of context and features.

use dht_bandits::{
    ArmId, Error, Policy, Request, Ridge, Thompson, Ucb,
    exploration::EpsilonGreedy,
    features::Interactions,
    policy::{AnyPolicy, Feedback, PolicyKind, PolicySettings, RewardType, TopK},
    posterior::FullLaplace,
};
use rand::RngExt;

use crate::support::{featured, normals, rng};

const UCB: Ucb = Ucb { alpha: 0.25 };

const OPTIONS: Ridge = Ridge::new(1.0).with_decay(1.0);

/// Environment of three segments of readers, where each round has a new item of each of three topics. A reader clicks
/// .8 of the items of the own segment's topic and .1 of the others: .33 at random, .8 at best. Returns the mean of
/// clicks, and the policy.
fn clicks(mut policy: impl Policy, with_context: bool) -> f64 {
    let (mut draws, mut total, rounds) = (rng(5), 0.0, 4000);
    for round in 0..rounds {
        let segment = draws.random_range(0..3usize);
        let mut context = [0.0; 3];
        context[segment] = 1.0;
        let items = [0, 1, 2].map(|topic| ArmId::new(3 * round + topic));
        let topics = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0];
        let request = featured(if with_context { &context } else { &[] }, &items, &topics);
        let decision = policy.decide(&request, &mut draws).unwrap();
        let topic = (decision.arm().number() - 3 * round) as usize;
        let clicked = draws.random::<f64>() < if topic == segment { 0.8 } else { 0.1 };
        policy.learn(&decision, f64::from(u8::from(clicked))).unwrap();
        total += f64::from(u8::from(clicked));
    }
    total / rounds as f64
}

#[test]
fn products_raise_clicks_from_random_to_near_the_best() {
    let options = FullLaplace::new(1.0);
    let without = clicks(TopK::<FullLaplace, _>::shared(3, options, UCB).unwrap(), false);
    let products = Interactions::new(3, 3).unwrap();
    let with = TopK::<FullLaplace, _>::shared(products.dimension(), options, UCB).unwrap();
    let with = clicks(with.with_interactions(products).unwrap(), true);
    let settings = PolicySettings::recommended_for_items(3, 3, RewardType::Binary);
    let recommended = clicks(AnyPolicy::new(settings).unwrap(), true);
    println!("clicks: without products {without:.3}, with products {with:.3}, recommended {recommended:.3}");
    assert!(without < 0.36 && with > 0.77 && recommended > 0.77, "{without} {with} {recommended}");
}

#[test]
fn a_context_next_to_shared_weights_needs_products() {
    let (arms, features) = ([0, 1].map(ArmId::new), [1.0, 0.0, 0.0, 1.0]);
    let request = featured(&[0.5, 2.0], &arms, &features);
    let policy = TopK::shared(4, OPTIONS, UCB).unwrap();
    let refused = Error::NeedsInteractions { context: 2 };
    assert_eq!(policy.select_slate(1, &request, &mut rng(1)), Err(refused.clone()));
    assert_eq!(policy.slate_propensities(1, &request), Err(refused.clone()));
    assert_eq!(Policy::decide(&policy, &request, &mut rng(1)), Err(refused.clone()));
    assert!(refused.to_string().contains("TopK::with_interactions") && refused.to_string().contains("`interactions`"));
    // Policies with separate weights for each arm do not expand the context.
    assert!(TopK::<Ridge, _>::per_arm(4, 2, OPTIONS, UCB).unwrap().select_slate(1, &request, &mut rng(1)).is_ok());
    for kind in [PolicyKind::SharedLinear, PolicyKind::SharedLogistic, PolicyKind::SharedDiagonalLogistic] {
        let rule = dht_bandits::policy::AnyRule::Ucb(UCB);
        let settings = PolicySettings::new(kind, 2, 0, Some(rule)).with_features(2);
        assert_eq!(AnyPolicy::new(settings).unwrap_err(), refused);
    }
}

fn with_products(pairs: &[(&str, &str)]) -> TopK<Ridge, Thompson> {
    let groups = [("user", 0..1), ("device", 1..3), ("topic", 3..5)];
    let products = Interactions::with_groups(3, 3, &groups, pairs).unwrap();
    let policy = TopK::shared(products.dimension(), OPTIONS, Thompson { alpha: 0.5 }).unwrap();
    policy.with_interactions(products).unwrap()
}

#[test]
fn products_equal_features_multiplied_by_hand() {
    let pairs = [("user", "features"), ("device", "topic"), ("topic", "topic")];
    let mut policy = with_products(&pairs);
    let products = policy.interactions().unwrap().clone();
    assert_eq!(products.dimension(), 6 + 3 + 4 + 3);
    let mut naive = TopK::shared(products.dimension(), OPTIONS, Thompson { alpha: 0.5 }).unwrap();
    let (arms, mut draws) = ([0, 1, 2, 3].map(ArmId::new), rng(3));
    for _ in 0..30 {
        let (context, features) = (normals(&mut draws, 3), normals(&mut draws, 12));
        let rows: Vec<f64> = (features.chunks(3))
            .flat_map(|z| {
                let (c, t) = (&context, &z[..2]);
                let user = z.iter().map(|value| c[0] * value);
                let device = c[1..].iter().flat_map(|left| t.iter().map(move |right| left * right));
                let squares = [t[0] * t[0], t[0] * t[1], t[1] * t[1]];
                let row: Vec<f64> = c.iter().chain(z).copied().chain(user).chain(device).chain(squares).collect();
                assert_eq!(products.expand(c, z).unwrap(), row);
                row
            })
            .collect();
        let request = featured(&context, &arms, &features);
        let expanded = featured(&[], &arms, &rows);
        let decision = Policy::decide(&policy, &request, &mut draws.clone()).unwrap();
        let expected = Policy::decide(&naive, &expanded, &mut draws).unwrap();
        assert_eq!(decision.choice, expected.choice);
        // The policy stores only the context and the features.
        let place = decision.arm().number() as usize;
        assert_eq!(decision.context, [&context[..], &features[3 * place..][..3]].concat());
        assert_eq!(policy.score(decision.arm(), &decision.context), naive.score(decision.arm(), &expected.context));
        assert_eq!(Policy::check_update(&policy, decision.arm(), &decision.context, 1.0, 1.0), Ok(true));
        Policy::learn(&mut policy, &decision, 0.5).unwrap();
        Policy::learn(&mut naive, &expected, 0.5).unwrap();
        let slate = policy.decide_slate(2, &request, &mut draws.clone()).unwrap();
        let expected = naive.decide_slate(2, &expanded, &mut draws).unwrap();
        assert_eq!(slate.choices(), expected.choices());
        let feedback = [Feedback::Observed(1.0), Feedback::Observed(0.0)];
        policy.learn_slate(&slate, &feedback).unwrap();
        naive.learn_slate(&expected, &feedback).unwrap();
    }
}

#[test]
fn lengths_that_do_not_fit_products_change_nothing() {
    let mut policy = with_products(&[("context", "features")]);
    let (arms, features) = ([0, 1].map(ArmId::new), [0.5; 6]);
    let decision = Policy::decide(&policy, &featured(&[1.0; 3], &arms, &features), &mut rng(1)).unwrap();
    Policy::learn(&mut policy, &decision, 1.0).unwrap();
    let before = serde_json::to_string(&policy).unwrap();
    for context in [&[][..], &[1.0; 2], &[1.0; 4]] {
        let refused = Error::Dimension { what: "context", expected: 3, got: context.len() };
        let request = featured(context, &arms, &features);
        assert_eq!(Policy::decide(&policy, &request, &mut rng(1)), Err(refused.clone()));
        assert_eq!(policy.slate_propensities(1, &request), Err(refused));
        let row = [context, &[0.5; 3]].concat();
        assert!(Policy::update(&mut policy, arms[0], &row, 1.0, 1.0).is_err());
    }
    let wide = Error::Dimension { what: "features of an arm", expected: 3, got: 2 };
    assert_eq!(policy.propensities(&featured(&[1.0; 3], &arms, &[0.5; 4])), Err(wide));
    let none = Error::NeedsFeatures { width: 3 };
    assert_eq!(policy.propensities(&Request::new(&[1.0; 3]).only(&arms)), Err(none));
    let not_finite = featured(&[1.0, f64::NAN, 0.0], &arms, &features);
    assert!(matches!(policy.propensities(&not_finite), Err(Error::NotFinite { what: "context", index: 1, .. })));
    // Products of accepted values can be too large to learn from.
    assert!(Policy::update(&mut policy, arms[0], &[1e99; 6], 1.0, 1.0).is_err());
    assert_eq!(serde_json::to_string(&policy).unwrap(), before);
    // A policy of another dimension, one that has learned, and products of a context alone are refused.
    let products = Interactions::new(3, 3).unwrap();
    assert!(TopK::shared(6, OPTIONS, UCB).unwrap().with_interactions(products.clone()).is_err());
    assert!(policy.with_interactions(products).is_err());
    let squares = Interactions::with_groups(2, 0, &[], &[("context", "context")]).unwrap();
    assert_eq!(squares.expand(&[2.0, 3.0], &[]).unwrap(), [2.0, 3.0, 4.0, 6.0, 9.0]);
    let shared = TopK::shared(squares.dimension(), OPTIONS, UCB).unwrap();
    assert!(shared.with_interactions(squares).is_err());
}

#[test]
fn products_are_saved_and_must_agree_to_merge() {
    let mut policy = with_products(&[("user", "topic")]);
    let (arms, mut draws) = ([0, 1].map(ArmId::new), rng(4));
    for _ in 0..5 {
        let (context, features) = (normals(&mut draws, 3), normals(&mut draws, 6));
        let decision = Policy::decide(&policy, &featured(&context, &arms, &features), &mut draws).unwrap();
        Policy::learn(&mut policy, &decision, 1.0).unwrap();
    }
    let saved = serde_json::to_value(&policy).unwrap();
    let loaded: TopK<Ridge, Thompson> = serde_json::from_value(saved.clone()).unwrap();
    assert_eq!(loaded.interactions(), policy.interactions());
    assert_eq!(serde_json::to_value(&loaded).unwrap(), saved);
    for damaged in [
        serde_json::json!(null),
        serde_json::json!({"context": 3, "features": 3, "pairs": []}),
        serde_json::json!({"context": 3, "features": 3, "pairs": [[0, 1, 3, 9]]}),
        serde_json::json!({"context": 3, "features": 3, "pairs": [[0, 3, 3, 6]]}),
        serde_json::json!({"context": 8, "features": 0, "pairs": [[0, 1, 1, 2]]}),
    ] {
        let mut state = saved.clone();
        state["interactions"] = damaged.clone();
        let outcome = serde_json::from_value::<TopK<Ridge, Thompson>>(state);
        // Without products, the policy takes expanded rows.
        assert_eq!(outcome.is_err(), !damaged.is_null(), "{damaged}");
    }
    let blank = with_products(&[("user", "topic")]);
    let mut merged = blank.clone();
    merged.merge(&policy).unwrap();
    assert_eq!(merged.version(), 5);
    let other = with_products(&[("user", "device")]);
    assert!(
        matches!(other.clone().merge(&policy), Err(Error::Settings { problem }) if problem.contains("interactions"))
    );
}

#[test]
fn groups_that_do_not_fit_are_refused_by_name() {
    let refused = |groups: &[(&str, std::ops::Range<usize>)], pairs: &[(&str, &str)]| {
        Interactions::with_groups(3, 2, groups, pairs).unwrap_err().to_string()
    };
    #[expect(clippy::reversed_empty_ranges, reason = "an empty group is refused")]
    for (group, range) in [("a", 2..2), ("a", 4..6), ("a", 3..1)] {
        assert!(refused(&[(group, range)], &[("a", "features")]).contains("\"a\""));
    }
    assert!(refused(&[("a", 0..1), ("a", 1..2)], &[("a", "features")]).contains("twice"));
    assert!(refused(&[("context", 0..1)], &[("context", "features")]).contains("twice"));
    assert!(refused(&[], &[("user", "features")]).contains("expected one of context, features"));
    assert!(refused(&[], &[]).contains("no pair"));
    assert!(refused(&[], &[("context", "features"), ("features", "context")]).contains("given twice"));
    assert!(refused(&[("a", 0..2), ("b", 1..3)], &[("a", "b")]).contains("overlap"));
    assert!(Interactions::new(0, 2).is_err() && Interactions::new(2, 0).is_err());
    assert!(Interactions::new(1 << 13, 1 << 13).is_err() && Interactions::new(usize::MAX, 2).is_err());
}

#[test]
fn groups_of_settings_count_raw_columns() {
    // A bias of the normaliser is inserted between the context and the features.
    let settings = |bias| {
        PolicySettings::new(
            PolicyKind::SharedLinear,
            2,
            0,
            Some(dht_bandits::policy::AnyRule::EpsilonGreedy(EpsilonGreedy::new(0.5))),
        )
        .with_normaliser(Some(dht_bandits::policy::NormaliserSettings::default().with_bias(bias).with_warm_up(3)))
        .with_interactions(Some(vec![("context".to_owned(), "topic".to_owned())]))
        .with_groups([("topic".to_owned(), (2, 3))].into())
        .with_features(2)
    };
    for bias in [false, true] {
        let mut policy = AnyPolicy::new(settings(bias)).unwrap();
        let (arms, mut draws) = ([0, 1].map(ArmId::new), rng(6));
        for _ in 0..8 {
            let (context, features) = (normals(&mut draws, 2), normals(&mut draws, 4));
            let decision = policy.decide(&featured(&context, &arms, &features), &mut draws).unwrap();
            assert_eq!(decision.context.len(), 4);
            policy.learn(&decision, 1.0).unwrap();
            let saved = serde_json::to_string(&policy).unwrap();
            policy = serde_json::from_str(&saved).unwrap();
            assert_eq!(serde_json::to_string(&policy).unwrap(), saved);
        }
        // The bias is not multiplied.
        let state = serde_json::to_value(&policy).unwrap();
        let columns = &state["policy"]["normalised"]["inner"]["shared-linear"]["interactions"];
        let bias = usize::from(bias);
        assert_eq!(
            *columns,
            serde_json::json!({"context": 2 + bias, "features": 2, "pairs": [[0, 2, 2 + bias, 3 + bias]]})
        );
        let mut slate = dht_bandits::policy::Slate::default();
        policy.select_slate(1, &featured(&[0.0; 2], &arms, &[0.0; 4]), &mut draws, &mut slate).unwrap();
        assert_eq!(slate.choices().len(), 1, "a slate behind a scaling");
    }
    let without = settings(false).with_interactions(None);
    assert!(matches!(AnyPolicy::new(without), Err(Error::Settings { problem }) if problem.starts_with("groups: ")));
    let straddling = settings(true)
        .with_interactions(Some(vec![("both".to_owned(), "both".to_owned())]))
        .with_groups([("both".to_owned(), (1, 3))].into());
    assert!(matches!(AnyPolicy::new(straddling), Err(Error::Settings { problem }) if problem.contains("two groups")));
}
