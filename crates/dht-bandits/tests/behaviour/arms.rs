//! Arms that are added and removed, availability, ties, and late decisions.

use dht_bandits::{
    ArmId, Error, LinTs, LinUcb, Observation, Policy, Request, Ridge, Thompson, Ucb,
    exploration::{EpsilonGreedy, Exploration},
    policy::{ChoiceBatch, ContextFree, Disjoint, Fixed, TopK, Ucb1, Uniform},
    posterior::{DiagonalLaplace, FullLaplace, Posterior},
};

use crate::support::{normals, rng};

fn learner(arms: usize) -> LinUcb {
    LinUcb::new(2, arms, Ridge::default(), Ucb { alpha: 1.0 }).unwrap()
}

#[test]
fn an_unavailable_arm_is_never_chosen() {
    let every: Vec<Box<dyn Policy>> = vec![
        Box::new(learner(5)),
        Box::new(LinTs::new(2, 5, Ridge::default(), Thompson { alpha: 1.0 }).unwrap()),
        Box::new(Disjoint::new(2, 5, Ridge::default(), EpsilonGreedy::new(0.5)).unwrap()),
        Box::new(Disjoint::new(2, 5, DiagonalLaplace::default(), Thompson { alpha: 1.0 }).unwrap()),
        Box::new(Uniform::new(2, 5).unwrap()),
        Box::new(Fixed::new(2, 5, ArmId::new(0)).unwrap()),
    ];
    let mut rng = rng(1);
    for mut policy in every {
        let closed = [ArmId::new(0), ArmId::new(3)];
        let mut seen = [0; 5];
        for _ in 0..200 {
            let context = normals(&mut rng, 2);
            let choice = policy.select(&Request::new(&context).except(&closed), &mut rng).unwrap();
            seen[choice.arm.number() as usize] += 1;
            policy.update(choice.arm, &context, 0.5, 1.0).unwrap();
        }
        assert_eq!((seen[0], seen[3]), (0, 0));
        assert!(seen.iter().filter(|count| **count > 0).count() >= 2, "{seen:?}");
        let none = policy.select(&Request::new(&[0.0, 0.0]).only(&[]), &mut rng).unwrap_err();
        assert_eq!(none, Error::NoArms { arms: 5 });
    }
}

#[test]
fn removed_arms_may_be_excluded_but_unknown_arms_may_not() {
    let mut disjoint = learner(5);
    let (options, rule) = (DiagonalLaplace::default(), Thompson { alpha: 1.0 });
    let mut top_k = TopK::per_arm(2, 5, options, rule).unwrap();
    let mut free = ContextFree::new(5, Ucb1::default()).unwrap();
    let gone = ArmId::new(1);
    disjoint.remove_arm(gone).unwrap();
    top_k.remove_arm(gone).unwrap();
    free.remove_arm(gone).unwrap();
    let mut rng = rng(1);
    let every: [&dyn Policy; 3] = [&disjoint, &top_k, &free];
    for policy in every {
        let without = [gone, ArmId::new(0), ArmId::new(4)];
        let shares = policy.propensities(&Request::new(&[1.0, 0.5]).except(&without)).unwrap();
        let mut arms: Vec<_> = shares.iter().map(|entry| entry.arm.number()).collect();
        arms.sort_unstable();
        assert_eq!(arms, [2, 3]);
        let choice = policy.select(&Request::new(&[1.0, 0.5]).except(&without), &mut rng).unwrap();
        assert!(arms.contains(&choice.arm.number()));
        // A wrong id is refused, since the intended arm could otherwise be chosen.
        let wrong = [gone, ArmId::new(5)];
        let refused = policy.select(&Request::new(&[1.0, 0.5]).except(&wrong), &mut rng).unwrap_err();
        assert_eq!(refused, Error::UnknownArm { arm: ArmId::new(5) });
        // An arm that is requested must exist.
        let refused = policy.select(&Request::new(&[1.0, 0.5]).only(&wrong), &mut rng).unwrap_err();
        assert_eq!(refused, Error::RemovedArm { arm: gone });
    }
}

