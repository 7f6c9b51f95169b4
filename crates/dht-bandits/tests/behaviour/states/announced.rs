//! Announced decisions: choices while rewards have not arrived.

use std::collections::VecDeque;

use dht_bandits::policy::{AnyPolicy, PolicySettings, RewardType};
use dht_bandits::{ArmId, Error, Observation, Policy, Request};
use rand::RngExt;

use crate::support::rng;

fn rate(arm: u64, x: f64) -> f64 {
    match arm {
        0 => 0.2 + 0.2 * x,
        1 => 0.4 - 0.2 * x,
        2 => 0.1,
        _ => 0.02,
    }
}

/// Share of 1,000 visitors who get a bad arm after it was added, if rewards arrive 1,000 rounds late.
fn share_of_new_arm(reward: RewardType, announces: bool, seed: u64) -> f64 {
    let mut policy = AnyPolicy::recommended(2, 3, reward).unwrap();
    let (mut rng, mut queue, mut bad) = (rng(seed), VecDeque::new(), 0);
    for round in 0..4_000 {
        if round == 3_000 {
            policy.add_arm().unwrap();
        }
        let x = rng.random::<f64>();
        let decision = policy.decide(&Request::new(&[x, 1.0]), &mut rng).unwrap();
        bad += u32::from(decision.arm().number() == 3);
        if announces {
            policy.announce(&decision).unwrap();
        }
        let reward = f64::from(u8::from(rng.random::<f64>() < rate(decision.arm().number(), x)));
        queue.push_back((decision, reward));
        if queue.len() > 1_000 {
            let (decision, reward) = queue.pop_front().unwrap();
            policy.learn(&decision, reward).unwrap();
        }
    }
    f64::from(bad) / 1_000.0
}

#[test]
fn a_new_arm_gets_a_bounded_share_of_announced_decisions() {
    for reward in [RewardType::Binary, RewardType::Real] {
        for seed in 0..2 {
            let (without, with) = (share_of_new_arm(reward, false, seed), share_of_new_arm(reward, true, seed));
            println!("{reward:?}, seed {seed}: {without:.3} without announcements, {with:.3} with them");
            assert!(with < 0.4 && with < without, "{reward:?}: {with} of {without}");
        }
    }
}

#[test]
fn announcements_change_choices_and_nothing_learned() {
    for settings in [
        PolicySettings::recommended(2, 3, RewardType::Binary),
        PolicySettings::recommended(2, 3, RewardType::Real).with_normaliser(None),
        PolicySettings::recommended(2, 3, RewardType::Binary).with_window(Some(30)),
    ] {
        let (mut told, mut plain) = (AnyPolicy::new(settings.clone()).unwrap(), AnyPolicy::new(settings).unwrap());
        let mut rng = rng(2);
        let mut waiting = VecDeque::new();
        for round in 0..300usize {
            let context = [rng.random::<f64>(), 1.0];
            let decision = told.decide(&Request::new(&context), &mut rng).unwrap();
            assert_eq!(decision.choice.version, told.version());
            told.announce(&decision).unwrap();
            waiting.push_back(decision);
            if round % 3 > 0 {
                let decision = waiting.pop_front().unwrap();
                let reward = f64::from(u8::from(rng.random::<f64>() < 0.3));
                told.learn(&decision, reward).unwrap();
                plain.learn(&decision, reward).unwrap();
            }
            assert_eq!(told.announced(), waiting.len());
        }
        let state = |policy: &AnyPolicy| serde_json::to_string(policy).unwrap();
        assert_eq!(state(&told), state(&plain), "what was learned does not depend on announcements");
        let rest: Vec<_> = waiting.into_iter().map(|decision| Observation::new(decision, 0.0)).collect();
        told.learn_batch(&rest[1..]).unwrap();
        assert_eq!(told.announced(), 1);
        assert!(told.forget_announced(&rest[0].decision) && !told.forget_announced(&rest[0].decision));
        plain.learn_batch(&rest[1..]).unwrap();
        let choose =
            |policy: &AnyPolicy| policy.select(&Request::new(&[0.5, 1.0]), &mut crate::support::rng(1)).unwrap();
        assert_eq!(choose(&told), choose(&plain), "nothing is in flight");
    }
}

#[test]
fn arms_may_come_and_go_while_decisions_are_announced() {
    let mut policy = AnyPolicy::recommended(1, 2, RewardType::Binary).unwrap();
    let mut rng = rng(3);
    let mut decide = |policy: &AnyPolicy| policy.decide(&Request::new(&[1.0]), &mut rng).unwrap();
    let (first, second) = (decide(&policy), decide(&policy));
    policy.announce(&first).unwrap();
    policy.announce(&second).unwrap();
    let added = policy.add_arm().unwrap();
    assert_eq!(decide(&policy).arm(), added, "the only arm without a decision in flight");
    policy.remove_arm(first.arm()).unwrap();
    let before = serde_json::to_string(&policy).unwrap();
    assert_eq!(policy.learn(&first, 1.0), Err(Error::RemovedArm { arm: first.arm() }));
    assert_eq!(policy.announce(&first), Err(Error::RemovedArm { arm: first.arm() }));
    let mut foreign = second.clone();
    foreign.choice.arm = ArmId::new(77);
    assert_eq!(policy.announce(&foreign), Err(Error::UnknownArm { arm: ArmId::new(77) }));
    foreign = second.clone();
    foreign.context = vec![f64::NAN];
    assert!(policy.announce(&foreign).is_err());
    foreign = second.clone();
    foreign.choice.epoch = 9;
    assert!(matches!(policy.announce(&foreign), Err(Error::ForeignDecision { .. })));
    assert_eq!(serde_json::to_string(&policy).unwrap(), before);
    assert_eq!(policy.announced(), usize::from(second.arm() != first.arm()));
    policy.expire_decisions().unwrap();
    assert_eq!(policy.announced(), 0);
}
