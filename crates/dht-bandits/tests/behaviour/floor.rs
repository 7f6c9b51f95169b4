//! Floor under the probability of every arm.

use dht_bandits::{
    ArmId, Error, Policy, Request, Ridge, Thompson, Ucb,
    exploration::{EpsilonGreedy, Exploration, Floor, Softmax, SquareCb},
    policy::{AnyPolicy, AnyRule, Disjoint, Hybrid, PolicyKind, PolicySettings, RewardType, TopK},
    posterior::DiagonalLaplace,
};

use crate::support::{featured, normals, rng};

const ARMS: [ArmId; 5] = [ArmId::new(0), ArmId::new(1), ArmId::new(2), ArmId::new(3), ArmId::new(4)];

fn disjoint<E: Exploration>(rule: E, floor: f64) -> Disjoint<Ridge, Floor<E>> {
    let rule = Floor::new(rule, floor).unwrap();
    let mut policy = Disjoint::new(2, 5, Ridge::default(), rule).unwrap();
    for round in 0..20 {
        policy.update(ARMS[round % 2], &[1.0, 0.1 * round as f64], round as f64, 1.0).unwrap();
    }
    policy
}

#[test]
fn every_arm_has_the_floor_under_every_rule() {
    fn check<P: Policy + ?Sized>(policy: &P, request: &Request<'_>, floor: f64) {
        let all = policy.propensities(request).unwrap();
        assert!(all.iter().all(|entry| entry.probability >= floor * (1.0 - 1e-12)), "{all:?}");
        assert!((all.iter().map(|entry| entry.probability).sum::<f64>() - 1.0).abs() < 1e-9);
        let decision = policy.decide(request, &mut rng(1)).unwrap();
        assert!(decision.choice.propensity.unwrap() >= floor * (1.0 - 1e-12));
    }
    let request = Request::new(&[1.0, -0.5]);
    for floor in [0.01, 0.1, 0.2] {
        check(&disjoint(Ucb { alpha: 0.5 }, floor), &request, floor);
        check(&disjoint(Thompson { alpha: 0.5 }, floor), &request, floor);
        check(&disjoint(EpsilonGreedy::new(0.05), floor), &request, floor);
        check(&disjoint(Softmax { temperature: 0.01 }, floor), &request, floor);
        check(&disjoint(SquareCb::new(1e6), floor), &request, floor);
        let rows = normals(&mut rng(2), 15);
        let with_features = featured(&[1.0, 0.5], &ARMS, &rows);
        let rule = |alpha| Floor::new(Thompson { alpha }, floor).unwrap();
        check(&Hybrid::new(2, 3, 5, 1.0, rule(0.3)).unwrap(), &with_features, floor);
        let features_alone = featured(&[], &ARMS, &rows);
        check(&TopK::<Ridge, _>::shared(3, Ridge::default(), rule(0.3)).unwrap(), &features_alone, floor);
    }
    // A floor of 1/K leaves no probability to the rule.
    let uniform = disjoint(Ucb { alpha: 0.5 }, 0.2).propensities(&request).unwrap();
    assert!(uniform.iter().all(|entry| (entry.probability - 0.2).abs() < 1e-12), "{uniform:?}");
}

#[test]
fn slates_show_each_arm_with_at_least_the_floor() {
    let rows = normals(&mut rng(3), 15);
    let request = featured(&[], &ARMS, &rows);
    let rule = |alpha| Floor::new(Thompson { alpha }, 0.05).unwrap();
    let shared = TopK::<Ridge, _>::shared(3, Ridge::default(), rule(1e-6)).unwrap();
    let per_arm = TopK::<DiagonalLaplace, _>::per_arm(3, 5, DiagonalLaplace::default(), rule(0.1)).unwrap();
    for k in 1..=5 {
        for policy in [&shared as &dyn Policy, &per_arm] {
            let all = policy.slate_propensities(k, &request).unwrap();
            assert!(all.iter().all(|entry| entry.probability >= 0.05 - 1e-9), "{all:?}");
            assert!((all.iter().map(|entry| entry.probability).sum::<f64>() - k as f64).abs() < 1e-6);
        }
    }
}