#[test]
fn the_order_in_which_arms_are_offered_does_not_matter() {
    let policy = LinTs::new(2, 9, Ridge::default(), Thompson { alpha: 1.0 }).unwrap();
    let offered: Vec<_> = [7, 2, 5, 0].map(ArmId::new).to_vec();
    let reversed: Vec<_> = offered.iter().rev().copied().collect();
    for seed in 0..50 {
        let left = policy.select(&Request::new(&[1.0, 0.3]).only(&offered), &mut rng(seed)).unwrap();
        let right = policy.select(&Request::new(&[1.0, 0.3]).only(&reversed), &mut rng(seed)).unwrap();
        assert_eq!(left, right);
    }
}

#[test]
fn ties_are_broken_evenly_by_the_generator() {
    let policy = learner(4);
    let mut rng = rng(5);
    let mut counts = [0u32; 4];
    for _ in 0..4000 {
        let choice = policy.select(&Request::new(&[1.0, 1.0]), &mut rng).unwrap();
        assert_eq!(choice.propensity, Some(0.25));
        counts[choice.arm.number() as usize] += 1;
    }
    // The mean is 1,000 and the standard deviation 27: the tolerance is five deviations.
    assert!(counts.iter().all(|count| count.abs_diff(1000) < 137), "{counts:?}");
}

#[test]
fn equal_arms_draw_unequal_noise() {
    let policy = LinTs::new(2, 2, Ridge::default(), Thompson { alpha: 1.0 }).unwrap();
    let mut rng = rng(6);
    let first =
        (0..2000).filter(|_| policy.select(&Request::new(&[1.0, 1.0]), &mut rng).unwrap().arm == ArmId::new(0)).count();
    // One generator that is copied into both arms would always tie, or always choose one arm. The deviation is 22.
    assert!(first.abs_diff(1000) < 112, "{first}");
}

#[test]
fn a_copied_arm_scores_like_its_original_and_then_learns_alone() {
    let mut policy = learner(2);
    policy.update(ArmId::new(1), &[1.0, 2.0], 3.0, 1.0).unwrap();
    let twin = policy.add_arm_like(ArmId::new(1)).unwrap();
    policy.warm_start(ArmId::new(0), ArmId::new(1)).unwrap();
    let context = [0.4, -0.2];
    let model = policy.score(ArmId::new(1), &context).unwrap();
    assert_eq!(policy.score(twin, &context).unwrap(), model);
    assert_eq!(policy.score(ArmId::new(0), &context).unwrap(), model);
    policy.update(twin, &context, 1.0, 1.0).unwrap();
    assert_ne!(policy.score(twin, &context).unwrap(), model);
    assert_eq!(policy.score(ArmId::new(1), &context).unwrap(), model);
}

#[test]
fn removing_one_arm_leaves_the_others_and_their_ids() {
    let mut policy = learner(4);
    for arm in 0..4 {
        policy.update(ArmId::new(arm), &[1.0, arm as f64], arm as f64, 1.0).unwrap();
    }
    let context = [0.3, 0.9];
    let before: Vec<_> = (0..4).map(|arm| policy.score(ArmId::new(arm), &context).unwrap()).collect();
    policy.remove_arm(ArmId::new(1)).unwrap();
    for arm in [0, 2, 3] {
        assert_eq!(policy.score(ArmId::new(arm), &context).unwrap(), before[arm as usize]);
    }
    assert_eq!(policy.add_arm(), Ok(ArmId::new(4)));
    assert_eq!(policy.insert_arm(ArmId::new(2)), Err(Error::ArmExists { arm: ArmId::new(2) }));
    policy.insert_arm(ArmId::new(10)).unwrap();
    assert_eq!(policy.add_arm(), Ok(ArmId::new(11)));
    assert_eq!(policy.remove_arm(ArmId::new(1)), Err(Error::RemovedArm { arm: ArmId::new(1) }));
}

