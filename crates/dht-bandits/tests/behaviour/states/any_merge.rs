//! Policies from settings expire decisions, learn batches and merge like the policies that they contain.

use dht_bandits::{
    ArmId, Decision, Error, Observation, Policy, Thompson, Ucb,
    policy::{AnyPolicy, AnyRule, Delta, NormaliserSettings, PolicyKind, PolicySettings},
};

use super::any_policy::{every_kind, round};
use crate::support::{assert_close, featured, normals, rng};

fn json(policy: &AnyPolicy) -> String {
    serde_json::to_string(policy).unwrap()
}

/// Decisions of a policy among four arms with two features each, with rewards of 0 and 1.
fn decisions(policy: &AnyPolicy, count: usize, seed: u64) -> Vec<(Decision, f64)> {
    let (arms, mut rng) = ([0, 1, 2, 3].map(ArmId::new), rng(seed));
    let one = |number: usize| {
        let (context, features) = (normals(&mut rng, 3), normals(&mut rng, 8));
        (policy.decide(&featured(&context, &arms, &features), &mut rng).unwrap(), (number % 2) as f64)
    };
    (0..count).map(one).collect()
}

/// Policy that has learned in several rounds, after which its scaling is frozen.
fn learned(settings: PolicySettings) -> AnyPolicy {
    let mut policy = AnyPolicy::new(settings).unwrap();
    let mut rng = rng(7);
    for number in 0..14 {
        round(&mut policy, number, &mut rng);
    }
    policy
}

#[test]
fn decisions_of_every_kind_expire_but_those_that_learn_nothing() {
    for settings in every_kind() {
        let (fresh, warm) = (AnyPolicy::new(settings.clone()).unwrap(), learned(settings.clone()));
        for mut policy in [fresh, warm] {
            let (decision, reward) = decisions(&policy, 1, 1).remove(0);
            if settings.kind == PolicyKind::Uniform {
                let before = json(&policy);
                let refused = policy.expire_decisions();
                assert!(
                    matches!(&refused, Err(Error::Settings { problem }) if problem.contains("uniform")),
                    "{refused:?}"
                );
                assert_eq!(json(&policy), before);
                continue;
            }
            policy.expire_decisions().unwrap();
            assert_eq!(policy.epoch(), 1);
            let stale = Err(Error::StaleDecision { made_in: 0, epoch: 1 });
            assert_eq!(policy.learn(&decision, reward), stale, "{settings:?}");
            let before = json(&policy);
            let fresh = decisions(&policy, 1, 2).remove(0);
            let batch = [Observation::new(fresh.0, fresh.1), Observation::new(decision, reward)];
            assert_eq!(policy.learn_batch(&batch), stale, "{settings:?}");
            assert_eq!(json(&policy), before);
            policy.learn_batch(&batch[..1]).unwrap();
        }
    }
}

#[test]
fn every_kind_learns_a_batch_whole_or_not_at_all() {
    for settings in every_kind() {
        for rounds in [0, 3, 14] {
            let mut policy = AnyPolicy::new(settings.clone()).unwrap();
            let mut rng = rng(3);
            for number in 0..rounds {
                round(&mut policy, number, &mut rng);
            }
            let (before, mut whole) = (json(&policy), policy.clone());
            let seen = decisions(&policy, 8, 4);
            let mut batch: Vec<_> =
                seen.iter().map(|(decision, reward)| Observation::new(decision.clone(), *reward)).collect();
            batch.push(Observation { weight: f64::NAN, ..batch[0].clone() });
            assert!(policy.learn_batch(&batch).is_err(), "{settings:?}");
            assert_eq!(json(&policy), before, "{settings:?}");
            batch.pop();
            policy.learn_batch(&batch).unwrap();
            assert_eq!(policy.version(), rounds + 8);
            // Policies that learn nothing jointly learn a batch one by one: ridges, and policies without a batch
            // method.
            let own_order =
                settings.clock.is_none() && settings.normaliser.is_none() && settings.kind != PolicyKind::LinearNoise;
            let alike = matches!(
                settings.kind,
                PolicyKind::Linear | PolicyKind::Hybrid | PolicyKind::ContextFree | PolicyKind::Uniform
            );
            seen.iter().for_each(|(decision, reward)| whole.learn(decision, *reward).unwrap());
            if own_order && alike {
                assert_eq!(json(&policy), json(&whole), "{settings:?}");
            }
        }
    }
}

