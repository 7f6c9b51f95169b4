//! Sizes that exceed any memory are refused by every constructor that takes a size.

use dht_bandits::{
    ArmId, Error, LinUcb, Normalizer, Observation, Policy, Request, Result, Ridge, Thompson, Ucb,
    features::PyramidPool,
    policy::{
        AnyPolicy, AnyRule, ContextFree, Disjoint, Fixed, Hybrid, PolicyKind, PolicySettings, TopK, Ucb1, Uniform,
    },
    posterior::{DecayClock, DiagonalLaplace, DiscountedRidge, FullLaplace, NormalInverseGamma},
    simulation::GlmEnvironment,
};

use crate::support::rng;

/// Calls each constructor with one size as large as `size`, with the name that the refusal must contain.
fn attempts(size: usize) -> Vec<(&'static str, Result<()>)> {
    let (ucb, draw) = (Ucb { alpha: 1.0 }, Thompson { alpha: 1.0 });
    let (ridge, hybrid) = (Ridge::default(), 1.0);
    let (full, diagonal) = (FullLaplace::default(), DiagonalLaplace::default());
    let mut rng = rng(1);
    vec![
        ("dimension", Normalizer::new(size).map(drop)),
        ("dimension", LinUcb::new(size, 1, ridge, ucb).map(drop)),
        ("arms", LinUcb::new(1, size, ridge, ucb).map(drop)),
        ("dimension", Disjoint::new(size, 1, full, ucb).map(drop)),
        ("arms", Disjoint::new(1, size, full, ucb).map(drop)),
        ("dimension", Disjoint::new(size, 1, diagonal, draw).map(drop)),
        ("arms", Disjoint::new(1, size, diagonal, draw).map(drop)),
        ("dimension", TopK::per_arm(size, 1, diagonal, draw).map(drop)),
        ("arms", TopK::per_arm(1, size, diagonal, draw).map(drop)),
        ("dimension", TopK::shared(size, diagonal, draw).map(drop)),
        ("dimension", Hybrid::new(size, 1, 1, hybrid, ucb).map(drop)),
        ("dimension", Hybrid::new(1, size, 1, hybrid, ucb).map(drop)),
        ("arms", Hybrid::new(1, 1, size, hybrid, ucb).map(drop)),
        ("dimension", Uniform::new(size, 1).map(drop)),
        ("arms", Uniform::new(1, size).map(drop)),
        ("arms", Fixed::new(1, size, ArmId::new(0)).map(drop)),
        ("dimension", GlmEnvironment::linear(size, 1, 0.1, &mut rng).map(drop)),
        ("arms", GlmEnvironment::logistic(2, size, &mut rng).map(drop)),
    ]
}

#[test]
fn a_size_that_no_memory_holds_is_refused_by_name() {
    for size in [usize::MAX, 1 << 60, (1 << 24) + 1] {
        for (position, (expected, outcome)) in attempts(size).into_iter().enumerate() {
            match outcome {
                Err(Error::Parameter { name, value, .. }) => {
                    assert_eq!((name, value), (expected, size as f64), "{position}")
                }
                other => panic!("{position}, {size}: {other:?}"),
            }
        }
    }
}

#[test]
fn sizes_whose_product_no_memory_holds_are_refused() {
    let name = |outcome: Result<()>| match outcome {
        Err(Error::Parameter { name, .. }) => name,
        other => panic!("{other:?}"),
    };
    let half = 1 << 20;
    assert_eq!(name(GlmEnvironment::linear(half, half, 0.1, &mut rng(1)).map(drop)), "dimension × arms");
    for axes in [2, 3, 4, 40] {
        assert_eq!(name(PyramidPool::new(&vec![0..=20; axes]).map(drop)), "dimension");
    }
    assert_eq!(PyramidPool::new(&[0..=20, 0..=1]).unwrap().dimension(), 3 * ((1 << 21) - 1));
}

#[test]
fn a_normalizer_is_as_long_as_the_longest_context_of_any_policy() {
    let longest = 1 << 24;
    assert_eq!(Normalizer::new(longest).unwrap().dimension(), longest);
    assert_eq!(Uniform::new(longest, 1).map(drop), Ok(()));
}

#[test]
fn too_many_arms_times_dimensions_is_a_memory_error() {
    let (ucb, draw) = (Ucb { alpha: 1.0 }, Thompson { alpha: 1.0 });
    let (ridge, diagonal) = (Ridge::default(), DiagonalLaplace::default());
    let storing = ridge.with_keep_information(true);
    let fading = DiscountedRidge::new(1.0).with_clock(DecayClock::Time);
    let noise = NormalInverseGamma::default();
    let hybrid = 1.0;
    // Each size by itself is allowed.
    let (arms, longest, full) = (1 << 16, 1 << 24, 1 << 16);
    let attempts: Vec<Result<()>> = vec![
        Disjoint::new(longest, arms, diagonal, draw).map(drop),
        LinUcb::new(full, arms, ridge, ucb).map(drop),
        LinUcb::new(full, arms, storing, ucb).map(drop),
        Disjoint::new(full, arms, FullLaplace::default(), ucb).map(drop),
        Disjoint::<NormalInverseGamma, _>::new(full, arms, noise, draw).map(drop),
        Disjoint::<DiscountedRidge, _>::new(full, arms, fading, ucb).map(drop),
        TopK::per_arm(longest, arms, diagonal, draw).map(drop),
        Hybrid::new(full, full, arms, hybrid, ucb).map(drop),
        Hybrid::new(full, 1, arms, hybrid, ucb).map(drop),
        AnyPolicy::new(PolicySettings::new(PolicyKind::Linear, full, arms, Some(AnyRule::Ucb(ucb)))).map(drop),
    ];
    for (position, outcome) in attempts.into_iter().enumerate() {
        match outcome {
            Err(Error::Memory { bytes, .. }) => assert!(bytes > 1 << 40, "{position}: {bytes}"),
            other => panic!("{position}: {other:?}"),
        }
    }
}