#[test]
fn a_late_decision_is_learned_alike() {
    let (mut late, mut direct) = (learner(3), learner(3));
    let mut rng = rng(8);
    let context = [0.7, -0.1];
    let decision = late.decide(&Request::new(&context), &mut rng).unwrap();
    let parked = serde_json::to_string(&decision).unwrap();
    late.update(ArmId::new(0), &[1.0, 1.0], 0.2, 1.0).unwrap();
    direct.update(ArmId::new(0), &[1.0, 1.0], 0.2, 1.0).unwrap();
    late.learn(&serde_json::from_str(&parked).unwrap(), 1.0).unwrap();
    direct.update(decision.arm(), &context, 1.0, 1.0).unwrap();
    assert_eq!(late.state(), direct.state());
}

#[test]
fn stale_foreign_and_orphaned_decisions_are_refused() {
    let mut policy = learner(3);
    let mut rng = rng(9);
    let old = policy.decide(&Request::new(&[1.0, 0.0]), &mut rng).unwrap();
    let mut other = learner(3);
    other.expire_decisions().unwrap();
    let foreign = other.decide(&Request::new(&[1.0, 0.0]), &mut rng).unwrap();
    let refused = policy.learn(&foreign, 1.0).unwrap_err();
    assert_eq!(refused, Error::ForeignDecision { made_in: 1, epoch: 0 });
    policy.expire_decisions().unwrap();
    assert_eq!(policy.learn(&old, 1.0), Err(Error::StaleDecision { made_in: 0, epoch: 1 }));
    let orphan = policy.decide(&Request::new(&[1.0, 0.0]), &mut rng).unwrap();
    policy.remove_arm(orphan.arm()).unwrap();
    assert_eq!(policy.learn(&orphan, 1.0), Err(Error::RemovedArm { arm: orphan.arm() }));
}

#[test]
fn a_batch_is_learned_whole_or_not_at_all() {
    let mut policy = learner(3);
    let mut rng = rng(10);
    let mut batch: Vec<_> = (0..9)
        .map(|round| {
            let context = normals(&mut rng, 2);
            Observation::new(policy.decide(&Request::new(&context), &mut rng).unwrap(), f64::from(round) / 9.0)
        })
        .collect();
    let mut one_by_one = policy.clone();
    for item in &batch {
        one_by_one.update(item.decision.arm(), &item.decision.context, item.reward, 1.0).unwrap();
    }
    let before = policy.state();
    // The last observation is too large. It is rejected in its turn, after others of the batch have been learned.
    let (good_context, good_reward) = (batch[8].decision.context.clone(), batch[8].reward);
    batch[8].decision.context = vec![1e200, 1e200];
    assert!(matches!(policy.learn_batch(&batch), Err(Error::TooLarge { what: "context", .. })));
    assert_eq!(policy.state(), before);
    batch[8].decision.context = good_context;
    batch[8].reward = good_reward;
    policy.learn_batch(&batch).unwrap();
    assert_eq!(policy.state(), one_by_one.state());
}

#[test]
fn one_removed_arm_refuses_a_whole_batch() {
    let (mut policy, mut rng) = (learner(3), rng(14));
    let batch: Vec<_> = [0, 1, 2]
        .map(|arm| policy.decide(&Request::new(&[1.0, 0.5]).only(&[ArmId::new(arm)]), &mut rng).unwrap())
        .map(|decision| Observation::new(decision, 1.0))
        .to_vec();
    let removed = ArmId::new(1);
    policy.remove_arm(removed).unwrap();
    let before = policy.state();
    assert_eq!(policy.learn_batch(&batch), Err(Error::RemovedArm { arm: removed }));
    assert_eq!(policy.state(), before);
    let left: Vec<_> = batch.into_iter().filter(|item| policy.arms().contains(item.decision.arm())).collect();
    policy.learn_batch(&left).unwrap();
    assert_eq!(policy.version(), 2);
}