#[test]
fn merging_adds_evidence_and_kinds_that_cannot_merge_say_so() {
    for settings in every_kind() {
        let base = learned(settings.clone());
        let (mut left, mut right, mut whole) = (base.clone(), base.clone(), base.clone());
        for (worker, seed) in [(&mut left, 10), (&mut right, 11)] {
            for (decision, reward) in decisions(&base, 12, seed) {
                worker.learn(&decision, reward).unwrap();
                whole.learn(&decision, reward).unwrap();
            }
        }
        let plain = settings.clock.is_none() && settings.window.is_none() && settings.reset.is_none();
        let adds =
            plain && !matches!(settings.kind, PolicyKind::LinearNoise | PolicyKind::ContextFree | PolicyKind::Uniform);
        if !adds {
            let refused = right.diff(&base).map(drop);
            let typed = matches!(&refused, Err(Error::Settings { problem }) if problem.starts_with("kind: "));
            assert!(typed, "{settings:?}: {refused:?}");
            assert!(left.merge(&right).is_err());
            continue;
        }
        // Deltas since the common ancestor, sent as JSON and combined.
        let wire = serde_json::to_string(&right.diff(&base).unwrap()).unwrap();
        let mut delta: Delta = serde_json::from_str(&wire).unwrap();
        delta.combine(&left.diff(&base).unwrap()).unwrap();
        assert_eq!(delta.updates(), 24);
        let mut merged = base.clone();
        merged.apply(&delta).unwrap();
        assert_eq!(merged.version(), whole.version());
        left.apply(&right.diff(&base).unwrap()).unwrap();
        let exact = matches!(
            settings.kind,
            PolicyKind::Linear | PolicyKind::Hybrid | PolicyKind::TopKLinear | PolicyKind::SharedLinear
        );
        let mut rng = rng(12);
        for arm in [0, 1, 2, 3].map(ArmId::new) {
            let (context, features) = (normals(&mut rng, 3), normals(&mut rng, 2));
            let ids = [arm];
            let request = featured(&context, &ids, &features);
            let [merged, left, whole] =
                [&merged, &left, &whole].map(|policy| policy.select(&request, &mut crate::support::rng(1)).unwrap());
            // Deltas can be added in any order. The sum is what one policy learned, approximately so under Laplace's
            // approximation.
            assert_close(merged.mean, left.mean, 1e-8, "mean");
            assert_close(merged.width, left.width, 1e-8, "width");
            assert_close(merged.width, whole.width, if exact { 1e-8 } else { 0.3 }, "width");
            assert!(!exact || (merged.mean - whole.mean).abs() < 1e-8, "{settings:?}: {merged:?} {whole:?}");
        }
    }
}

#[test]
fn policies_that_started_from_the_prior_are_merged_whole() {
    let settings = PolicySettings::new(PolicyKind::Linear, 3, 4, Some(AnyRule::Ucb(Ucb { alpha: 0.5 })));
    let new = || AnyPolicy::new(settings.clone()).unwrap();
    let (mut left, mut right, mut whole) = (new(), new(), new());
    for (worker, seed) in [(&mut left, 1), (&mut right, 2)] {
        for (decision, reward) in decisions(&new(), 9, seed) {
            worker.learn(&decision, reward).unwrap();
            whole.learn(&decision, reward).unwrap();
        }
    }
    left.merge(&right).unwrap();
    assert_eq!(left.version(), 18);
    for arm in [0, 1, 2, 3].map(ArmId::new) {
        let ids = [arm];
        let request = dht_bandits::Request::new(&[1.0, -0.5, 0.2]).only(&ids);
        let [ours, theirs] = [&left, &whole].map(|policy| policy.select(&request, &mut rng(1)).unwrap());
        assert_close(ours.mean, theirs.mean, 1e-10, "mean");
        assert_close(ours.width, theirs.width, 1e-10, "width");
    }
}

