//! Explanations: the parts of a mean sum to it, and have the names of their columns.

use dht_bandits::policy::{AnyPolicy, ContextFree, PolicyKind, PolicySettings, RewardType, Term, Ucb1};
use dht_bandits::{ArmId, Error, LinUcb, Policy, Request, Ridge, Ucb};

use crate::states::any_policy::every_kind;
use crate::support::{featured, normals, rng};

#[test]
fn contributions_name_the_columns_that_matter() {
    let mut policy = LinUcb::new(3, 2, Ridge::new(1e-6), Ucb { alpha: 0.1 }).unwrap();
    let mut draws = rng(1);
    for _ in 0..200 {
        let context = normals(&mut draws, 3);
        let reward = 2.0 * context[0] - 0.5 * context[2];
        policy.update(ArmId::new(1), &context, reward, 1.0).unwrap();
    }
    let arms = [ArmId::new(1)];
    let context = [1.0, 3.0, -2.0];
    let decision = policy.decide(&Request::new(&context).only(&arms), &mut draws).unwrap();
    let explanation = policy.explain(&decision).unwrap();
    let rounded: Vec<_> =
        explanation.contributions.iter().map(|(term, part)| (*term, (part * 1e4).round() / 1e4)).collect();
    assert_eq!(rounded[..2], [(Term::Column(0), 2.0), (Term::Column(2), 1.0)]);
    assert!(rounded[2].0 == Term::Column(1) && rounded[2].1 == 0.0);
    assert_eq!((explanation.mean, explanation.width), (decision.choice.mean, decision.choice.width));
}

#[test]
fn contributions_of_every_kind_sum_to_the_mean() {
    let arms = [0, 1, 2, 3].map(ArmId::new);
    for settings in every_kind() {
        if matches!(settings.kind, PolicyKind::ContextFree | PolicyKind::Uniform) {
            continue;
        }
        let mut policy = AnyPolicy::new(settings.clone()).unwrap();
        let mut draws = rng(5);
        for round in 0..12 {
            let (context, features) = (normals(&mut draws, 3), normals(&mut draws, 8));
            let decision = policy.decide(&featured(&context, &arms, &features), &mut draws).unwrap();
            let explanation = policy.explain(&decision).unwrap();
            let sum: f64 = explanation.contributions.iter().map(|(_, part)| part).sum();
            let scale: f64 = explanation.contributions.iter().map(|(_, part)| part.abs()).sum();
            assert!((sum - explanation.mean).abs() <= 1e-9 * (1.0 + scale), "{settings:?}: {explanation:?}");
            assert!((explanation.mean - decision.choice.mean).abs() <= 1e-9 * (1.0 + scale), "{settings:?}");
            assert!(explanation.contributions.windows(2).all(|pair| pair[0].1.abs() >= pair[1].1.abs()));
            let products = explanation.contributions.iter().any(|(term, _)| matches!(term, Term::Product(..)));
            assert!(!products || settings.interactions.is_some());
            policy.learn(&decision, f64::from(round % 2)).unwrap();
        }
        let decision = policy.decide(&featured(&[0.1, 0.2, 0.3], &arms, &[0.5; 8]), &mut draws).unwrap();
        let mut wrong = decision.clone();
        wrong.context.pop();
        assert!(policy.explain(&wrong).is_err(), "{settings:?}");
    }
}

#[test]
fn scaled_rewards_are_explained_in_raw_units() {
    let mut policy = AnyPolicy::recommended(2, 2, RewardType::Real).unwrap();
    let mut draws = rng(6);
    for _ in 0..400 {
        let context = normals(&mut draws, 2).iter().map(|value| 1e3 + 10.0 * value).collect::<Vec<_>>();
        let decision = policy.decide(&Request::new(&context), &mut draws).unwrap();
        policy.learn(&decision, 500.0 + 7.0 * (context[0] - 1e3)).unwrap();
    }
    let decision = policy.decide(&Request::new(&[1010.0, 1000.0]), &mut draws).unwrap();
    let explanation = policy.explain(&decision).unwrap();
    let part = |term| explanation.contributions.iter().find(|(known, _)| *known == term).map_or(0.0, |(_, part)| *part);
    assert!((part(Term::Constant) - 500.0).abs() < 15.0, "{explanation:?}");
    assert!((part(Term::Column(0)) - 70.0).abs() < 15.0, "{explanation:?}");
    assert!((explanation.mean - 570.0).abs() < 15.0, "{explanation:?}");
}

#[test]
fn policies_without_weights_have_no_explanation() {
    let policy = ContextFree::new(2, Ucb1::default()).unwrap();
    let decision = policy.decide(&Request::new(&[]), &mut rng(1)).unwrap();
    assert!(matches!(Policy::explain(&policy, &decision), Err(Error::Unsupported { .. })));
    let any = AnyPolicy::new(PolicySettings::new(PolicyKind::Uniform, 1, 2, None)).unwrap();
    let decision = any.decide(&Request::new(&[1.0]), &mut rng(1)).unwrap();
    assert!(matches!(any.explain(&decision), Err(Error::Unsupported { .. })));
}