fn assert_batch_is_alone<P: Posterior, E: Exploration>(mut policy: Disjoint<P, E>) {
    let (dimension, arms) = (policy.dimension(), policy.arms().len());
    let mut contexts = rng(11);
    for round in 0..3 * arms {
        let context = normals(&mut contexts, dimension);
        policy.update(ArmId::new((round % arms) as u64), &context, (round % 2) as f64, 1.0).unwrap();
    }
    let some = [1, 4, 2].map(ArmId::new);
    let mut batch = ChoiceBatch::default();
    for count in [1, 5, 31, 100] {
        let rows = normals(&mut contexts, count * dimension);
        let all = Request::new(&rows);
        for request in [all, all.only(&some), all.except(&some)] {
            let (mut together, mut alone) = (rng(12), rng(12));
            policy.select_batch(&request, &mut together, &mut batch).unwrap();
            assert_eq!(batch.choices().len(), count);
            for (context, choice) in rows.chunks(dimension).zip(batch.choices()) {
                assert_eq!(policy.select(&request.with_context(context), &mut alone).unwrap(), *choice);
            }
        }
    }
    let uneven = policy.select_batch(&Request::new(&vec![0.5; dimension + 1]), &mut rng(0), &mut batch).unwrap_err();
    assert_eq!(uneven, Error::Dimension { what: "contexts", expected: dimension, got: dimension + 1 });
    assert!(batch.choices().is_empty());
}

#[test]
fn a_batch_of_contexts_is_chosen_like_one_after_the_other() {
    for dimension in [2, 5, 8, 13, 16, 17, 40] {
        let ridge = Ridge::default();
        assert_batch_is_alone(LinTs::new(dimension, 11, ridge, Thompson { alpha: 1.0 }).unwrap());
        assert_batch_is_alone(LinUcb::new(dimension, 6, ridge, Ucb { alpha: 0.0 }).unwrap());
        assert_batch_is_alone(Disjoint::new(dimension, 7, ridge, EpsilonGreedy::new(0.4)).unwrap());
        let full = FullLaplace::default();
        assert_batch_is_alone(Disjoint::new(dimension, 6, full, Thompson { alpha: 1.0 }).unwrap());
        let diagonal = DiagonalLaplace::default();
        assert_batch_is_alone(Disjoint::new(dimension, 6, diagonal, Thompson { alpha: 1.0 }).unwrap());
    }
}

#[test]
fn epsilon_greedy_knows_its_propensities() {
    let mut policy = Disjoint::new(2, 4, Ridge::default(), EpsilonGreedy::new(0.2)).unwrap();
    policy.update(ArmId::new(2), &[1.0, 0.0], 1.0, 1.0).unwrap();
    let mut rng = rng(13);
    let mut counts = [0u32; 4];
    for _ in 0..10_000 {
        let choice = policy.select(&Request::new(&[1.0, 0.0]), &mut rng).unwrap();
        let expected = if choice.arm == ArmId::new(2) { 0.85 } else { 0.05 };
        assert!((choice.propensity.unwrap() - expected).abs() < 1e-12);
        counts[choice.arm.number() as usize] += 1;
    }
    assert!(counts[2].abs_diff(8500) < 180 && counts[0].abs_diff(500) < 110, "{counts:?}");
}

#[test]
fn a_new_rule_keeps_the_posterior_and_a_bad_one_is_rejected() {
    let mut policy = learner(2);
    policy.update(ArmId::new(0), &[1.0, 0.0], 1.0, 1.0).unwrap();
    (0..50).for_each(|_| policy.update(ArmId::new(1), &[1.0, 0.0], 0.6, 1.0).unwrap());
    let chosen = |policy: &LinUcb| policy.select(&Request::new(&[1.0, 0.0]), &mut rng(1)).unwrap().arm;
    // One reward of 1 is shrunk to .5 and uncertain. The other arm is known to be worth .6.
    assert_eq!(chosen(&policy), ArmId::new(0));
    policy.set_exploration(Ucb { alpha: 0.0 }).unwrap();
    assert_eq!(chosen(&policy), ArmId::new(1));
    assert!(policy.set_exploration(Ucb { alpha: f64::NAN }).is_err());
    assert_eq!(policy.exploration(), &Ucb { alpha: 0.0 });
}