#[test]
fn what_means_something_else_is_not_merged_and_changes_nothing() {
    let settings = |change: &dyn Fn(&mut PolicySettings)| {
        let mut settings = PolicySettings::new(PolicyKind::Linear, 3, 4, Some(AnyRule::Ucb(Ucb { alpha: 0.5 })));
        change(&mut settings);
        settings
    };
    let refused = |ours: &AnyPolicy, theirs: &AnyPolicy, key: &str| {
        let delta = theirs.diff(theirs).unwrap();
        let (mut policy, mut sum) = (ours.clone(), ours.diff(ours).unwrap());
        let before = (json(&policy), sum.clone());
        for outcome in [policy.apply(&delta), policy.merge(theirs), policy.diff(theirs).map(drop), sum.combine(&delta)]
        {
            assert!(matches!(&outcome, Err(Error::Settings { problem }) if problem.starts_with(key)), "{outcome:?}");
        }
        assert_eq!((json(&policy), sum), before);
    };
    let ours = learned(settings(&|_| {}));
    let of_kind = |kind| AnyPolicy::new(settings(&|other| other.kind = kind)).unwrap();
    refused(&ours, &of_kind(PolicyKind::TopKLinear), "kind: Linear here and TopKLinear there");
    refused(&ours, &of_kind(PolicyKind::Logistic), "kind");
    refused(&ours, &learned(settings(&|other| other.prior_precision = 2.0)), "prior_precision: 1.0 here and 2.0 there");
    let longer = AnyPolicy::new(settings(&|other| other.dimension = 4)).unwrap();
    refused(&ours, &longer, "dimension");
    // The lengths have the same sum and are split differently.
    let shared = |dimension, features| {
        let rule = Some(AnyRule::Ucb(Ucb { alpha: 0.5 }));
        let settings = PolicySettings::new(PolicyKind::SharedLinear, dimension, 0, rule);
        AnyPolicy::new(
            settings
                .with_features(features)
                .with_interactions(Some(vec![("context".to_owned(), "features".to_owned())])),
        )
        .unwrap()
    };
    refused(&shared(3, 2), &shared(2, 3), "dimension");
    // The exploration, the set of arms and the seed may differ.
    let other = learned(settings(&|other| {
        (other.seed, other.arms) = (9, 6);
        other.exploration = Some(AnyRule::Thompson(Thompson { alpha: 1.0 }));
    }));
    ours.clone().merge(&other).unwrap();

    // Scalings must be frozen and equal.
    let normaliser = Some(NormaliserSettings::default().with_warm_up(5).with_bias(true).with_floor(1e-9));
    let scaled = |seed| {
        let mut policy = AnyPolicy::new(settings(&|other| other.normaliser = normaliser)).unwrap();
        let before = policy.clone();
        decisions(&before, 9, seed).iter().for_each(|(decision, reward)| policy.learn(decision, *reward).unwrap());
        (before, policy)
    };
    let ((cold, warm), (_, other)) = (scaled(1), scaled(2));
    refused(&ours, &warm, "normaliser");
    refused(&warm, &other, "normaliser: ");
    assert!(warm.diff(&other).unwrap_err().to_string().contains("the scalings differ"));
    assert!(warm.diff(&cold).unwrap_err().to_string().contains("expected a frozen scaling"));
    let refused = warm.clone().merge(&warm).unwrap_err();
    assert!(refused.to_string().contains("use diff and apply"), "{refused}");
    // With equal rewards, the scale of rewards is undetermined.
    let normaliser = normaliser.map(|normaliser| normaliser.with_rewards(true));
    let mut waiting = AnyPolicy::new(settings(&|other| other.normaliser = normaliser)).unwrap();
    let made = decisions(&waiting, 9, 1);
    made.iter().for_each(|(decision, _)| waiting.learn(decision, 1.0).unwrap());
    let refused = waiting.diff(&waiting.clone()).unwrap_err();
    assert!(refused.to_string().contains("all rewards so far are equal"), "{refused}");
}