#[test]
fn a_floor_that_not_all_arms_can_have_is_refused() {
    let request = Request::new(&[1.0, 0.5]);
    let mut policy = disjoint(Ucb { alpha: 0.5 }, 0.21);
    let before = policy.state();
    let refused = Error::Floor { floor: 0.21, arms: 5 };
    assert_eq!(policy.select(&request, &mut rng(1)), Err(refused.clone()));
    assert_eq!(policy.decide(&request, &mut rng(1)), Err(refused.clone()));
    assert_eq!(policy.propensities(&request), Err(refused.clone()));
    assert!(refused.to_string().contains("above 1/5"), "{refused}");
    assert_eq!(policy.state(), before);
    // The floor also holds among four of the arms.
    policy.select(&request.only(&ARMS[..4]), &mut rng(1)).unwrap();
    policy.remove_arm(ARMS[4]).unwrap();
    policy.select(&request, &mut rng(1)).unwrap();
    let rows = normals(&mut rng(3), 15);
    let shared = TopK::<Ridge, _>::shared(3, Ridge::default(), Floor::new(Ucb { alpha: 1.0 }, 0.3).unwrap());
    let shared = shared.unwrap();
    for k in [1, 2] {
        let refused = shared.decide_slate(k, &featured(&[], &ARMS, &rows), &mut rng(1));
        assert_eq!(refused, Err(Error::Floor { floor: 0.3, arms: 5 }));
    }
}

#[test]
fn floors_out_of_range_are_refused_and_saved_ones_kept() {
    for floor in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
        let refused = Floor::new(Ucb { alpha: 0.5 }, floor);
        assert!(matches!(refused, Err(Error::Parameter { name: "floor", .. })), "{refused:?}");
        let mut policy = disjoint(Ucb { alpha: 0.5 }, 0.1);
        let before = policy.state();
        assert!(policy.set_exploration(Floor { rule: Ucb { alpha: 0.5 }, probability: floor }).is_err());
        assert_eq!(policy.state(), before);
    }
    assert!(Floor::new(Ucb { alpha: -1.0 }, 0.1).is_err());
    // Both rules have the single setting α. The type of the state distinguishes them.
    let saved = serde_json::to_string(&disjoint(Ucb { alpha: 0.5 }, 0.1)).unwrap();
    assert!(serde_json::from_str::<Disjoint<Ridge, Floor<Ucb>>>(&saved).is_ok());
    let other = serde_json::from_str::<Disjoint<Ridge, Floor<Thompson>>>(&saved).unwrap_err();
    assert!(other.to_string().contains("floor/ucb"), "{other}");
}

#[test]
fn a_floor_of_settings_holds_after_a_change_of_rule_and_a_load() {
    fn check(policy: &AnyPolicy) {
        let all = policy.propensities(&Request::new(&[1.0, -0.5])).unwrap();
        let least = all.iter().map(|entry| entry.probability).fold(1.0, f64::min);
        assert!((least - 0.1).abs() < 1e-12, "{all:?}");
    }
    let ucb = Some(AnyRule::Ucb(Ucb { alpha: 0.1 }));
    let auto = PolicySettings::new(PolicyKind::Auto, 2, 4, None).with_reward(Some(RewardType::Binary));
    for settings in [PolicySettings::new(PolicyKind::Logistic, 2, 4, ucb), auto] {
        let mut policy = AnyPolicy::new(settings.with_floor(0.1)).unwrap();
        for round in 0..20 {
            policy.update(ARMS[round % 2], &[1.0, 0.1 * round as f64], (round % 2) as f64, 1.0).unwrap();
        }
        check(&policy);
        let loaded: AnyPolicy = serde_json::from_str(&serde_json::to_string(&policy).unwrap()).unwrap();
        check(&loaded);
        policy.set_exploration(AnyRule::EpsilonGreedy(EpsilonGreedy::new(0.0))).unwrap();
        check(&policy);
    }
    let linear = |arms| PolicySettings::new(PolicyKind::Linear, 2, arms, ucb);
    let refused = AnyPolicy::new(linear(4).with_floor(0.3)).unwrap_err();
    assert_eq!(refused, Error::Floor { floor: 0.3, arms: 4 });
    for floor in [-0.1, f64::NAN, 1.5] {
        assert!(matches!(AnyPolicy::new(linear(0).with_floor(floor)), Err(Error::Settings { .. })), "{floor}");
    }
    let uniform = PolicySettings::new(PolicyKind::Uniform, 2, 4, None).with_floor(0.1);
    assert!(matches!(AnyPolicy::new(uniform), Err(Error::Settings { .. })));
}