const LITTLE_MEMORY: &str = "DHT_BANDITS_LITTLE_MEMORY";

/// Part of another test, which runs in a process with limited memory.
#[test]
#[ignore = "run by the test below in a process of its own"]
fn arms_are_added_until_memory_ends() {
    if std::env::var_os(LITTLE_MEMORY).is_none() {
        return;
    }
    // Each arm takes 25 MB.
    let dimension = 1 << 20;
    let (options, draw) = (DiagonalLaplace::default(), Thompson { alpha: 1.0 });
    let context = vec![1e-3; dimension];
    let mut policy = Disjoint::new(dimension, 1, options, draw).unwrap();
    policy.update(ArmId::new(0), &context, 1.0, 1.0).unwrap();
    let before = policy.score(ArmId::new(0), &context).unwrap();
    let refused = loop {
        match policy.add_arm() {
            Ok(arm) => assert!(arm.number() < 1000),
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, Error::Memory { what: "arms × dimension", .. }), "{refused}");
    let arms = policy.arms().len() as u64;
    assert!(arms > 3, "{arms}");
    assert_eq!(policy.add_arm_like(ArmId::new(0)), Err(refused.clone()));
    assert_eq!(policy.insert_arm(ArmId::new(5000)), Err(refused));
    // Nothing has changed, and the policy continues to work.
    assert_eq!((policy.arms().len() as u64, policy.score(ArmId::new(0), &context).unwrap()), (arms, before));
    policy.update(ArmId::new(arms - 1), &context, 1.0, 1.0).unwrap();
    policy.remove_arm(ArmId::new(1)).unwrap();
    assert_eq!(policy.add_arm(), Ok(ArmId::new(arms)));
    drop(policy);
    let refused = Disjoint::new(dimension, 1000, options, draw).map(drop);
    assert!(matches!(refused, Err(Error::Memory { bytes: 25_165_824_000, .. })), "{refused:?}");
}

/// Part of another test, which runs in a process without memory for a second policy of this size.
#[test]
#[ignore = "run by the test below in a process of its own"]
fn policies_are_copied_where_memory_ends() {
    if std::env::var_os(LITTLE_MEMORY).is_none() {
        return;
    }
    fn refused<T: std::fmt::Debug>(outcome: Result<T>) {
        let error = outcome.map(drop).unwrap_err();
        assert!(matches!(error, Error::Memory { .. }), "{error}");
    }
    // Ids take 24 bytes per arm, and rewards 16.
    refused(ContextFree::new(1 << 24, Ucb1::default()));
    drop(Uniform::new(1, 1 << 23).unwrap());
    // Each arm takes 4 MB: 340 MB in total.
    let of = |kind, arms, features| {
        let settings = PolicySettings::new(kind, 1024, arms, Some(AnyRule::Ucb(Ucb { alpha: 1.0 })));
        AnyPolicy::new(settings.with_features(features)).unwrap()
    };
    for (kind, features) in [(PolicyKind::Linear, 0), (PolicyKind::Hybrid, 1)] {
        let (mut policy, earlier) = (of(kind, 80, features), of(kind, 0, features));
        let context = vec![1e-3; 1024 + features];
        policy.update(ArmId::new(1), &context, 1.0, 1.0).unwrap();
        refused(policy.diff(&earlier));
        #[cfg(feature = "settings")]
        refused(policy.to_json());
        if kind == PolicyKind::Hybrid {
            let rows = [context[..1024].to_vec(), vec![1e-3; features]];
            let arms = [ArmId::new(1)];
            let request = Request::new(&rows[0]).featured(&arms, &rows[1], 1).unwrap();
            let decision = policy.decide(&request, &mut rng(1)).unwrap();
            refused(policy.learn_batch(&[Observation::new(decision, 1.0)]));
        }
        // The policy continues as before.
        assert_eq!(policy.version(), 1);
        policy.update(ArmId::new(1), &context, 1.0, 1.0).unwrap();
    }
}

/// Runs a test of this file in a process that is limited to 500 MB.
#[cfg(target_os = "linux")]
fn with_little_memory(test: &str) {
    let outcome = std::process::Command::new("sh")
        .args(["-c", "ulimit -v 500000 && exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", &format!("limits::{test}"), "--ignored", "--test-threads", "1"])
        .env(LITTLE_MEMORY, "1")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&outcome.stdout) + String::from_utf8_lossy(&outcome.stderr);
    assert!(outcome.status.success() && told.contains("1 passed"), "{told}");
}

#[cfg(target_os = "linux")]
#[test]
fn memory_that_the_system_refuses_is_an_error_and_no_abort() {
    with_little_memory("arms_are_added_until_memory_ends");
    with_little_memory("policies_are_copied_where_memory_ends");
}
